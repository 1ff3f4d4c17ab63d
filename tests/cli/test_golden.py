"""What the verbs print, byte for byte.

After a wanted change: ``FPSIM_WRITE_GOLDEN=1 pytest tests/cli/test_golden.py``, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpsim.cli.main import run

GOLDEN = Path(__file__).parents[1] / "golden"
OUTPUTS = {
    "table-e2m1-bias3.txt": "table --format e2m1 --bias 3 --positive",
    "table-e2m1-bias3.json": "table --format e2m1 --bias 3 --positive --json",
    "table-e2m1-bias3.csv": "table --format e2m1 --bias 3 --positive --csv",
    "table-e2m1-bias3.md": "table --format e2m1 --bias 3 --positive --markdown",
    "table-e2m1-bias2.7.txt": "table --format e2m1 --bias 2.7",
    "table-e4m3-head.txt": "table --format e4m3 --range 0:0x0c",
    "table-e5m2-top.txt": "table --format e5m2 --range 0x78:0x82",
    "table-e4m3-fnuz.txt": "table --format e4m3fnuz --range 0x7e:0x83",
    "table-e8m0-ends.txt": "table --format e8m0 --range 0xfc:0x100",
    "table-e2m1-flat.txt": "table --format fp4 --no-subnormals --specials ieee",
    "table-int4.txt": "table --format int4",
    "table-nf4.txt": "table --format nf4",
    "inspect-formats.txt": "inspect 0.3 -5 --format e2m1,e4m3,e5m2,int8",
    "inspect-values.txt": "inspect 0.1 -1/3 464 -inf 2^-9 -0 --format e4m3",
    "inspect-bias2.7.json": "inspect 0.3 --format e2m1 --bias 2.7 --rounding toward-zero --json",
    "compare.txt": "compare e4m3 e2m1 int8 nf4 mxfp4 nvfp4 --samples 4096",
    "formats.txt": "formats",
    "formats-e4m3.txt": "formats e4m3",
    "formats-e4m3.json": "formats e4m3 --json",
    "formats-nvfp4.txt": "formats nvfp4",
    "formats-int8.txt": "formats int8",
}


@pytest.mark.parametrize("file", OUTPUTS)
def test_output_is_the_golden_one(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # piped output is never fitted to a width
    assert run(OUTPUTS[file].split()) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    path = GOLDEN / file
    if os.environ.get("FPSIM_WRITE_GOLDEN"):
        path.write_text(printed.out, encoding="utf-8")
    assert printed.out == path.read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    ours = {path.name for path in GOLDEN.iterdir() if path.name.startswith(("table", "formats", "inspect", "compare"))}
    assert ours == set(OUTPUTS)
