"""``fpsim compare``: facts against lists of codes, data from distributions and files, and what is printed."""

from __future__ import annotations

import csv
import io
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import fpsim
from fpsim.cli.compare_data import tensors
from fpsim.cli.main import run
from fpsim.measure.tensor import sqnr_db
from fpsim.number import CodebookFormat
from fpsim.number.capability import capability
from fpsim.number.exact import decode
from fpsim.quant.compare import fitted


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["compare", *words]) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, *words, "--json"))
    return found


NAMES = (
    "e4m3",
    "e5m2",
    "e2m1",
    "e4m3-fnuz",
    "e4m3-ieee",
    "e3m2",
    "e8m0",
    "int8",
    "int8-full",
    "uint4",
    "nf4",
    "int8-q6",
)


@pytest.mark.parametrize("name", [*NAMES, "flat", "real bias"])
def test_capabilities_are_those_of_the_list_of_codes(name: str) -> None:
    special = {"flat": ("e3m2", {"subnormals": False}), "real bias": ("e3m4", {"bias": 1.4})}
    base, changes = special.get(name, (name, {}))
    fmt: Any = fpsim.format(base, **changes)
    found = capability(fmt)
    codes = range(len(fmt.values)) if isinstance(fmt, CodebookFormat) else range(1 << fmt.bits)
    values = [decode(fmt, code, width=64) for code in codes]
    finite = {Fraction(value) for value in values if math.isfinite(value)}
    if name == "int8":
        finite.remove(Fraction(-128))
    if name == "int8-q6":
        finite.remove(Fraction(-2))
    assert found.max == max(map(abs, finite) if name == "nf4" else finite)
    assert found.min_positive == min(value for value in finite if value > 0)
    assert found.unit_codes == sum(0 <= value < 1 for value in finite)
    assert found.wasted == (1 << fmt.bits) - len(finite)
    assert found.inf == sum(math.isinf(value) for value in values)
    assert found.nan == sum(math.isnan(value) for value in values)
    assert found.negative_zero == (found.wasted > 0 and any(isinstance(v, float) and v == 0 for v in values))
    assert found.binades == pytest.approx(math.log2(found.max / found.min_positive))
    assert found.decibels == pytest.approx(20 * math.log10(found.max / found.min_positive))


def test_known_facts() -> None:
    e4m3, half, mxfp4 = (capability(fpsim.format(name)) for name in ("e4m3", "binary16", "mxfp4"))
    assert (e4m3.min_subnormal, e4m3.min_normal) == (Fraction(1, 512), Fraction(1, 64))
    assert (e4m3.max, e4m3.unit_codes, e4m3.wasted) == (448, 56, 3)
    assert (half.unit_codes, half.inf, half.nan, half.digits) == (15360, 2, 2046, pytest.approx(3.311, abs=1e-3))
    assert (mxfp4.bits, mxfp4.max, mxfp4.codes) == (4.25, 6, 16)


@pytest.mark.parametrize(
    ("name", "kurtosis"), [("normal", 3), ("laplace", 6), ("student-t:9", 4.2), ("student-t", None)]
)
def test_distributions_have_unit_variance_and_their_shape(name: str, kurtosis: float | None) -> None:
    ((tensor),) = tensors(name, 1 << 18, 0)
    x = tensor.values
    assert (x.shape, x.dtype) == ((1 << 18,), np.float64)
    assert np.mean(x**2) == pytest.approx(1, rel=0.02)
    if kurtosis is not None:
        assert np.mean(x**4) == pytest.approx(kurtosis, rel=0.1)
    (again,) = tensors(name, 100, 0)
    (other,) = tensors(name, 100, 1)
    assert not np.array_equal(again.values, other.values)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    generator = np.random.default_rng(2)
    arrays = {"a": generator.standard_normal((6, 40)).astype(np.float32), "b": generator.standard_normal(90)}
    arrays["b"] = arrays["b"] * 1e-3
    np.save(tmp_path / "one.npy", arrays["a"])
    np.savez(tmp_path / "two.npz", **arrays, index=np.arange(4))
    np.save(tmp_path / "index.npy", np.arange(4))
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    save_file({**arrays, "index": np.arange(4)}, tmp_path / "two.safetensors")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    np.savez(tmp_path / "none.npz", index=np.arange(4))
    return tmp_path


@pytest.mark.parametrize("name", ["two.npz", "two.safetensors"])
def test_every_tensor_of_a_file_has_a_scale_of_its_own(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "e2m1", "int8", "--data", str(files / name))
    assert sorted((row["tensor"], row["format"], row["values"]) for row in found["tensors"]) == [
        (tensor, fmt, count) for tensor, count in (("a", 240), ("b", 90)) for fmt in ("e2m1", "int8")
    ]
    arrays = np.load(files / "two.npz")
    for row in found["tensors"]:
        fmt = fpsim.format(row["format"])
        ours = fitted(arrays[row["tensor"]], fmt)
        assert row["scale"] == ours.scale
        assert row["sqnr_db"] == sqnr_db(arrays[row["tensor"]], ours.values)
    ratios = {row["tensor"]: 10 ** (row["sqnr_db"] / 10) for row in found["tensors"] if row["format"] == "e2m1"}
    energies = {name: float(np.sum(np.square(arrays[name].astype(float)))) for name in ("a", "b")}
    noise = sum(energies[name] / ratios[name] for name in energies)
    assert found["formats"][0]["sqnr_db"] == pytest.approx(10 * math.log10(sum(energies.values()) / noise))
    assert found["formats"][0]["scale"] is None
    text = printed(capsys, "e2m1", "--data", str(files / name))
    assert "330 values in 2 tensors" in text
    assert "worst" in text


def test_one_tensor_of_a_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for data in ("two.npz:a", "two.safetensors:a", "one.npy"):
        found = document(capsys, "e2m1", "--data", str(files / data))
        assert found["formats"][0]["scale"] == fitted(np.load(files / "one.npy"), fpsim.format("e2m1")).scale
        assert [row["values"] for row in found["tensors"]] == [240]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("e2m1 --data laplce", "Did you mean 'laplace'? There are normal, laplace, student-t:NU"),
        ("e2m1 --data normal:3", "is no data"),
        ("e2m1 --data student-t:2", "NU is a number above 2"),
        ("e2m1 --data nowhere.npy", "nowhere.npy cannot be read: No such file"),
        ("e2m1 --data nowhere.safetensors", "nowhere.safetensors cannot be read: No such file"),
        ("e2m1 --data {}/two.npz:c", "has no tensor 'c'. It has a, b, index."),
        ("e2m1 --data {}/two.npz:index", "'index' holds int64"),
        ("e2m1 --data {}/two.safetensors:index", "'index' holds I64"),
        ("e2m1 --data {}/one.npy:a", "without a name"),
        ("e2m1 --data {}/index.npy", "holds int64; convert it"),
        ("e2m1 --data {}/object.npy", "Python objects in dtype"),
        ("e2m1 --data {}/torn.npz", "torn.npz cannot be read"),
        ("e2m1 --data {}/none.npz", "no floating-point tensor with values"),
        ("e4m3fm", "unknown format 'e4m3fm'. Did you mean 'e4m3fn'?"),
        ("e2m1 --samples 3", "is not in the range"),
        ("", "Missing argument 'FORMAT...'"),
    ],
)
def test_bad_input(words: str, message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *words.format(files).split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err


def test_seed_and_samples_reach_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    first = document(capsys, "e2m1", "--samples", "500")
    assert first == document(capsys, "e2m1", "--samples", "500", "--seed", "0")
    assert first["data"]["values"] == 500
    assert first["formats"] != document(capsys, "e2m1", "--samples", "500", "--seed", "1")["formats"]


def test_lines_fit_eighty_columns_and_a_name_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["e4m3", "e5m2", "int8", "mxfp4", "nvfp4", "uint4", "e4m3", "--data", "student-t:4", "--samples", "2000"]
    lines = printed(capsys, *words).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("e4m3 ") for line in lines) == 2
    assert "# Student's t, nu = 4, unit variance: 2,000 values, seed 0" in lines


def test_csv_has_a_row_a_format(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(csv.DictReader(io.StringIO(printed(capsys, "e4m3", "mxfp4", "--samples", "2000", "--csv"))))
    assert [(row["format"], row["bits"], row["max"]) for row in found] == [("e4m3", "8", "448"), ("mxfp4", "4.25", "6")]
    assert found[0]["min_subnormal"] == "1/512"
    assert (found[0]["scale"] != "", found[1]["scale"]) == (True, "")


def test_block_formats_have_their_own_scales(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = document(capsys, "mxfp4", "--samples", "4096")["formats"]
    (tensor,) = tensors("normal", 4096, 0)
    assert row["sqnr_db"] == sqnr_db(tensor.values, fpsim.quantize(tensor.values, "mxfp4"))
