"""Outputs recorded on real GPUs, bit for bit: third-party data, found beside the checkout or by a variable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorcore_units import bits

from fpsim.tensorcore import dot, find_unit, reference

ARCHITECTURES = {
    "V100": "volta",
    "A100": "ampere",
    "A2": "ampere",
    "Ada": "ada",
    "L40S": "ada",
    "H100": "hopper",
    "H200": "hopper",
    "B200": "blackwell-sm100",
}
BESIDE = Path(__file__).parents[2].parent / "shared" / "reference" / "mma_vectors"
FOLDER = Path(os.environ.get("FPSIM_MMA_VECTORS", BESIDE))
FILES = sorted(FOLDER.glob("*.npz"))
CASES = [(file, out) for file in FILES for out in ("d_fp32", "d_fp16") if out in np.load(file, allow_pickle=False)]

pytestmark = pytest.mark.skipif(
    not FILES,
    reason="no recorded outputs: give FPSIM_MMA_VECTORS, a folder of .npz files made from model_validation/ of "
    "github.com/north-numerical-computing/MATLAB-tensor-core (BSD-2)",
)


def given(file: Path, out: str) -> tuple[Any, Any, Any, Any, dict[str, str]]:
    """Operands, accumulator, the recorded results, and what computed them."""
    gpu, dtype = file.stem.split("-")
    with np.load(file, allow_pickle=False) as data:
        a, b, c, d = data["a"], data["b"], data["c"], data[out]
    how = {"arch": ARCHITECTURES[gpu], "dtype": dtype, "accumulator": out.removeprefix("d_")}
    if how["accumulator"] == "fp16":
        c = c.astype(np.float16).astype(np.float32)
        if dtype in ("e4m3", "e5m2") and how["arch"] != "ada":  # recorded by mma, which is no FP8 unit there
            how["instruction"] = "mma"
    elif dtype in ("e4m3", "e5m2") and how["arch"] == "hopper":
        c = np.zeros_like(c)  # the recorded result is the product sum alone
    return a, b, c, d, how


@pytest.mark.parametrize(("file", "out"), CASES, ids=[f"{file.stem}-{out}" for file, out in CASES])
def test_every_recorded_result_is_met(file: Path, out: str) -> None:
    a, b, c, d, how = given(file, out)
    assert np.count_nonzero(bits(dot(a, b, c, **how)) != bits(d)) == 0
    assert len(d) == 5000


@pytest.mark.parametrize(("file", "out"), CASES, ids=[f"{file.stem}-{out}" for file, out in CASES])
def test_the_specification_meets_them_too(file: Path, out: str) -> None:
    a, b, c, d, how = given(file, out)
    dtype, accumulator = how.pop("dtype"), how["accumulator"]
    unit = find_unit(dtype=dtype, **how)
    rows = [x[:400].tolist() for x in (a, b, c)]
    made = [reference.dot(unit, (dtype, dtype), *row, accumulator=accumulator) for row in zip(*rows, strict=True)]
    assert np.array_equal(bits(np.array(made)), bits(d[:400]))


@pytest.mark.parametrize("changes", [{"group": 8}, {"exponent_floor": 4}])
def test_the_comparison_can_fail(changes: dict[str, int]) -> None:
    file = next(file for file in FILES if file.stem == "H200-fp16")
    a, b, c, d, how = given(file, "d_fp32")
    assert np.count_nonzero(bits(dot(a, b, c, **how, **changes)) != bits(d)) > 100
