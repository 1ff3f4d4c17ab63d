"""Drafts of directed vectors: terms of wanted size and place, as operands of a matrix unit's types."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.operands import element_format, least_exponent
from fpsim.tensorcore.reference import groups
from fpsim.tensorcore.reference_scaled import CHUNK
from fpsim.tensorcore.scale_types import block_of, scale_format


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Inputs of one instruction and the class of what they test."""

    kind: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float = 0.0
    scale_a: tuple[float, ...] = ()
    scale_b: tuple[float, ...] = ()


@dataclass(slots=True, kw_only=True)
class Draft:
    """One instruction's inputs in the making; a slot is a place for one term of the fused sum.

    Args:
        unit: the matrix unit.
        types: names of the types of a and b.
    """

    unit: Unit
    types: tuple[str, str]
    a: list[float] = field(default_factory=list)
    b: list[float] = field(default_factory=list)
    scale_a: list[float] = field(default_factory=list)
    scale_b: list[float] = field(default_factory=list)
    c: float = 0.0
    possible: bool = True

    def __post_init__(self) -> None:
        self.a, self.b = [0.0] * self.k, [0.0] * self.k
        if self.unit.scaling != "none":
            self.scale_a, self.scale_b = ([1.0] * (self.k // block_of(name)) for name in self.types)

    @property
    def k(self) -> int:
        """K of the largest shape."""
        return self.unit.k[-1]

    @property
    def slots(self) -> tuple[int, ...]:
        """Where terms have their own exponents, in the order of groups: each k, or the first k of each scaled chunk."""
        return _slots(self.unit, self.types)

    @property
    def grouped(self) -> int:
        """How many slots the first group has."""
        return len(self.slots) * self.unit.group // self.k

    def term(self, slot: int, exponent: int, sign: int = 1, significand: float = 1.0) -> None:
        """Put ``sign · significand² · 2^exponent`` into a slot, or note that its types do not reach it."""
        place = self.slots[slot]
        if self.unit.scaling == "chunks":
            low, high = scale_range(self.types[0])
            pair = divided(exponent, low, high, low, high)
            if pair is not None:
                block = place // block_of(self.types[0])
                self.scale_a[block], self.scale_b[block] = 2.0 ** pair[0], 2.0 ** pair[1]
                self.a[place], self.b[place] = sign * significand, significand
        else:
            pair = divided(exponent, *reach(self.types[0]), *reach(self.types[1]))
            if pair is not None:
                self.a[place], self.b[place] = sign * significand * 2.0 ** pair[0], significand * 2.0 ** pair[1]
        self.possible &= pair is not None

    def case(self, kind: str) -> Case:
        """The finished inputs."""
        scales = {"scale_a": tuple(self.scale_a), "scale_b": tuple(self.scale_b)}
        return Case(kind=kind, a=tuple(self.a), b=tuple(self.b), c=self.c, **scales)


@lru_cache(maxsize=64)
def _slots(unit: Unit, types: tuple[str, str]) -> tuple[int, ...]:
    k = unit.k[-1]
    if unit.scaling == "chunks":
        return tuple(range(0, k, max(block_of(types[0]), CHUNK)))
    return tuple(step + i for step in range(0, k, unit.step) for group in groups(unit, unit.step) for i in group)


@lru_cache(maxsize=64)
def reach(name: str) -> tuple[int, int]:
    """Exponents of a type's normal powers of two with room for a significand of 1.5."""
    fmt = element_format(name)
    return least_exponent(fmt), math.frexp(float(fmt.max) / 1.5)[1] - 1


def scale_range(name: str) -> tuple[int, int]:
    """Exponents of the scales that are powers of two."""
    return (-6, 8) if scale_format(name).mantissa_bits else (-126, 126)


def terms_range(unit: Unit, types: tuple[str, str]) -> tuple[int, int]:
    """Exponents that the terms of a fused sum can have."""
    ranges = [scale_range(name) if unit.scaling == "chunks" else reach(name) for name in types]
    return ranges[0][0] + ranges[1][0], ranges[0][1] + ranges[1][1]


def divided(exponent: int, low_a: int, high_a: int, low_b: int, high_b: int) -> tuple[int, int] | None:
    """Return two exponents in their ranges with a sum, as equal as can be, or None."""
    if not low_a + low_b <= exponent <= high_a + high_b:
        return None
    first = min(max(exponent // 2, low_a, exponent - high_b), high_a, exponent - low_b)
    return first, exponent - first
