"""``fpsim quantize``: reports, packed files and their way back, on small files and the bundled model's weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from quantize_cases import QUANTIZED, TENSORS, document, prepare, same
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

import fpsim
from fpsim import PerBlock, PerChannel, Quantizer
from fpsim.cli.main import run
from fpsim.measure.tensor import sparsity, sqnr_db

BUNDLED = Path(fpsim.__file__).parent / "model" / "weights" / "fashion-28" / "diffusion_pytorch_model.safetensors"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of tensors in the working folder."""
    return prepare(tmp_path, monkeypatch)


def test_a_report_measures_what_the_quantizer_does(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "in.safetensors", "--format", "e2m1")
    rows = {row["name"]: row for row in found["tensors"]}
    assert rows.keys() == TENSORS.keys()
    for name in QUANTIZED:
        x = TENSORS[name]
        y, row = Quantizer("e2m1", PerChannel(0), "mse")(x), rows[name]
        assert row["status"] == "quantized"
        assert row["shape"] == list(x.shape)
        assert row["sqnr_db"] == sqnr_db(x, y)
        assert row["max_abs_error"] == np.abs(x.astype(np.float64) - y.astype(np.float64)).max()
        assert (row["sparsity_before"], row["sparsity_after"]) == (sparsity(x), sparsity(y))
        assert row["bytes_before"] == x.nbytes
        assert row["bytes_after"] == -(-x.size // 2) + len(x) * (8 if x.dtype == np.float64 else 4)
    assert {name: row["copied_because"] for name, row in rows.items() if row["status"] == "copied"} == {
        "conv.bias": "of fewer than 2 dims",
        "scalar": "of fewer than 2 dims",
        "steps": "of type I64",
        "fp8": "of type F8_E4M3",
        "empty": "without values",
    }
    total = found["total"]
    assert (total["quantized"], total["copied"], total["values"]) == (4, 5, 48 + 200 + 99 + 18)
    assert total["bits_per_value"] == 8 * sum(rows[name]["bytes_after"] for name in QUANTIZED) / total["values"]
    assert total["bytes_before"] == source.stat().st_size
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize(
    ("words", "conv", "other"),
    [
        ("--format e4m3", Quantizer("e4m3", PerChannel(0)), None),
        ("--format uint4 --granularity tensor --scale max", Quantizer("uint4", scale="max"), None),
        ("--format nvfp4", Quantizer("nvfp4", PerBlock(16, 1)), Quantizer("nvfp4")),
        (
            "--format int4 --granularity block:32 --scale max",
            Quantizer("int4", PerBlock(32, 1), "max"),
            Quantizer("int4", PerBlock(32), "max"),
        ),
        (
            "--format e2m1 --granularity block:8 --scale e8m0-floor",
            Quantizer("e2m1", PerBlock(8, 1), "e8m0-floor"),
            Quantizer("e2m1", PerBlock(8), "e8m0-floor"),
        ),
    ],
)
def test_the_file_gives_back_the_quantizers_values(
    words: str, conv: Quantizer, other: Quantizer | None, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "in.safetensors", *words.split(), "--out", "out.safetensors")
    assert found["total"]["bytes_after"] == os.path.getsize("out.safetensors")
    back = fpsim.load_packed("out.safetensors")
    for name, x in TENSORS.items():
        q = conv if x.ndim > 2 or other is None else other
        assert same(back[name], q(x) if name in QUANTIZED else x), name
    assert run("quantize out.safetensors --dequantize --out plain.safetensors".split()) == 0
    assert "4 of 9 tensors decoded" in capsys.readouterr().out
    plain = load_torch("plain.safetensors")
    for name, tensor in plain.items():
        assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes() == back[name].tobytes()
    assert plain.keys() == TENSORS.keys()
    assert sorted(os.listdir()) == ["in.safetensors", "out.safetensors", "plain.safetensors"]


def test_rounding_and_globs(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "in.safetensors --format e4m3 --granularity tensor --scale none --include *.weight --exclude half.*"
    policies = "--rounding stochastic --seed 3 --random-bits 8"
    found = document(capsys, *words.split(), *policies.split(), "--out", "out.safetensors")
    reasons = {row["name"]: row["copied_because"] for row in found["tensors"]}
    assert (reasons["half.weight"], reasons["wide"], reasons["linear.weight"]) == ("excluded", "not included", None)
    assert (found["quantization"]["rounding"], found["quantization"]["seed"]) == ("stochastic", 3)
    back, x = fpsim.load_packed("out.safetensors"), TENSORS["linear.weight"]
    assert same(back["linear.weight"], fpsim.quantize(x, "e4m3", rounding="stochastic", seed=3, random_bits=8))
    assert same(back["half.weight"], TENSORS["half.weight"])


def test_vectors_have_one_scale(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "in.safetensors --format int8 --min-dims 1 --scale max --include conv.bias"
    (row,) = [r for r in document(capsys, *words.split())["tensors"] if r["status"] == "quantized"]
    assert (row["name"], row["bytes_after"]) == ("conv.bias", 4 + 4)


def test_saturated_values_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """e2m1 ends at 6: of eight values 7, -7 and 6.1 lie beyond; 6 and what rounds to 6 do not."""
    x = np.float32([[7, -7, 6.1, 6], [5.6, -6, 0, 1]])
    save_file({"x": x}, tmp_path / "x.safetensors")
    words = ("--format", "e2m1", "--scale", "none", "--granularity", "tensor")
    (row,) = document(capsys, str(tmp_path / "x.safetensors"), *words)["tensors"]
    assert row["saturated"] == 3 / 8
    (row,) = document(capsys, str(tmp_path / "x.safetensors"), "--format", "e2m1", "--scale", "max")["tensors"]
    assert row["saturated"] == 0


def test_shards_are_read_through_their_index(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = list(TENSORS)
    for number, part in enumerate((names[:4], names[4:])):
        save_file({name: TENSORS[name] for name in part}, f"shard-{number}.safetensors")
    index = {"weight_map": {name: f"shard-{int(i > 3)}.safetensors" for i, name in enumerate(names)}}
    Path("m.safetensors.index.json").write_text(json.dumps(index))
    ours = document(capsys, "m.safetensors.index.json", "--format", "int4", "--scale", "max", "--out", "a.safetensors")
    assert ours["total"]["quantized"] == 4
    words = "shard-0.safetensors shard-1.safetensors --format int4 --scale max --out b.safetensors"
    assert run(["quantize", *words.split()]) == 0
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_the_bundled_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "packed.safetensors"
    assert run(["quantize", str(BUNDLED), "--format", "mxfp4", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    size = f"{out.stat().st_size:,} bytes instead of {BUNDLED.stat().st_size:,} ("
    assert size in printed.out
    assert printed.err == ""
    back, plain = fpsim.load_packed(out), load_file(BUNDLED)
    assert back.keys() == plain.keys()
    for name, x in plain.items():
        y = Quantizer("mxfp4", PerBlock(32, 1 if x.ndim > 2 else -1))(x) if x.ndim > 1 else x
        assert same(back[name], y), name
