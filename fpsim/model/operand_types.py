"""Which operand types of an architecture multiply two number formats: the narrowest that hold them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic
from fpsim.number import BlockFormat, ElementFormat, Format, IntFormat
from fpsim.number.label import label
from fpsim.number.names import format as named
from fpsim.tensorcore.architecture import Unit, units
from fpsim.tensorcore.containment import shift_into, type_bits
from fpsim.tensorcore.integer_types import INT8, RANGES, UINT8
from fpsim.tensorcore.unit import TensorCore

#: Formats of no more bits run in the cores for such formats, where an architecture has them.
NARROW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a layer's product runs.

    Args:
        unit: the instruction.
        types: of the activations and of the weights.
        shifts: grid values times 2^shift are values of the type; the scale takes the factor back.
    """

    unit: Unit
    types: tuple[str, str]
    shifts: tuple[int, int]

    @property
    def dtype(self) -> str:
        """What the core is asked for: one type, or those of both operands."""
        return ",".join(dict.fromkeys(self.types))

    @property
    def codes(self) -> tuple[bool, bool]:
        """Which operands come as codes of unsigned integers, their zero points beside them."""
        return self.types[0] == UINT8, self.types[1] == UINT8

    def core(self, promote_every: int | None) -> TensorCore:
        """Return what multiplies."""
        return TensorCore(arch=self.unit.arch, dtype=self.dtype, promote_every=promote_every)

    def __str__(self) -> str:
        return f"{'×'.join(dict.fromkeys(self.types))} ({self.unit.instruction}, K {self.unit.step})"


def choose(arithmetic: Arithmetic, acts: Format, weights: Format, where: str) -> Choice:
    """Return the instruction and the narrowest types that hold both formats; int8 and uint8 for two integer formats.

    A format of up to 8 bits runs in types of up to 8 bits where the architecture has them, or not at all: a wider
    type has another instruction with another accumulator, so it is taken only where it is asked for. Unsigned integers
    run as ``uint8``, their zero points taken away from the int32 sums.

    Args:
        arithmetic: the tensor core, and the operand type where one is asked for.
        acts, weights: the operands' formats.
        where: what errors call the product, such as ``layer 'conv_in'``.

    Raises:
        FpsimError: no type of the architecture holds a format, names a wider one that does; an interval of promotion
            that cuts an instruction.

    >>> str(choose(Arithmetic(arch="hopper"), named("e4m3"), named("e2m1"), "a layer"))
    'e4m3 (wgmma, K 32)'
    """
    of_arch, asked = [unit for unit in units() if unit.arch == arithmetic.arch], arithmetic.operand_type is not None
    if arithmetic.operand_type is not None:
        of_arch = _of_type(of_arch, arithmetic.operand_type)
    first, second = (_holding(fmt, of_arch, where, asked=asked) for fmt in (acts, weights))
    for a, b in sorted(product(first, second), key=lambda pair: _cost(pair, (acts, weights))):
        unit = next((unit for unit in of_arch if unit.takes((a, b))), None)
        if unit is not None:
            _check_interval(arithmetic.promote_every, unit)
            return Choice(unit=unit, types=(a, b), shifts=(first[a], second[b]))
    raise FpsimError(
        f"{where}: no instruction of {arithmetic.arch} multiplies {label(acts)} with {label(weights)}; "
        "choose others, or skip it"
    )


def _check_interval(promote_every: int | None, unit: Unit) -> None:
    if promote_every is not None and promote_every % unit.step and "int32" not in unit.accumulators:
        raise FpsimError(
            f"--promote-every {promote_every}: {unit.instruction} on {unit.arch} sums {unit.step} elements of "
            f"{unit.inputs[0]} at once; give a multiple of that, such as 128"
        )


def _cost(pair: tuple[str, str], formats: tuple[Format, Format]) -> tuple[bool, int, int]:
    """What is least for the best pair of types."""
    as_differences = sum(
        name == INT8 and isinstance(fmt, IntFormat) and not fmt.signed for name, fmt in zip(pair, formats, strict=True)
    )
    return not set(pair) <= set(RANGES), sum(map(type_bits, pair)), as_differences


def _of_type(of_arch: Sequence[Unit], name: str) -> list[Unit]:
    fitting = [unit for unit in of_arch if name in unit.inputs]
    if not fitting:
        has = dict.fromkeys(each for unit in of_arch for each in unit.inputs)
        raise FpsimError(f"operand type {name!r} is none of {of_arch[0].arch}; it has {', '.join(has)}")
    return [replace(unit, inputs=(name,)) for unit in fitting]


def _holding(fmt: Format, of_arch: Sequence[Unit], where: str, *, asked: bool) -> dict[str, int]:
    """The types that hold a format, with their shifts."""
    in_blocks = isinstance(fmt, BlockFormat)
    names = list(
        dict.fromkeys(name for unit in of_arch if (unit.scaling != "none") is in_blocks for name in unit.inputs)
    )
    if isinstance(fmt, BlockFormat):
        found = {name: 0 for name in names if _same_blocks(fmt, named(name))}
    else:
        shifts = {name: shift_into(fmt, name) for name in names}
        found = {name: shift for name, shift in shifts.items() if shift is not None}
    arch = of_arch[0].arch
    if not found:
        has = f"it has {', '.join(names)}" if names else "its instructions take no scales of blocks"
        raise FpsimError(f"{where}: {arch} has no operand type for {label(fmt)} ({has}); choose another, or skip it")
    if not isinstance(fmt, BlockFormat) and not asked:
        _refuse_wider(fmt, names, min(found, key=type_bits), arch, where)
    return found


def _refuse_wider(fmt: ElementFormat, names: Sequence[str], narrowest: str, arch: str, where: str) -> None:
    """Refuse a format of few bits that only a wider type holds, where the architecture has cores for few bits."""
    ours = [name for name in names if name not in RANGES and type_bits(name) <= NARROW]
    if ours and fmt.bits <= NARROW < type_bits(narrowest):
        raise FpsimError(
            f"{where}: {label(fmt)} has values that {arch}'s types of {NARROW} bits ({', '.join(ours)}) lack; "
            f"{narrowest} holds it: add --operand-type {narrowest}, or choose another format"
        )


def _same_blocks(fmt: BlockFormat, other: Any) -> bool:
    """Whether two block formats are multiplied alike: how a scale is found does not matter."""
    return (fmt.element, fmt.block, fmt.scale) == (other.element, other.block, other.scale)
