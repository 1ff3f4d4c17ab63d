"""The adapters of those peers that are there, and rows for those that are not."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from peers.case import FORMATS, Absent, Case, why
from peers.install import FAILED, pinned

#: Policies that set a peer apart from fpsim; the columns max, over and unlike show what they do here.
NOTES = (
    "ml_dtypes: overflow becomes NaN or Inf (FP4: the largest value); E3M4 is the IEEE-like one",
    "torch: overflow of E5M2 becomes Inf",
    "torchao: floatx has no Inf and no NaN; NVFP4 multiplies by the reciprocal of the scale where fpsim divides by it",
    "pychop: IEEE-like formats, in which overflow becomes 0 or Inf; mx_quantize loses the sign of zero",
    "apytypes: IEEE-like formats, in which overflow becomes Inf: the codes of E2M1 above 3 are those of Inf",
    "qtorch: ties away from zero, every code finite, the sign of what rounds to zero is lost",
)


def use(folder: Path) -> None:
    """Import the peers from their own folder, before anything else of the same name."""
    sys.path.insert(0, str(folder))
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"  # ninja, which qtorch starts
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(folder / "torch_extensions"))


def load(names: list[str], folder: Path) -> tuple[list[Case], list[Absent]]:
    """Cases of the named peers, and why others have none."""
    cases: list[Case] = []
    absent = []
    for name in names:
        try:
            cases += importlib.import_module(f"peers.with_{name}").cases()
        except Exception as error:  # whatever a package does at import
            absent.append(Absent(peer=name, reason=_reason(name, folder, error)))
    return cases, absent


def not_offered(cases: list[Case]) -> str:
    """Which formats which peer has no case for."""
    peers = dict.fromkeys(case.peer for case in cases)
    missing = {peer: [f for f in FORMATS if all((c.peer, c.fmt) != (peer, f) for c in cases)] for peer in peers}
    return "; ".join(f"{peer}: {', '.join(formats)}" for peer, formats in missing.items() if formats)


def _reason(name: str, folder: Path, error: Exception) -> str:
    report = folder / FAILED
    failures = json.loads(report.read_text("utf-8")) if report.exists() else {}
    requirement = next((line for line in pinned() if line.split("==")[0] == name), name)
    if requirement in failures:
        return f"did not install: {failures[requirement]}"
    hint = "" if report.exists() or not isinstance(error, ModuleNotFoundError) else "; `make bench-peers` installs it"
    return f"does not import: {why(error)}{hint}"
