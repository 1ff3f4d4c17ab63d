"""Inputs of matrix instructions: exact ones, the package's directed cases, and random ones of several kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorcore_codes as codes
from numpy.typing import NDArray
from tensorcore_mma import Mma, Tiles, Words

from fpsim.number import FloatFormat
from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore.directed import directed
from fpsim.tensorcore.operands import element_format

KINDS = ("any", "near", "spread", "cancel", "coarse", "subnormal", "special")
Ints = NDArray[np.int64]


def exact(mma: Mma, count: int = 64, seed: int = 0) -> tuple[Tiles, Words]:
    """Return tiles of small integers and their results, which every model of the arithmetic shares.

    What fails here is the kernel's layout, not the arithmetic.
    """
    draw = np.random.Generator(np.random.Philox(seed))
    a, b = (draw.integers(-2, 3, (count, rows, mma.k)) for rows in (mma.m, mma.n))
    c = draw.integers(-8, 9, (count, mma.m, mma.n))
    sums = np.einsum("nmk,nok->nmo", a, b) + c
    tiles = Tiles(a=codes.patterns(a, mma.a), b=codes.patterns(b, mma.b), c=codes.result_bits(c, mma.accumulator))
    return tiles, codes.result_bits(sums, mma.accumulator)


def packed(mma: Mma, a: Any, b: Any, c: Any) -> Tiles:
    """Return tiles on whose diagonals pairs of vectors meet; the last tile is filled with the first pair.

    Args:
        mma: the instruction.
        a, b: patterns [n, K].
        c: words [n].
    """
    fill = -len(a) % mma.n
    a, b, c = (np.concatenate([x, np.repeat(x[:1], fill, axis=0)]) for x in (a, b, c))
    rows = np.arange(mma.m) % mma.n
    a, b = (x.reshape(-1, mma.n, mma.k) for x in (a, b))
    c = np.repeat(c.reshape(-1, 1, mma.n), mma.m, axis=1)
    return Tiles(a=np.ascontiguousarray(a[:, rows]), b=b, c=c.astype(np.uint32))


def diagonal(found: Words, count: int) -> Words:
    """Return the results of the pairs that were packed, of all outputs or of what are diagonals already."""
    return (found if found.ndim == 2 else diagonals(found)).ravel()[:count]


def diagonals(found: Words) -> Words:
    """Return the diagonals [n, N] of all outputs [n, M, N]."""
    return np.stack([tile.diagonal() for tile in found])


def directed_tiles(mma: Mma) -> tuple[Tiles, int]:
    """Return the package's directed cases and their number; integers have none."""
    if mma.accumulator == "int32":
        return packed(mma, np.zeros((1, mma.k), np.uint8), np.zeros((1, mma.k), np.uint8), np.zeros(1, np.uint32)), 1
    unit = mma.unit
    cases = [case for case in directed(unit, (mma.a, mma.b), mma.accumulator) if len(case.a) == mma.k]
    with np.errstate(invalid="ignore"):
        sides = [codes.patterns([getattr(case, side) for case in cases], getattr(mma, side)) for side in "ab"]
        c = codes.result_bits(np.array([case.c for case in cases]), mma.accumulator)
    return packed(mma, sides[0], sides[1], c), len(cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    """Random codes of one format for tiles [n, rows, K]."""

    draw: np.random.Generator
    fmt: FloatFormat
    shape: tuple[int, int, int]

    def make(self, fields: Ints, *, coarse: bool = False) -> Ints:
        """Random signs and mantissas (``coarse``: their first bit only) with exponent fields."""
        top = (self.fmt.max_code >> self.fmt.mantissa_bits, self.fmt.mantissa_bits)
        mantissa = self.draw.integers(0, 1 << top[1], self.shape)
        if coarse:
            mantissa &= 1 << (top[1] - 1)
        size = np.minimum(np.clip(fields, 0, top[0]) << top[1] | mantissa, self.fmt.max_code)
        return np.asarray(size | self.draw.integers(0, 2, self.shape) * self.fmt.sign_bit)

    def fields(self, kind: str) -> Ints:
        """Exponent fields: all, the least, or some neighbours that each tile chooses."""
        high = self.fmt.max_code >> self.fmt.mantissa_bits
        if kind == "subnormal":
            return self.draw.integers(0, 2, self.shape)
        if kind in ("any", "special"):
            return self.draw.integers(0, high + 1, self.shape)
        width = 1 if kind == "coarse" else min(high, 7)
        first = self.draw.integers(0, high - width + 1, (self.shape[0], 1, 1))
        return first + self.draw.integers(0, width + 1, self.shape)

    def special(self, code: Ints, share: float) -> Ints:
        """The codes with some zeros, largest numbers, infinities and NaN among them."""
        found = [0, self.fmt.max_code, *(x for x in (self.fmt.inf_code, self.fmt.nan_code) if x is not None)]
        chosen = np.array(found)[self.draw.integers(0, len(found), self.shape)]
        chosen |= self.draw.integers(0, 2, self.shape) * self.fmt.sign_bit
        return np.where(self.draw.random(self.shape) < share, chosen, code)


def random_tiles(mma: Mma, count: int, seed: int) -> Tiles:
    """Return tiles of all :data:`KINDS` in turn; the same for the same seed."""
    draw = np.random.Generator(np.random.Philox(seed))
    if mma.accumulator == "int32":
        a, b = (draw.integers(0, 256, (count, rows, mma.k), np.uint8) for rows in (mma.m, mma.n))
        return Tiles(a=a, b=b, c=draw.integers(0, 1 << 32, (count, mma.m, mma.n), np.uint32))
    parts = [_kind(mma, kind, len(range(i, count, len(KINDS))), draw) for i, kind in enumerate(KINDS)]
    return Tiles(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("a", "b", "c")})


def _kind(mma: Mma, kind: str, count: int, draw: np.random.Generator) -> Tiles:
    sides = [
        _Draw(draw=draw, fmt=element_format(name), shape=(count, rows, mma.k))
        for name, rows in ((mma.a, mma.m), (mma.b, mma.n))
    ]
    fields = [side.fields("any" if kind == "subnormal" and side is sides[1] else kind) for side in sides]
    if kind == "spread":
        _spread(mma, sides, fields)
    elif kind in ("near", "cancel", "coarse"):
        _within(mma, sides, fields)
    made = [side.make(field, coarse=kind == "coarse") for side, field in zip(sides, fields, strict=True)]
    if kind == "cancel":
        made = _cancelled(draw, made, sides[1].fmt.sign_bit)
    if kind == "special":
        made = [side.special(code, 0.3 / mma.k) for side, code in zip(sides, made, strict=True)]
    middle = sum(field.mean((1, 2)) - float(side.fmt.bias) for side, field in zip(sides, fields, strict=True))
    c = _accumulators(mma, kind, draw, np.asarray(middle).astype(np.int64))
    return Tiles(a=codes.from_codes(made[0], mma.a), b=codes.from_codes(made[1], mma.b), c=c)


def _spread(mma: Mma, sides: list[_Draw], fields: list[Ints]) -> None:
    """One large product, the others around the place where alignment cuts them off; in place."""
    draw, count = sides[0].draw, len(fields[0])
    tops = [side.fmt.max_code >> side.fmt.mantissa_bits for side in sides]
    below = draw.integers(mma.unit.fraction_bits - 3, mma.unit.fraction_bits + 3, (count, 1, mma.k))
    below[np.arange(count), 0, draw.integers(0, mma.k, count)] = 0
    start = [draw.integers(top * 3 // 4, top + 1, (count, 1, 1)) for top in tops]
    most = sum(int(side.fmt.bias) for side in sides) + (7 if mma.accumulator == "fp16" else 120)
    over = np.maximum(start[0] + start[1] - most, 0)  # the sum itself is to stay below Inf
    start = [start[0] - over // 2, start[1] - (over - over // 2)]
    first = np.minimum(below // 2, start[0])
    fields[0][:] = start[0] - first
    fields[1][:] = start[1] - (below - first)


def _within(mma: Mma, sides: list[_Draw], fields: list[Ints]) -> None:
    """Tiles whose sums would mostly leave the accumulator's range are moved into it; in place."""
    low, high = (-20, 10) if mma.accumulator == "fp16" else (-140, 118)
    middle = sum(field.mean((1, 2)) - float(side.fmt.bias) for side, field in zip(sides, fields, strict=True))
    by = (np.clip(middle, low, high) - middle).astype(np.int64)[:, None, None]
    fields[0] += by // 2
    fields[1] += by - by // 2


def _cancelled(draw: np.random.Generator, made: list[Ints], sign: int) -> list[Ints]:
    """Products in pairs of opposite sign, some of them one place apart, in random order along K."""
    a, b = made
    a[..., 1::2], b[..., 1::2] = a[..., ::2], b[..., ::2] ^ sign
    b[..., 1::2] ^= draw.integers(0, 4, b[..., 1::2].shape) == 0
    order = np.argsort(draw.random((len(a), 1, a.shape[-1])), axis=-1)
    return [np.take_along_axis(x, order, axis=-1) for x in (a, b)]


def _accumulators(mma: Mma, kind: str, draw: np.random.Generator, middle: Ints) -> Words:
    """Any finite numbers, or such whose exponents are within an alignment of the products'; an eighth is 0."""
    fmt = BINARY16 if mma.accumulator == "fp16" else BINARY32
    side = _Draw(draw=draw, fmt=fmt, shape=(len(middle), mma.m, mma.n))
    if kind in ("any", "special"):
        code = side.make(side.fields("any"))
        code = side.special(code, 0.05) if kind == "special" else code
    else:
        near = draw.integers(-mma.unit.fraction_bits - 2, 8, side.shape)
        code = side.make(middle[:, None, None] + int(fmt.bias) + near)
    return np.where(draw.integers(0, 8, side.shape) == 0, 0, code).astype(np.uint32)
