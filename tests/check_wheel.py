"""Unpack a built wheel into an empty folder and use it there: the table verb, the catalogue and the bundled model.

    python tests/check_wheel.py dist

The dependencies come from the interpreter that runs this; the package itself must come from the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PROGRAM = """
import sys, pathlib, torch, fpsim
assert pathlib.Path(fpsim.__file__).is_relative_to(sys.argv[1]), f"{fpsim.__file__} is not the wheel's"
from fpsim.model.load import load
model = load("bundled")
with torch.no_grad():
    size = model.denoiser.config.sample_size
    output = model.denoiser(torch.zeros(1, model.denoiser.config.in_channels, size, size), 10).sample
assert torch.isfinite(output).all()
print(f"{model.name}: {model.parameters:,} parameters from the wheel")
"""


def main(folder: Path) -> None:
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"error: {folder} holds {len(wheels)} wheels; build exactly one")
    with tempfile.TemporaryDirectory() as empty:
        site = Path(empty) / "site"
        zipfile.ZipFile(wheels[0]).extractall(site)
        environment = {**os.environ, "PYTHONPATH": str(site)}
        for words in (["-m", "fpsim", "table", "--format", "e2m1", "--bias", "3"], ["-c", PROGRAM, str(site)]):
            done = subprocess.run(
                [sys.executable, *words], cwd=empty, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"error: the wheel fails at {words[:2]}:\n{done.stderr}")
            print(done.stdout.splitlines()[-1])
    print(f"{wheels[0].name}: {wheels[0].stat().st_size / 1e6:.1f} MB, works in an empty folder")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
