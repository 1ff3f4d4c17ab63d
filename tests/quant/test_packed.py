"""Packed files give back, bit for bit, what the quantizer returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from packed_cases import DTYPES, FORMATS, GRANULARITIES, SHAPES, values
from quantizer_checks import same
from safetensors import safe_open
from safetensors.numpy import load_file

import fpsim
from fpsim import PerBlock, PerChannel, Quantizer, load_packed, save_packed
from fpsim.codec import arrays
from fpsim.codec.protocol import backend
from fpsim.number import BlockFormat
from fpsim.number.conversion import Conversion


@pytest.fixture
def _by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays of many formats: NumPy answers sooner than Numba compiles."""
    monkeypatch.setattr(arrays, "choose", lambda name, x: backend("numpy"))


def quantizers(fmt: Any) -> list[Quantizer]:
    """All granularities and rules that a format takes."""
    fmt = fpsim.format(fmt)
    if isinstance(fmt, BlockFormat):
        return [Quantizer(fmt, PerBlock(fmt.block, axis)) for axis in (-1, 1, 0)]
    rules = ("max", "none", "percentile:99")
    found = [Quantizer(fmt, granularity, rule) for granularity in GRANULARITIES for rule in rules]
    return [*found, Quantizer(fmt, PerBlock(16), "e8m0-rceil"), Quantizer(fmt, PerBlock(4, 1), "e4m3-max")]


@pytest.mark.usefixtures("_by_numpy")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_granularity_and_type_comes_back(name: str, dtype: str, tmp_path: Path) -> None:
    chosen = quantizers(FORMATS[name])
    tensors = {
        f"{i}.{j}": values(shape, DTYPES[dtype], j) for i in range(len(chosen)) for j, shape in enumerate(SHAPES)
    }
    by_name = {key: chosen[int(key.split(".")[0])] for key in tensors}
    save_packed(tmp_path / "a.safetensors", tensors, by_name)
    back = load_packed(tmp_path / "a.safetensors")
    assert back.keys() == tensors.keys()
    for key, x in tensors.items():
        assert same(back[key], by_name[key](x)), (by_name[key], x.shape)
        assert back[key].shape == x.shape


@pytest.mark.parametrize("fmt", ["e4m3", "uint4", "nvfp4"])
def test_fitted_scales_come_back_from_compiled_code(fmt: str, tmp_path: Path) -> None:
    x, q = values((70, 300), np.float32), Quantizer(fmt, PerChannel(0) if fmt != "nvfp4" else PerBlock(16))
    save_packed(tmp_path / "a.safetensors", {"x": x}, q)
    assert same(load_packed(tmp_path / "a.safetensors")["x"], q(x))


@pytest.mark.usefixtures("_by_numpy")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_of_any_layout_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    x = torch.from_numpy(values((6, 5, 3, 4), np.float64)).to(dtype).to(memory_format=torch.channels_last)
    q = Quantizer("int4", PerChannel(0), "max")
    save_packed(tmp_path / "a.safetensors", {"x": x, "y": x.transpose(0, 1)}, q)
    back = load_packed(tmp_path / "a.safetensors", framework="torch")
    for name, given in (("x", x), ("y", x.transpose(0, 1))):
        assert back[name].dtype == dtype
        assert torch.equal(back[name], q(given))
        assert torch.equal(back[name].signbit(), q(given).signbit())


POLICIES = (
    Conversion(rounding="toward-zero"),
    Conversion(rounding="stochastic", seed=7, random_bits=9),
    Conversion(rounding="to-odd", overflow="special"),
)


@pytest.mark.usefixtures("_by_numpy")
@pytest.mark.parametrize("dtype", ["BF16", "F32", "F64"])
@pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in ("e4m3", "mxfp8") for how in POLICIES]
    + [(name, how) for name in ("e3m4-bias-6.37", "nvfp4") for how in POLICIES[:2]],  # they have neither Inf nor NaN
    ids=str,
)
def test_other_policies_give_the_values_of_quantize(name: str, how: Conversion, dtype: str, tmp_path: Path) -> None:
    fmt, x = fpsim.format(FORMATS[name]), values((9, 37), DTYPES[dtype]) * DTYPES[dtype](900)
    random = {} if how.deterministic else {"seed": how.seed, "random_bits": how.random_bits}
    expected = fpsim.quantize(x, fmt, rounding=how.rounding, overflow=how.overflow, **random)
    save_packed(tmp_path / "a.safetensors", {"x": x}, Quantizer(fmt, scale="none"), how=how)
    back = load_packed(tmp_path / "a.safetensors")["x"]
    missing = np.isnan(expected)  # the sign of a NaN is nobody's business
    assert np.array_equal(np.isnan(back), missing)
    assert same(back[~missing], expected[~missing])
    assert not same(back, fpsim.quantize(x, fmt))  # the policy mattered


@pytest.mark.parametrize(
    ("fmt", "parts"),
    [
        ("e3m2", {"codes": ("U8", [79]), "scales": ("F32", [3])}),
        ("uint4", {"codes": ("U8", [53]), "scales": ("F32", [3]), "zero_points": ("U8", [3])}),
        ("mxfp4", {"codes": ("U8", [53]), "scales": ("U8", [3, 2])}),
        ("nvfp4", {"codes": ("U8", [53]), "scales": ("U8", [3, 3]), "tensor_scale": ("F32", [1])}),
    ],
)
@pytest.mark.usefixtures("_by_numpy")
def test_the_file_holds_packed_codes_that_safetensors_reads(fmt: str, parts: dict[str, Any], tmp_path: Path) -> None:
    """105 values of 6 bits are 78.75 bytes, of 4 bits 52.5."""
    x = values((3, 35), np.float32)
    save_packed(tmp_path / "a.safetensors", {"x": x}, Quantizer(fmt, PerChannel(0), "max"))
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        found = {key: file.get_slice(key) for key in file.keys()}
        assert {key: (part.get_dtype(), part.get_shape()) for key, part in found.items()} == {
            f"x.{suffix}": part for suffix, part in parts.items()
        }
        metadata = file.metadata()
    tensors = json.loads(metadata["fpsim.tensors"])
    assert tensors == {"x": {"dtype": "F32", "shape": [3, 35], "recipe": 0}}
    assert metadata["fpsim.version"] == fpsim.__version__


def test_the_codes_are_those_of_encode(tmp_path: Path) -> None:
    x = values((3, 35), np.float32)
    save_packed(tmp_path / "a.safetensors", {"x": x}, Quantizer("mxfp6"))
    parts, encoded = load_file(tmp_path / "a.safetensors"), fpsim.encode(x, "mxfp6")
    assert encoded.scales is not None
    assert parts["x.codes"].tolist() == encoded.pack().tolist()
    assert parts["x.scales"].tolist() == encoded.scales.tolist()


@pytest.mark.usefixtures("_by_numpy")
def test_a_format_of_the_user_is_read_without_its_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[odd]\nexponent_bits = 3\nmantissa_bits = 3\nbias = 2.5\n[e2m1]\nkind = "codebook"\nvalues = [-2, 0, 1]\n'
    )
    tensors = {"a": values((4, 9), np.float32), "b": values((4, 9), np.float32, 1), "c": values((4, 9), np.float32, 2)}
    chosen = {
        "a": Quantizer(fpsim.format(f"{mine}#odd"), PerBlock(4), "e8m0-ceil"),
        "b": Quantizer(fpsim.format(f"{mine}#e2m1"), scale="max"),
        "c": Quantizer("e2m1", scale="max"),
    }
    save_packed(tmp_path / "a.safetensors", tensors, chosen)
    mine.unlink()
    back = load_packed(tmp_path / "a.safetensors")
    assert all(same(back[name], chosen[name](x)) for name, x in tensors.items())


def test_what_is_not_quantized_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {
        "steps": np.arange(5),
        "mask": np.array([[True], [False]]),
        "empty": np.zeros((0, 3), np.float32),
        "half": np.array(np.nan, np.float16),
        "fp8": np.array([1, 2], ml_dtypes.float8_e4m3fn),
        'odd \n"name" é': np.array([1 + 2j], np.complex64),
    }
    weight = values((2, 2), np.float32)
    save_packed(tmp_path / "a.safetensors", {**tensors, "weight": weight}, {"weight": Quantizer("e4m3", scale="max")})
    back = load_packed(tmp_path / "a.safetensors")
    assert all(same(back[name], x) and back[name].shape == x.shape for name, x in tensors.items())
    assert same(back["weight"], Quantizer("e4m3", scale="max")(weight))
    assert all(x.flags.writeable for x in back.values())


def test_a_tensor_without_dims_is_quantized(tmp_path: Path) -> None:
    x = np.array(0.3, np.float32)
    for q in (Quantizer("e2m1", scale="none"), Quantizer("mxfp4")):
        save_packed(tmp_path / "a.safetensors", {"x": x}, q, overwrite=True)
        back = load_packed(tmp_path / "a.safetensors")["x"]
        assert back.shape == ()
        assert same(back, q(x))
