"""What a format is to a matrix unit: which types its codes could be, and who applies its scales."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fpsim.cost.holding import holds
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, FloatFormat, Format, IntFormat
from fpsim.number.names import format as named

#: The formats that matrix units multiply, by compute type; no catalogue name stands for binary64.
TYPES = {
    "fp32": ("binary32",),
    "tf32": ("tf32",),
    "fp16": ("binary16",),
    "bf16": ("bfloat16",),
    "fp8": ("e4m3", "e5m2"),
    "fp6": ("e3m2", "e2m3"),
    "fp4": ("e2m1",),
    "int8": ("int8-full", "uint8"),
    "int4": ("int4-full", "uint4"),
}
#: Types of full precision, with the bits in which they are kept in memory.
FULL = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One side of a product.

    Attributes:
        name: of its format.
        element: format of its elements, None for full precision.
        bits: an element in memory, scales included.
        types: compute types of its width that hold all its values.
        scales: ``none`` along the sum (a scale per tensor or channel is applied to results), ``mx`` (E8M0, blocks of a
            multiple of 32), ``nv`` (E4M3, blocks of a multiple of 16) or ``other``.
    """

    name: str
    element: ElementFormat | None
    bits: float
    types: frozenset[str]
    scales: str = "none"


@lru_cache(maxsize=256)
def operand(fmt: Format | None, dtype: str) -> Operand:
    """Return a format as an operand; None is full precision, ``dtype``.

    Raises:
        FpsimError: ``dtype`` is no type of full precision.
    """
    if dtype not in FULL:
        raise FpsimError(f"full precision {dtype!r} is not one of {', '.join(FULL)}")
    if fmt is None:
        return Operand(name=dtype, element=None, bits=float(FULL[dtype]), types=frozenset((dtype,)))
    element = fmt.element if isinstance(fmt, BlockFormat) else fmt
    types = frozenset(key for key in TYPES if _same_width(key, element) and is_held(key, element))
    bits = 32.0 if "tf32" in types else float(fmt.bits)
    scales = _scales(fmt) if isinstance(fmt, BlockFormat) else "none"
    return Operand(name=fmt.name, element=element, bits=bits, types=types, scales=scales)


def is_held(compute: str, element: ElementFormat | None) -> bool:
    """Whether a compute type holds all values of a format, up to a power of two."""
    return element is not None and any(holds(hardware, element) for hardware in elements(compute))


@lru_cache(maxsize=len(TYPES))
def elements(compute: str) -> tuple[FloatFormat | IntFormat, ...]:
    """Return the formats that a compute type multiplies."""
    found = (named(name) for name in TYPES[compute])
    return tuple(fmt for fmt in found if not isinstance(fmt, BlockFormat | CodebookFormat))


def _same_width(compute: str, element: ElementFormat) -> bool:
    return any(fmt.bits == element.bits for fmt in elements(compute))


def _scales(fmt: BlockFormat) -> str:
    if fmt.scale == named("e8m0") and fmt.block % 32 == 0:
        return "mx"
    return "nv" if fmt.scale == named("e4m3") and fmt.block % 16 == 0 else "other"
