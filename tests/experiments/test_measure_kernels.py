"""Times of kernels: what is called is what the operation says, and the files can be read by ``fpsim cost``."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import measure_kernels  # noqa: E402
import measure_kernels_calls as calls  # noqa: E402
from measure_kernels_fit import calibration  # noqa: E402

from fpsim.cost.calibration_file import loads  # noqa: E402
from fpsim.cost.operations import Operation  # noqa: E402
from fpsim.errors import FpsimError  # noqa: E402

LINEAR = Operation(
    layer="", op="aten.linear", kind="linear", macs=64 * 48 * 32, flops=2 * 64 * 48 * 32, weights=48 * 32,
    inputs=64 * 32, outputs=64 * 48, gemm=(1, 64, 48, 32),
)  # fmt: skip
ABOUT = {"device": "a GPU", "driver": "1", "date": "2030-01-01", "torch": "2", "models": "sd15"}


def test_smoke(tmp_path: Path) -> None:
    command = [sys.executable, str(EXPERIMENTS / "measure_kernels.py"), "--smoke", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "need CUDA and were not measured" in done.stdout
    with next(tmp_path.glob("kernels-*.csv")).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == measure_kernels.COLUMNS
    assert {row["dtype"] for row in rows} == {"fp32"}
    assert {"conv", "linear", "attention"} <= {row["kind"] for row in rows}
    for row in rows:
        assert float(row["microseconds"]) > 0
        assert row["device"]
        assert row["date"].startswith("20")
    [path] = tmp_path.glob("calibration-*.toml")
    found = loads(path.read_text(encoding="utf-8"), path.name)
    assert found.parameters.level == "measured"
    assert found.parameters.computes == ("fp32",)
    assert len(found.devices) == 1


def test_without_cuda_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    args = measure_kernels.argparse.Namespace(operations=None, model="bundled", list=None, device="cuda", smoke=False)
    with pytest.raises(FpsimError, match="no CUDA device"):
        measure_kernels.run(args)


def test_listed_operations_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "operations.json"
    args = measure_kernels.argparse.Namespace(operations=None, model="bundled", list=path, device=None, smoke=False)
    measure_kernels.run(args)
    assert measure_kernels.listed(path) == measure_kernels.traced("bundled")
    path.write_text('[[{"layer": ""}, 1]]')
    with pytest.raises(FpsimError, match="holds no operations"):
        measure_kernels.listed(path)


def test_int8_products_have_the_shape_of_the_layer() -> None:
    made = calls.call(LINEAR, "cpu", "int8")
    assert made is not None
    assert made().shape == (64, 48)
    assert made().dtype == torch.int32
    assert calls.call(replace(LINEAR, gemm=(1, 64, 47, 32)), "cpu", "int8") is None
    assert calls.call(replace(LINEAR, gemm=(1, 16, 48, 32)), "cpu", "int8") is None
    assert calls.call(replace(LINEAR, kind="norm", gemm=None), "cpu", "int8") is None


def test_bytes_are_those_of_the_type() -> None:
    row = calls.Row(operation=LINEAR, count=1, dtype="fp8", seconds=1.0)
    assert row.bytes == 48 * 32 + 64 * 32 + 2 * 64 * 48
    assert replace(row, dtype="int8").bytes == row.bytes + 2 * 64 * 48
    assert replace(row, dtype="fp32").bytes == 4 * (48 * 32 + 64 * 32 + 64 * 48)
    assert (row.op, replace(row, dtype="bf16").op) == ("matmul", "aten.linear")


def big(rows: int, dtype: str, rate: float) -> calls.Row:
    """A product that runs at a rate."""
    n = k = 4096
    macs = rows * n * k
    sizes = {"weights": n * k, "inputs": rows * k, "outputs": rows * n}
    operation = replace(LINEAR, macs=macs, flops=2 * macs, gemm=(1, rows, n, k), **sizes)
    return calls.Row(operation=operation, count=1, dtype=dtype, seconds=2 * macs / rate)


def test_a_known_gpu_gets_the_efficiencies_of_its_rows() -> None:
    """70 % of H200's bf16 peak, and a half of that share for FP8."""
    rows = [big(m, "bf16", 0.7 * 989.4e12) for m in (8192, 16384, 32768)]
    rows += [big(m, "fp8", 0.35 * 1978.9e12) for m in (8192, 16384, 32768)]
    text, error = calibration(rows, "cuda", "h200", ABOUT, known="h200")
    found = loads(text, "text")
    share = found.parameters.values["tensor.linear"] / found.parameters.devices["h200"]
    assert share == pytest.approx(0.7, rel=0.1)
    assert found.parameters.values["narrow8"] == pytest.approx(0.5, rel=0.15)
    assert error < 10
    assert found.parameters.computes == ("bf16", "fp8")
    assert not found.devices
    assert "a GPU" in found.parameters.source
    assert "2030-01-01" in found.parameters.source


def test_without_products_of_the_base_type_nothing_is_fitted() -> None:
    with pytest.raises(FpsimError, match="no product was timed in bf16"):
        calibration([big(64, "fp8", 1e12)], "cuda", "h200", ABOUT, known="h200")
