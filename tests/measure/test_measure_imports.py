"""The measures need NumPy and SciPy alone."""

from __future__ import annotations

import subprocess
import sys

NAMES = "clip_score fid_infinity frechet kid lpips paired precision_recall tensor"


def test_no_measure_imports_torch() -> None:
    imports = "; ".join(f"import fpsim.measure.{name}" for name in NAMES.split())
    program = f"import sys; {imports}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {f"fpsim.measure.{name}" for name in NAMES.split()} <= loaded
    assert not {"torch", "numba", "diffusers", "PIL", "matplotlib"} & loaded
