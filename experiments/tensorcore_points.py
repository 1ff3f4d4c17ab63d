"""The open points of tensor-core arithmetic, each with the vectors that decide it and the models that compete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorcore_codes as codes
from tensorcore_codes import Bits
from tensorcore_mma import Mma, Tiles, Words, modelled, variant
from tensorcore_tiles import diagonal, directed_tiles, packed, random_tiles

from fpsim.tensorcore.architecture import Unit

#: Stands for no least exponent at all: no product is that small.
NONE = -1000
#: Random tiles, whose diagonals decide a point.
_RANDOM = 42
Reading = Callable[[Bits], Bits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A hypothesis.

    Args:
        label: what it says.
        unit: the arithmetic.
        reading: what the instruction makes of raw operands.
    """

    label: str
    unit: Unit
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An open point.

    Args:
        title: the question.
        mma: the instruction that is asked.
        tiles: the vectors, on the tiles' diagonals.
        count: their number.
        models: the hypotheses, the package's first.
    """

    title: str
    mma: Mma
    tiles: Tiles
    count: int
    models: tuple[Model, ...]

    def misses(self, found: Words) -> dict[str, int]:
        """How many outputs each hypothesis gets wrong."""
        seen = diagonal(found, self.count)
        return {model.label: int((seen != self.predicted(model)).sum()) for model in self.models}

    def predicted(self, model: Model) -> Words:
        """What a hypothesis says of the outputs that count."""
        tiles = self.tiles
        if model.reading is not None:
            tiles = Tiles(a=model.reading(tiles.a), b=model.reading(tiles.b), c=tiles.c)
        return diagonal(modelled(self.mma, tiles, model.unit), self.count)


def verdict(point: Point, found: Words) -> list[str]:
    """Return the lines that say which hypotheses hold."""
    misses = point.misses(found)
    held = [label for label, wrong in misses.items() if not wrong]
    lines = [f"{point.mma.name}: {point.title} ({point.count} outputs)"]
    lines += [f"    {wrong:7d} wrong  {label}" for label, wrong in misses.items()]
    said = held[0] if len(held) == 1 else "none of these" if not held else "not decided: " + ", ".join(held)
    return [*lines, f"  -> {said}"]


def points(mmas: Sequence[Mma]) -> Iterator[Point]:
    """Yield the points that a GPU's instructions can decide."""
    for mma in mmas:
        unit, one = mma.unit, mma.a == mma.b
        if mma.a in ("bf16", "tf32"):
            yield _floor32(mma)
        if mma.a == "fp16" and mma.accumulator == "fp16":
            yield _floor16(mma)
        if mma.a == "tf32":
            yield from (_group(mma), _low_bits(mma))
        if mma.a in ("e4m3", "e5m2") and one and unit.fraction_bits == 13:
            yield _late(mma)
        if mma.a in ("e4m3", "e5m2") and one and unit.order == "pairs":
            yield _emulated(mma)


def _vectors(mma: Mma, rows: list[list[tuple[float, float]]]) -> tuple[Tiles, int]:
    """Products from the front of K, c = 0."""
    a, b = (np.zeros((len(rows), mma.k)) for _ in "ab")
    for i, row in enumerate(rows):
        for k, (x, y) in enumerate(row):
            a[i, k], b[i, k] = x, y
    return packed(mma, codes.patterns(a, mma.a), codes.patterns(b, mma.b), np.zeros(len(rows), np.uint32)), len(rows)


def _floors(unit: Unit, floors: Sequence[int]) -> tuple[Model, ...]:
    name = {NONE: "no least exponent: aligned to the largest term"}
    return tuple(
        Model(label=name.get(floor, f"aligned to 2^{floor} at least"), unit=variant(unit, exponent_floor=floor))
        for floor in floors
    )


def _floor32(mma: Mma) -> Point:
    """Sums of 2^-149, fp32's least number, of which a last bit of 2^-d must not get lost."""
    rows = [[(2.0**-76, 2.0**-76)] * 8]
    for d in range(150, 163):
        left, row = d - 149, [(2.0**-80, 2.0 ** (80 - d))]
        while left:  # the rest, (2^(d - 149) - 1)·2^-d, as runs of ones that 8 significand bits hold
            width = min(left, 8)
            left -= width
            row.append(((2.0**width - 1) * 2.0**-80, 2.0 ** (80 - d + left)))
        rows.append(row)
    tiles, count = _vectors(mma, rows)
    title = "least exponent of the alignment where c is 0"
    return Point(title=title, mma=mma, tiles=tiles, count=count, models=_floors(mma.unit, (-126, -132, -133, NONE)))


def _floor16(mma: Mma) -> Point:
    """A tie between 0 and 2^-24, fp16's least number, that a bit of 2^-d breaks."""
    rows = [[(2.0**-12, 2.0**-13), (2.0**-24, 2.0 ** (24 - d))] for d in range(26, 49)]
    tiles, count = _vectors(mma, rows)
    title = "least exponent of the alignment where c is 0, fp16 result"
    floors = (mma.unit.exponent_floor, -14, -19, -20, -21)
    return Point(title=title, mma=mma, tiles=tiles, count=count, models=_floors(mma.unit, floors))


def _group(mma: Mma) -> Point:
    tiles, count = directed_tiles(mma)
    sizes = [mma.unit.group, *(size for size in (8, 4, 2) if size != mma.unit.group)]
    models = tuple(Model(label=f"groups of {size}", unit=variant(mma.unit, group=size)) for size in sizes)
    return Point(title=f"products of one fused sum at K = {mma.k}", mma=mma, tiles=tiles, count=count, models=models)


def _cut(bits: Bits) -> Bits:
    return bits & np.uint32(0xFFFFE000)


def _nearest_even(bits: Bits) -> Bits:
    return _cut(bits + np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1)))


def _nearest_away(bits: Bits) -> Bits:
    return _cut(bits + np.uint32(0x1000))


def _low_bits(mma: Mma) -> Point:
    """One product of a number with low bits and 1, both ways."""
    low = [1, 0x7FF, 0xFFF, 0x1000, 0x1001, 0x1FFF]
    raw = [sign | top << 13 | rest for sign in (0, 1 << 31) for top in (127 << 10, 127 << 10 | 1, 1) for rest in low]
    one = np.zeros((2 * len(raw), mma.k), np.uint32)
    a, b = one.copy(), one.copy()
    a[:, 0], b[:, 0] = [*raw, *[0x3F800000] * len(raw)], [*[0x3F800000] * len(raw), *raw]
    tiles = packed(mma, a, b, np.zeros(len(a), np.uint32))
    ways = {"truncated": _cut, "rounded, ties to even": _nearest_even, "rounded, ties away": _nearest_away}
    models = tuple(Model(label=label, unit=mma.unit, reading=way) for label, way in ways.items())
    return Point(title="the 13 low bits of tf32 operands", mma=mma, tiles=tiles, count=len(a), models=models)


def _late(mma: Mma) -> Point:
    models = [
        Model(label="c is a term of the fused sum", unit=mma.unit),
        Model(label="c is added to the sum, ties to even", unit=variant(mma.unit, c="added")),
    ]
    if mma.accumulator == "fp32":
        for bits in (14, 23):
            label = f"c is a term; results keep {bits} fraction bits"
            models.append(Model(label=label, unit=variant(mma.unit, result_bits=bits)))
    for bits in (12, 14):
        label = f"c is a term; terms keep {bits} fraction bits"
        models.append(Model(label=label, unit=variant(mma.unit, fraction_bits=bits)))
    tiles = random_tiles(mma, _RANDOM, seed=7)
    return Point(title="c other than 0", mma=mma, tiles=tiles, count=_RANDOM * mma.n, models=tuple(models))


def _emulated(mma: Mma) -> Point:
    unit = mma.unit
    whole: dict[str, Any] = {"order": "ascending", "c": "fused", "group": mma.k}
    native = variant(unit, **whole, fraction_bits=13, result_bits=13)
    models = (
        Model(label="two fp16 instructions, first k mod 4 in {0, 1}, c added afterwards", unit=unit),
        Model(label="two fp16 instructions, ascending k, c added afterwards", unit=variant(unit, order="ascending")),
        Model(label="two fp16 instructions, first k mod 4 in {0, 1}, starting at c", unit=variant(unit, c="fused")),
        Model(
            label="one fused sum of 25 fraction bits",
            unit=variant(unit, **whole),
        ),
        Model(label="as wgmma: one fused sum of 13 fraction bits", unit=native),
    )
    tiles = random_tiles(mma, _RANDOM, seed=8)
    return Point(title="what FP8 mma.sync is made of", mma=mma, tiles=tiles, count=_RANDOM * mma.n, models=models)
