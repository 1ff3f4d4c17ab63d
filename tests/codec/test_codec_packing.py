"""Packing against one long integer, bit by bit; small arrays go through NumPy, long ones through compiled loops."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.codec.codes import code_dtype
from fpsim.codec.encoded import Encoded
from fpsim.codec.packing import PIECE, SMALL, pack, unpack
from fpsim.number import FloatFormat


def stream(codes: list[int], bits: int) -> bytes:
    """The codes' bits one after the other, the first code's lowest bit first."""
    text = "".join(format(code, f"0{bits}b")[::-1] for code in codes)
    return int("0" + text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")


def drawn(count: int, bits: int) -> np.ndarray:
    numbers = np.random.default_rng(count + bits).integers(0, 1 << bits, count, dtype=np.uint64)
    return numbers.astype(code_dtype(bits))


@settings(deadline=None, max_examples=300)
@given(st.data(), st.integers(1, 32))
def test_any_width(data: st.DataObject, bits: int) -> None:
    codes = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=40))
    packed = pack(np.array(codes, code_dtype(bits)), bits)
    assert packed.dtype == np.uint8
    assert packed.tobytes() == stream(codes, bits)
    back = unpack(packed, bits, len(codes))
    assert back.dtype == code_dtype(bits)
    assert back.tolist() == codes


@pytest.mark.parametrize("bits", [*range(1, 18), 24, 31, 32])
def test_long_arrays(bits: int) -> None:
    """More than one task of the compiled loop, and a rest that fills no group."""
    codes = drawn(4 * SMALL + 13, bits)
    packed = pack(codes, bits)
    assert packed.tobytes() == stream(codes.tolist(), bits)
    assert np.array_equal(unpack(packed, bits, codes.size), codes)


@pytest.mark.parametrize("bits", [3, 4, 12])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, PIECE - 1, PIECE, PIECE + 1, SMALL - 1, SMALL, SMALL + 1])
def test_edges_of_pieces(bits: int, count: int) -> None:
    codes = drawn(count, bits)
    packed = pack(codes, bits)
    assert packed.tobytes() == stream(codes.tolist(), bits)[: packed.size]
    assert packed.size == (bits * count + 7) // 8
    assert np.array_equal(unpack(packed, bits, count), codes)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 16), st.integers(0, 7), st.integers(0, 3 * SMALL))
def test_arrays_may_begin_anywhere(bits: int, first: int, count: int) -> None:
    codes = drawn(count + first, bits)
    packed = pack(codes[first:], bits)
    assert np.array_equal(packed, pack(codes[first:].copy(), bits))
    shifted = np.empty(packed.size + first, np.uint8)
    shifted[first:] = packed
    assert np.array_equal(unpack(shifted[first:], bits, count), codes[first:])


def test_layout_does_not_matter() -> None:
    codes = drawn(6 * SMALL, 6).reshape(3, -1)
    assert np.array_equal(pack(codes.T, 6), pack(codes.T.copy(), 6))
    assert np.array_equal(pack(codes[:, ::2], 6), pack(codes[:, ::2].copy(), 6))


def test_whole_bytes_are_views() -> None:
    for bits in (8, 16, 32):
        codes = drawn(10, bits)
        assert np.shares_memory(pack(codes, bits), codes)
        assert np.shares_memory(unpack(pack(codes, bits), bits, 10), codes)


def test_bits_above_the_width_are_dropped() -> None:
    for count in (4, 2 * SMALL):
        assert np.all(pack(np.full(count, 0xF1, np.uint8), 4) == 0x11)


def test_the_number_of_bytes_must_fit() -> None:
    with pytest.raises(fpsim.FpsimError, match="3 bytes cannot hold 4 codes of 4 bits: 2 would"):
        unpack(np.zeros(3, np.uint8), 4, 4)


def test_order_is_that_of_torch() -> None:
    """torch cannot convert ``float4_e2m1fn_x2`` on a CPU; its header says that the second number has the high half."""
    header = Path(torch.__file__).parent / "include/torch/headeronly/util/Float4_e2m1fn_x2.h"
    assert re.search(r"original value +\| val1 : val0", header.read_text(encoding="utf-8"))
    assert re.search(r"bit index .* \| 7654 : 3210", header.read_text(encoding="utf-8"))
    low, high = 1.5, -4.0
    packed = torch.from_numpy(fpsim.encode(np.array([low, high]), "e2m1").pack()).view(torch.float4_e2m1fn_x2)
    byte = int(packed.view(torch.uint8))
    assert byte & 0xF == fpsim.encode(np.array(low), "e2m1").codes
    assert byte >> 4 == fpsim.encode(np.array(high), "e2m1").codes


@pytest.mark.parametrize("bits", [3, 6, 11, 16])
def test_encoded_arrays(bits: int) -> None:
    fmt = FloatFormat(name=f"{bits} bits", exponent_bits=2, mantissa_bits=bits - 3, bias=1)
    codes = drawn(2 * SMALL, bits).reshape(4, -1)
    encoded = Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt)
    assert np.array_equal(encoded.pack(), pack(codes, bits))
    assert np.array_equal(fpsim.unpack(encoded.pack(), encoded).codes, codes)
