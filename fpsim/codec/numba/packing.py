"""Packing by compiled loops: a group of codes that fills whole bytes is one straight run of shifts and masks.

Codes are read and written as words of several, so that the loop over groups becomes SIMD without shuffles of bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fpsim.codec.numba.threads import run

#: Groups a task.
SPAN = 1 << 13
_BYTE = ir.IntType(8)


class Layout:
    """How codes lie in words and in the stream.

    Args:
        bits: width of a code.
        lane: bits of a code's type.
    """

    def __init__(self, bits, lane):
        self.bits, self.lane = bits, lane
        self.codes = 8 if bits % 2 else 4  # a group, which fills whole bytes
        self.bytes = self.codes * bits // 8
        self.word = min(64, 4 * lane)
        self.words = self.codes * lane // self.word

    def pieces(self):
        """Each run of bits that a code has in a byte: (word, byte, mask in the byte, how far right from the word)."""
        per_word = self.word // self.lane
        for code in range(self.codes):
            first, last = code * self.bits, (code + 1) * self.bits
            for byte in range(first // 8, (last - 1) // 8 + 1):
                low, high = max(first - 8 * byte, 0), min(last - 8 * byte, 8)
                right = code % per_word * self.lane - (first - 8 * byte)
                yield code // per_word, byte, (1 << high) - (1 << low), right


def _moved(builder, value, right):
    """A value shifted right, or left where negative."""
    amount = ir.Constant(value.type, abs(right))
    return builder.lshr(value, amount) if right > 0 else builder.shl(value, amount) if right < 0 else value


def _or(builder, before, part):
    return part if before is None else builder.or_(before, part)


def _pointer(context, builder, array_type, array, index, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [builder.add(index, ir.Constant(index.type, offset))])


def _load(builder, pointer):
    value = builder.load(pointer)
    value.align = 1  # the user's codes may begin anywhere
    return value


def pack_group(layout):
    """An operation ``(words, packed, word, byte)``: pack the group that begins there."""

    @intrinsic
    def operation(typingctx, words, packed, word, byte):
        def codegen(context, builder, signature, args):
            source = [
                _load(builder, _pointer(context, builder, words, args[0], args[2], w)) for w in range(layout.words)
            ]
            found = [None] * layout.bytes
            for w, b, mask, right in layout.pieces():
                part = builder.and_(_moved(builder, source[w], right), ir.Constant(source[w].type, mask))
                found[b] = _or(builder, found[b], part)
            for b, value in enumerate(found):
                target = _pointer(context, builder, packed, args[1], args[3], b)
                builder.store(builder.trunc(value, _BYTE), target)
            return context.get_dummy_value()

        return types.void(words, packed, types.intp, types.intp), codegen

    return operation


def unpack_group(layout):
    """An operation ``(packed, words, byte, word)``: unpack the group that begins there."""

    @intrinsic
    def operation(typingctx, packed, words, byte, word):
        def codegen(context, builder, signature, args):
            wide = ir.IntType(layout.word)
            source = [
                builder.zext(builder.load(_pointer(context, builder, packed, args[0], args[2], b)), wide)
                for b in range(layout.bytes)
            ]
            found = [None] * layout.words
            for w, b, mask, right in layout.pieces():
                part = _moved(builder, builder.and_(source[b], ir.Constant(wide, mask)), -right)
                found[w] = _or(builder, found[w], part)
            for w, value in enumerate(found):
                builder.store(value, _pointer(context, builder, words, args[1], args[3], w)).align = 1
            return context.get_dummy_value()

        return types.void(packed, words, types.intp, types.intp), codegen

    return operation


@lru_cache(maxsize=64)
def _packer(bits, lane):
    layout = Layout(bits, lane)
    pack_one, per_group, filled = pack_group(layout), layout.words, layout.bytes

    @njit(parallel=True)
    def kernel(words, packed):
        groups = words.size // per_group
        for task in prange((groups + SPAN - 1) // SPAN):
            for g in range(task * SPAN, min(groups, (task + 1) * SPAN)):
                pack_one(words, packed, g * per_group, g * filled)

    return kernel


@lru_cache(maxsize=64)
def _unpacker(bits, lane):
    layout = Layout(bits, lane)
    unpack_one, per_group, filled = unpack_group(layout), layout.words, layout.bytes

    @njit(parallel=True)
    def kernel(words, packed):
        groups = words.size // per_group
        for task in prange((groups + SPAN - 1) // SPAN):
            for g in range(task * SPAN, min(groups, (task + 1) * SPAN)):
                unpack_one(packed, words, g * filled, g * per_group)

    return kernel


def pack_groups(codes: NDArray[Any], packed: NDArray[np.uint8], bits: int) -> None:
    """Fill ``packed`` with codes, whose number is a multiple of eight; both contiguous."""
    lane = codes.dtype.itemsize * 8
    run(_packer(bits, lane), codes.view(f"u{Layout(bits, lane).word // 8}"), packed)


def unpack_groups(packed: NDArray[np.uint8], codes: NDArray[Any], bits: int) -> None:
    """Fill ``codes``, whose number is a multiple of eight, from bytes; both contiguous."""
    lane = codes.dtype.itemsize * 8
    run(_unpacker(bits, lane), codes.view(f"u{Layout(bits, lane).word // 8}"), packed)
