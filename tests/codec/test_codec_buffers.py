"""The public encode and decode: buffers, policies by name, layouts, long arrays and blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from codec_oracle import differences

import fpsim
from fpsim.codec.arrays import SMALL
from fpsim.codec.coding import decode_rows
from fpsim.number import CodebookFormat

FORMATS = ("e4m3", "e2m1", "int8", "nf4", "binary16", "mxfp4", "nvfp4", "mxint8")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
def test_buffers_are_used(name: str) -> None:
    for shape in ((4, 64), (96, 320)):
        x = normal(*shape)
        fresh = fpsim.encode(x, name)
        codes = np.full_like(fresh.codes, 255)
        encoded = fpsim.encode(x, name, out=codes)
        assert encoded.codes is codes
        assert np.array_equal(codes, fresh.codes)
        values = np.full_like(x, np.nan)
        assert fpsim.decode(encoded, out=values) is values
        assert not differences(values, fpsim.quantize(x, name, backend="numpy"), x)


def test_buffers_may_be_strided() -> None:
    x = normal(64, 300)
    codes, values = np.zeros((64, 600), np.uint8)[:, ::2], np.zeros((300, 64)).T
    encoded = fpsim.encode(x, "e4m3", out=codes)
    assert np.array_equal(codes, fpsim.encode(x, "e4m3").codes)
    assert encoded.codes is codes
    assert fpsim.decode(encoded, out=values) is values
    assert np.array_equal(values, fpsim.quantize(x, "e4m3"))
    assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((2, 3), np.uint16), r"out is uint16 \(2, 3\); codes of e4m3 need .* uint8 and shape \(2, 3\)"),
        (np.empty((3, 2), np.uint8), r"out is uint8 \(3, 2\)"),
        (torch.empty(2, 3, dtype=torch.uint8), "out is Tensor"),
        (np.frombuffer(bytes(6), np.uint8).reshape(2, 3), "writable"),
    ],
)
def test_buffers_that_do_not_fit(out: Any, message: str) -> None:
    with pytest.raises(fpsim.FpsimError, match=message):
        fpsim.encode(normal(2, 3), "e4m3", out=out)


def test_buffers_for_values_that_do_not_fit() -> None:
    encoded = fpsim.encode(normal(2, 3), "e4m3")
    with pytest.raises(fpsim.FpsimError, match="out is float32"):
        fpsim.decode(encoded, dtype=np.float64, out=np.empty((2, 3), np.float32))
    with pytest.raises(fpsim.FpsimError, match="cannot be decoded to float16"):
        fpsim.decode(encoded, out=np.empty((2, 3), np.float16))


@pytest.mark.parametrize("size", [10, SMALL + 10])
def test_nan_policies(size: int) -> None:
    x = normal(size)
    x[7] = np.nan
    with pytest.raises(fpsim.FpsimError, match=r"the value at \(7,\) is NaN, but e2m1 has no NaN code"):
        fpsim.encode(x, "e2m1")
    codes = {policy: int(fpsim.encode(x, "e2m1", nan=policy).codes[7]) for policy in ("zero", "negative-zero", "max")}
    assert codes == {"zero": 0, "negative-zero": 8, "max": 7}
    assert fpsim.encode(x, "int8", nan="max").codes[7] == 127
    assert fpsim.encode(x, "e4m3", nan="zero").codes[7] == 0x7F
    with pytest.raises(fpsim.FpsimError, match=r"the value at \(0, 7, 0\) is NaN"):
        fpsim.encode(x.reshape(1, -1, 1), "e2m1")


@pytest.mark.parametrize("size", [40, SMALL + 40])
@pytest.mark.parametrize(
    "policies",
    [
        {"rounding": "toward-zero"},
        {"rounding": "stochastic", "seed": 9, "random_bits": 6},
        {"overflow": "special"},
        {"preset": "ml_dtypes"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["e4m3", "mxfp8", "e5m2"])
def test_policies_by_name(name: str, policies: dict[str, Any], size: int) -> None:
    x = normal(size) * 200
    x[3] = np.inf
    wanted = fpsim.quantize(x, name, backend="numpy", **policies)
    assert not differences(fpsim.decode(fpsim.encode(x, name, **policies)), wanted, x)


def test_stochastic_rounding_needs_a_seed() -> None:
    with pytest.raises(fpsim.FpsimError, match="needs a seed"):
        fpsim.encode(normal(3), "e4m3", rounding="stochastic")


@pytest.mark.parametrize("shape", [(200, 160), (200, 150), (3, 70, 96), (20000,), (20001,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "mxfp8-e5m2", "mxint8-rceil", "mxfp6-e2m3-even"])
def test_long_blocks(name: str, dtype: type[np.floating], shape: tuple[int, ...]) -> None:
    x = normal(*shape).astype(dtype) * np.exp2(np.arange(shape[0]) % 200 - 120).reshape(-1, *[1] * (len(shape) - 1))
    x = x.astype(dtype)
    x.flat[5], x.flat[64:128] = np.inf, 0
    encoded = fpsim.encode(x, name)
    assert not differences(fpsim.decode(encoded), fpsim.quantize(x, name, backend="numpy"), x)
    rows = fpsim.encode(x.reshape(-1, x.shape[-1])[:1], name) if name != "nvfp4" else None
    if rows is not None:
        assert np.array_equal(encoded.scales[:1], rows.scales)


def test_a_nan_in_a_long_block_is_found() -> None:
    x = normal(40, 640)
    x[31, 77] = np.nan
    for name in ("mxfp4", "nvfp4"):
        with pytest.raises(fpsim.FpsimError, match=r"the value at \(31, 77\) is NaN, but e2m1 has no NaN code"):
            fpsim.encode(x, name)
    encoded = fpsim.encode(x, "mxfp8")
    assert np.argwhere(np.isnan(fpsim.decode(encoded))).tolist() == [[31, 77]]


def test_layouts_and_libraries() -> None:
    x = normal(150, 300)
    wanted = fpsim.encode(x, "e4m3").codes
    assert np.array_equal(fpsim.encode(np.asfortranarray(x), "e4m3").codes, wanted)
    assert np.array_equal(fpsim.encode(x[::-1, ::2], "e4m3").codes, wanted[::-1, ::2])
    assert np.array_equal(fpsim.encode(torch.from_numpy(x.T.copy()).t(), "e4m3").codes, wanted)
    half = torch.from_numpy(x).to(torch.bfloat16)
    assert np.array_equal(fpsim.encode(half, "e2m1").codes, fpsim.encode(half.float(), "e2m1").codes)
    read_only = x.copy()
    read_only.flags.writeable = False
    assert np.array_equal(fpsim.encode(read_only, "e4m3").codes, wanted)
    encoded = fpsim.encode(x, "e4m3")
    turned = fpsim.Encoded(codes=wanted.T, scales=None, tensor_scale=1.0, shape=(300, 150), format=encoded.format)
    assert np.array_equal(fpsim.decode(turned), fpsim.decode(encoded).T)


def test_numbers_and_empty_arrays() -> None:
    one = fpsim.encode(np.array(-3.3), "e2m1", out=np.empty((), np.uint8))
    assert one.codes.tolist() == 0xD
    assert fpsim.decode(one, out=np.empty((), np.float32)).tolist() == -3
    for name in ("e4m3", "mxfp4"):
        empty = fpsim.encode(np.empty((3, 0), np.float32), name)
        assert empty.codes.shape == (3, 0)
        assert fpsim.decode(empty).shape == (3, 0)


@pytest.mark.parametrize("count", [100, 40000])
def test_codes_that_do_not_exist(count: int) -> None:
    one, codes = np.ones((1, 1), np.float32), np.zeros((2, count), np.uint8)
    codes[1, count - 1] = 200
    few = CodebookFormat(name="few", values=tuple(map(float, range(150))))
    for fmt, known in ((fpsim.format("e2m1"), 16), (fpsim.format("int4"), 16), (few, 150)):
        with pytest.raises(fpsim.FpsimError, match=f"code 200 does not exist in .*, which has {known} codes"):
            decode_rows(codes, fmt, one)
    with pytest.raises(fpsim.FpsimError, match="codes are of type int64"):
        decode_rows(codes.astype(np.int64), fpsim.format("e4m3"), one)
