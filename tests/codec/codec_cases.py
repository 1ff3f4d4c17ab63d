"""The formats that the codec's tests run over."""

from __future__ import annotations

from itertools import product

import fpsim
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.catalogue import builtin

TWINS = ("numpy", "numba", "torch")


def _catalogue() -> list[ElementFormat]:
    formats = [entry.format for entry in builtin().values()]
    return [f for f in formats if not isinstance(f, BlockFormat) and f.bits <= 8]


def _family() -> list[ElementFormat]:
    """Each eXmY of at most 8 bits × specials, half of them also without subnormals, where a non-zero value is left."""
    found: list[ElementFormat] = []
    kinds = ("none", "ieee", "fn", "fnuz")
    for e, m, specials, subnormals in product(range(1, 8), range(7), kinds, (True, False)):
        if e + m > 7 or not (subnormals or (e + kinds.index(specials)) % 2):
            continue
        try:
            name = f"e{e}m{m}-{specials}{'' if subnormals else '-flat'}"
            found.append(_float(name, e, m, 2 ** (e - 1) - 1 + (specials == "fnuz"), specials, subnormals))
        except fpsim.FpsimError:
            continue
    return found


def _float(
    name: str, e: int, m: int, bias: float, specials: str = "none", subnormals: bool = True, signed: bool = True
) -> FloatFormat:
    return FloatFormat(
        name=name,
        exponent_bits=e,
        mantissa_bits=m,
        bias=bias,
        specials=specials,
        subnormals=subnormals,
        signed=signed,
    )


def _biased() -> list[ElementFormat]:
    bases = [("e4m3", 0.0), ("e5m2", 0.0), ("e2m1", 0.0), ("e3m0", 0.0), ("e1m6", 0.0), ("e4m3-fnuz", 0.0)]
    biases = (-3, 1, 40, 2.7, 6.37, -1.25, 0.5, 10.001)
    found: list[ElementFormat] = []
    for (base, _), bias in product(bases, biases):
        fmt = fpsim.format(base, bias=bias)
        found.append(_named(fmt, f"{base}@{bias}"))
        if base in ("e4m3", "e2m1") and bias in (1, 2.7):
            found.append(_named(fpsim.format(fmt, subnormals=False), f"{base}@{bias}-flat"))
    return found


def _named(fmt: ElementFormat, name: str) -> ElementFormat:
    from dataclasses import replace

    return replace(fmt, name=name)


def _edges() -> list[ElementFormat]:
    """Grids that leave the range of binary32 at either end, unsigned ones and others that take the search table."""
    return [
        _float("e5m2-below", 5, 2, 140, "ieee"),
        _float("e4m3-above", 4, 3, -125, "none"),
        _float("e4m3-far-above", 4, 3, -114.5, "none"),
        _float("e5m2-top", 5, 2, -90, "ieee", False),
        _float("ue4m3", 4, 3, 7, "fn", signed=False),
        _float("ue5m3", 5, 3, 15, "none", False, signed=False),
        _float("e7m0-real", 7, 0, 62.4),
        _float("e2m5-flat-real", 2, 5, 1.9, "none", False),
    ]


def _integers() -> list[ElementFormat]:
    names = [f"int{n}" for n in range(2, 9)] + [f"int{n}-full" for n in range(2, 9)] + [f"uint{n}" for n in range(2, 9)]
    fixed = IntFormat(name="int5-q3", bits=5, fraction_bits=3)
    return [*(fpsim.format(n) for n in names), fixed]


def _codebooks() -> list[ElementFormat]:
    return [
        CodebookFormat(name="ternary", values=(-1.0, 0.0, 1.0)),
        CodebookFormat(name="lopsided", values=(-7.5, -0.5, 0.25, 1.0, 1.5, 100.0)),
        CodebookFormat(name="two", values=(0.0, 1.0)),
    ]


def _unique(formats: list[ElementFormat]) -> list[ElementFormat]:
    return list({f: f for f in reversed(formats)}.values())[::-1]


CATALOGUE = _catalogue()
#: Every format of at most 8 bits in the tests (some unsigned ones have a bit more).
NARROW = _unique([*CATALOGUE, *_family(), *_biased(), *_edges(), *_integers(), *_codebooks()])
#: Formats of 9 to 16 bits, for the 16-bit inputs.
WIDE = [
    fpsim.format("binary16"),
    fpsim.format("bfloat16"),
    fpsim.format("e6m9"),
    fpsim.format("e5m8-fnuz"),
    fpsim.format("e7m8", bias=64.3),
    fpsim.format("e3m9", subnormals=False),
    fpsim.format("int12"),
    fpsim.format("int16"),
    fpsim.format("uint16"),
]


#: All-finite with 8 exponent bits: its top leaves binary32, so that it takes a table of 65,536 entries.
WIDEST = fpsim.format("e8m7")


def ids(fmt: ElementFormat) -> str:
    """A readable test id."""
    return fmt.name
