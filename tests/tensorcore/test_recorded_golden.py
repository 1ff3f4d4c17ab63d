"""Outputs that GPUs produced, as committed, against the specification; and that the check finds what is wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

import tensorcore_codes as codes
import tensorcore_golden as golden
from tensorcore_mma import Mma, mmas, specified

from fpsim.errors import FpsimError
from fpsim.tensorcore import dot

#: What tensorcore_verify.py --write recorded on GPUs.
FILES = sorted(golden.FOLDER.glob("*.npz"))


def engine_misses(row: golden.Recorded) -> int:
    """How many outputs the package's compiled engine gets wrong."""
    mma = row.mma
    a, b = codes.values(row.a, mma.a), codes.values(row.b, mma.b)
    c = row.c.view(np.int32) if mma.accumulator == "int32" else codes.values(row.c, mma.accumulator)
    how = {"arch": mma.arch, "dtype": (mma.a, mma.b), "instruction": mma.unit.instruction}
    accumulator = "fp32" if mma.accumulator == "int32" else mma.accumulator
    found = codes.result_bits(dot(a, b, c, accumulator=accumulator, **how), mma.accumulator)
    return int((found != row.d).sum())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files as a GPU run writes them, the specification in its place."""
    names = ("wgmma.bf16.fp32", "mma.int8.int32", "mma.bf16.fp32")
    rows = [golden.record(mma, specified, 24) for mma in mmas(90) if mma.name in names]
    return golden.write_all("NVIDIA Test 1", "1.2", rows, tmp_path_factory.mktemp("golden"))


def test_recorded_outputs_hold_for_specification_and_engine(made: list[Path]) -> None:
    for path in [*FILES, *made]:
        found = golden.read(path)
        assert path.stat().st_size <= golden.LARGEST, path.name
        assert found.device
        assert found.driver
        assert path.name == golden.path_of(found.device, found.rows[0].mma).name
        assert {name: wrong for name, wrong in found.misses().items() if wrong} == {}, path.name
        assert [engine_misses(row) for row in found.rows] == [0] * len(found.rows), path.name


def test_files_hold_what_was_written(made: list[Path]) -> None:
    assert [path.name for path in made] == ["nvidia-test-1-bf16.npz", "nvidia-test-1-int8.npz"]
    found = golden.read(made[0])
    assert (found.device, found.driver, found.date) == ("NVIDIA Test 1", "1.2", golden.today())
    assert [row.mma.name for row in found.rows] == ["mma.bf16.fp32", "wgmma.bf16.fp32"]
    for row in found.rows:
        assert row.a.dtype == np.uint16
        assert row.d.dtype == np.uint32
        assert len(row.a) == len(row.b) == len(row.c) == len(row.d) > 1000
    assert all(path.stat().st_size <= golden.LARGEST for path in made)


@pytest.mark.parametrize("field", ["a", "b", "c", "d"])
def test_a_changed_bit_is_found(made: list[Path], field: str) -> None:
    found = golden.read(made[1])  # of integers every bit of every input counts
    row = found.rows[0]
    changed = getattr(row, field).copy()
    other = row.b if field == "a" else row.a
    place = (len(changed) - 1, int(np.argmax(other[-1] != 0))) if field in ("a", "b") else len(changed) - 1
    changed[place] ^= 1
    wrong = replace(found, rows=(replace(row, **{field: changed}),))
    assert wrong.misses() == {"mma.int8.int32": 1}


def test_a_changed_last_place_of_a_float_is_found(made: list[Path]) -> None:
    found = golden.read(made[0])
    d = found.rows[0].d.copy()
    d[5] ^= 1
    assert replace(found, rows=(replace(found.rows[0], d=d),)).misses() == {"mma.bf16.fp32": 1}


def test_files_that_grow_too_large_are_refused(tmp_path: Path) -> None:
    mma = next(mma for mma in mmas(90) if mma.name == "mma.int8.int32")
    draw = np.random.default_rng(0)
    a, b = (draw.integers(0, 256, (4000, mma.k), np.uint8) for _ in "ab")
    row = golden.Recorded(mma=mma, a=a, b=b, c=np.zeros(4000, np.uint32), d=np.zeros(4000, np.uint32))
    path = tmp_path / "x.npz"
    with pytest.raises(FpsimError, match="more than 200000"):
        golden.write(path, golden.Golden(device="x", driver="y", date="z", rows=(row,)))
    assert not path.exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(FpsimError, match="holds no recorded outputs"):
        golden.read(tmp_path / "x.npz")


def test_names_of_files() -> None:
    mma = Mma(arch="ada", instruction="mma", a="e4m3", b="e5m2", accumulator="fp32")
    assert golden.path_of("NVIDIA H200", mma).name == "nvidia-h200-e4m3-e5m2.npz"
    assert golden.path_of("Tesla X/1", mma).name == "tesla-x-1-e4m3-e5m2.npz"
