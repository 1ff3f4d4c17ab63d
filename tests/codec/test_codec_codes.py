"""Codes: decoding gives what quantizing gives, and packing loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codec_cases import NARROW, WIDE, ids
from codec_oracle import differences, directed, oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.codec.encoded import Encoded
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat
from fpsim.number.catalogue import builtin

BLOCKS = [entry.format for entry in builtin().values() if isinstance(entry.format, BlockFormat)]
BLOCKS += [fpsim.format(n) for n in ("mxfp4-even", "mxfp8-ceil", "mxint8-rceil")]
BLOCKS += [
    BlockFormat(name="nf4-8", element=fpsim.format("nf4"), block=8, scale=fpsim.format("e8m0"), rule="rceil"),
    BlockFormat(
        name="real-bias",
        element=fpsim.format("e2m1", bias=1.3),
        block=16,
        scale=fpsim.format("e4m3"),
        rule="max",
        tensor_scale=True,
    ),
]


@pytest.mark.parametrize("fmt", [*NARROW[::3], *WIDE], ids=ids)
def test_decoding_gives_what_quantizing_gives(fmt: ElementFormat) -> None:
    for dtype in (np.float32, np.float64):
        x = directed(fmt, dtype)
        x = x[~np.isnan(x)][:4000]
        encoded = fpsim.encode(x, fmt)
        assert not differences(fpsim.decode(encoded), fpsim.quantize(x, fmt, backend="numpy"), x)
        assert encoded.codes.dtype == (np.uint8 if fmt.bits <= 8 else np.uint16)
        unpacked = fpsim.unpack(encoded.pack(), encoded)
        assert np.array_equal(unpacked.codes, encoded.codes)
        assert unpacked.codes.dtype == encoded.codes.dtype


@pytest.mark.parametrize("shape", [(3, 64), (5, 37), (40,), (2, 3, 33), (4, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", BLOCKS, ids=lambda f: f.name)
def test_decoding_blocks_gives_what_quantizing_gives(
    fmt: BlockFormat, dtype: type[np.floating], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(len(shape))
    x = (rng.normal(size=shape) * np.exp2(rng.integers(-140, 100, (*shape[:-1], 1)))).astype(dtype)
    x.flat[::11] = 0
    x.flat[5 % x.size] = np.inf
    encoded = fpsim.encode(x, fmt)
    assert not differences(fpsim.decode(encoded), fpsim.quantize(x, fmt, backend="numpy"), x)
    assert encoded.codes.shape == encoded.shape == shape
    assert encoded.scales.shape == (x.size // shape[-1], -(-shape[-1] // fmt.block))
    again = fpsim.unpack(encoded.pack(), encoded)
    assert not differences(fpsim.decode(again), fpsim.decode(encoded, dtype=dtype), x)


def test_tensors_encode_as_arrays_do() -> None:
    x = np.random.default_rng(0).normal(size=(4, 40)).astype(np.float32)
    for name in ("e4m3", "mxfp4", "nvfp4"):
        for tensor in (torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), torch.from_numpy(x.T.copy()).t()):
            codes = fpsim.encode(tensor, name)
            assert np.array_equal(codes.codes, fpsim.encode(x, name).codes)
    half = torch.from_numpy(x).to(torch.bfloat16)
    assert np.array_equal(fpsim.encode(half, "e4m3").codes, fpsim.encode(half.float().numpy(), "e4m3").codes)


def test_codes_of_wide_formats_take_32_bits() -> None:
    x = np.array([1, -2, 3.14159, np.nan], np.float32)
    encoded = fpsim.encode(x, "binary32")
    assert encoded.codes.dtype == np.uint32
    assert encoded.codes.tolist()[:3] == x.view(np.uint32).tolist()[:3]
    assert not differences(fpsim.decode(fpsim.unpack(encoded.pack(), encoded)), x, x)


def test_one_number() -> None:
    encoded = fpsim.encode(np.array(1.3, np.float32), "e4m3")
    assert encoded.codes.shape == ()
    back = fpsim.decode(encoded)
    assert isinstance(back, np.ndarray)
    assert back.tolist() == 1.25
    assert fpsim.unpack(encoded.pack(), encoded).codes.tolist() == encoded.codes.tolist()


def with_codes(codes: list[int], width: int) -> Encoded:
    values = tuple(float(i) for i in range(1 << width))
    fmt = CodebookFormat(name=f"{width} bits", values=values)
    array = np.array(codes, np.uint8 if width <= 8 else np.uint16)
    return Encoded(codes=array, scales=None, tensor_scale=1.0, shape=array.shape, format=fmt)


WIDTHS = {width: with_codes([], width).format for width in range(2, 17)}


@settings(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from(list(WIDTHS)))
def test_packing_round_trip(data: st.DataObject, width: int) -> None:
    codes = data.draw(st.lists(st.integers(0, (1 << width) - 1), max_size=40))
    array = np.array(codes, np.uint8 if width <= 8 else np.uint16)
    encoded = Encoded(codes=array, scales=None, tensor_scale=1.0, shape=array.shape, format=WIDTHS[width])
    packed = encoded.pack()
    stream = sum(code << (width * i) for i, code in enumerate(codes))
    assert packed.tobytes() == stream.to_bytes((width * len(codes) + 7) // 8, "little")
    back = fpsim.unpack(packed, encoded)
    assert back.codes.tolist() == codes
    assert back.codes.dtype == array.dtype


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.sampled_from(["e2m1", "e2m3", "e4m3", "mxfp4", "int5"]))
def test_packing_keeps_shape_and_scales(shape: list[int], name: str) -> None:
    x = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    encoded = fpsim.encode(x, name)
    back = fpsim.unpack(encoded.pack(), encoded)
    assert back.shape == tuple(shape)
    assert not differences(fpsim.decode(back), fpsim.quantize(x, name), x)


def test_documented_orders() -> None:
    """Two 4-bit codes a byte, the first in the low half; four 6-bit codes in three bytes, the first in the low bits."""
    four = fpsim.encode(np.array([0.5, 1, -6, 0], np.float32), "e2m1")
    assert four.codes.tolist() == [0x1, 0x2, 0xF, 0x0]
    assert four.pack().tolist() == [0x21, 0x0F]
    six = Encoded(
        codes=np.array([0b000001, 0b000010, 0b000011, 0b111111], np.uint8),
        scales=None,
        tensor_scale=1.0,
        shape=(4,),
        format=fpsim.format("e3m2"),
    )
    assert six.pack().tolist() == [0b10000001, 0b00110000, 0b11111100]
    assert fpsim.encode(np.array([448, -448], np.float32), "e4m3").pack().tolist() == [0x7E, 0xFE]


@pytest.mark.parametrize("fmt", NARROW[::5], ids=ids)
def test_codes_order_as_values_do(fmt: ElementFormat) -> None:
    """Within a sign, codes ascend with magnitudes (two's complement for integers, the index for codebooks)."""
    table = oracle(fmt)
    positive = table.codes[table.values > 0]
    assert np.all(np.diff(positive) > 0)
