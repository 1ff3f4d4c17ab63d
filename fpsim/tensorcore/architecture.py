"""Matrix units of GPUs as values: what one instruction takes and how it sums, read from ``architectures.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError

#: One name, or those of a and b.
InputTypes = str | tuple[str, str]
#: Fraction bits and least exponent of an accumulator type; what fp32 keeps is the unit's ``result_bits``.
FP16_FRACTION_BITS, FP16_LEAST_EXPONENT, FP32_LEAST_EXPONENT = 10, -14, -126


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one instruction of one architecture does.

    Args:
        arch: the architecture's id.
        instruction: the instruction's id.
        inputs: names of the input types it takes.
        mixed: whether a and b may be of different ones.
        k: the K of one instruction, all shapes.
        group: products that one fused sum takes; the sum of one group is the accumulator of the next.
        fraction_bits: to so many fraction bits, counted from the largest exponent, every term is truncated.
        result_bits: fraction bits to which an fp32 result is truncated.
        accumulators: types that c and the result may have: ``fp32``, ``fp16``, ``int32``.
        exponent_floor: least exponent to which terms are aligned.
        order: ``ascending`` k, or ``pairs``: first group k mod 4 in {0, 1}, second {2, 3}.
        c: ``fused`` into the sum, or ``added`` to an instruction's result in one addition, ties to even.
        scaling: ``none``; ``exponent``: block scales add to exponents; ``chunks``: scaled exact sums of 16.
        source: where the facts come from.
        confidence: ``verified on recorded data``, ``MMA-Sim only`` or ``disputed``.
        note: what is open.
    """

    arch: str
    instruction: str
    inputs: tuple[str, ...]
    mixed: bool = False
    k: tuple[int, ...]
    group: int = 1
    fraction_bits: int = 0
    result_bits: int = 23
    accumulators: tuple[str, ...]
    exponent_floor: int = -126
    order: str = "ascending"
    c: str = "fused"
    scaling: str = "none"
    source: str
    confidence: str
    note: str = ""

    @property
    def step(self) -> int:
        """The K that a product's K must be a multiple of: the smallest shape's."""
        return self.k[0]

    def takes(self, types: tuple[str, str]) -> bool:
        """Whether the instruction takes operands of these types."""
        return set(types) <= set(self.inputs) and (self.mixed or types[0] == types[1])


@lru_cache(maxsize=1)
def units() -> tuple[Unit, ...]:
    """Return all units, those that are an architecture's default first."""
    text = (Path(__file__).parent / "architectures.toml").read_text(encoding="utf-8")
    return tuple(_unit(table) for table in tomllib.loads(text)["unit"])


def _unit(table: dict[str, Any]) -> Unit:
    facts: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Unit(**facts)


def architectures() -> tuple[str, ...]:
    """Return the ids of the architectures, oldest first.

    >>> architectures()[0], architectures()[-1]
    ('volta', 'blackwell-sm120')
    """
    return tuple(dict.fromkeys(unit.arch for unit in units()))


def types_of(dtype: InputTypes) -> tuple[str, str]:
    """Return the types of a and b: ``e4m3``, ``e4m3,e5m2`` or a pair."""
    names = tuple(dtype.split(",")) if isinstance(dtype, str) else tuple(dtype)
    names = tuple(str(name).strip() for name in names)
    if len(names) > 2 or not all(names):
        raise FpsimError(f"dtype {dtype!r} names no operand types; give one such as 'e4m3', or two as 'e4m3,e5m2'")
    return names[0], names[-1]


def find_unit(
    arch: str,
    dtype: InputTypes,
    instruction: str | None = None,
    accumulator: str = "fp32",
    *,
    exponent_floor: int | None = None,
    group: int | None = None,
) -> Unit:
    """Return the unit of an architecture that takes an input type.

    Args:
        arch: the architecture's id.
        dtype: type of both operands, or those of a and b.
        instruction: the instruction's id; by default the architecture's first that takes the type.
        accumulator: ``fp32`` or ``fp16``; int8 has ``int32`` whatever this says.
        exponent_floor: another least exponent of the alignment (an open point where c is 0).
        group: another group size (an open point of Turing and of tf32): a multiple of 4 that divides K.

    Raises:
        FpsimError: the architecture, type, instruction or accumulator does not exist; says which do.

    >>> find_unit("hopper", "e4m3").instruction
    'wgmma'
    """
    types = types_of(dtype)
    of_arch = [unit for unit in units() if unit.arch == arch]
    if not of_arch:
        raise FpsimError(f"architecture {arch!r} is not known; choose from {', '.join(architectures())}")
    found = _of_instruction(of_arch, arch, instruction, types)
    if "int32" not in found.accumulators and accumulator not in found.accumulators:
        raise FpsimError(
            f"accumulator {accumulator!r}: {found.instruction} on {arch} with {'×'.join(dict.fromkeys(types))} "
            f"has {' and '.join(found.accumulators)}"
        )
    changes: dict[str, Any] = {"exponent_floor": exponent_floor, "group": group}
    changes = {key: value for key, value in changes.items() if value is not None}
    if group is not None and (found.scaling != "none" or group < 1 or group % 4 or found.step % group):
        raise FpsimError(f"group {group!r} is no multiple of 4 that divides the K of {found.instruction}, {found.step}")
    return replace(found, **changes) if changes else found


def _of_instruction(of_arch: list[Unit], arch: str, instruction: str | None, types: tuple[str, str]) -> Unit:
    """The first unit that takes the types."""
    names = list(dict.fromkeys(unit.instruction for unit in of_arch))
    if instruction is not None and instruction not in names:
        raise FpsimError(f"{arch} has no instruction {instruction!r}; it has {', '.join(names)}")
    fitting = [unit for unit in of_arch if instruction in (None, unit.instruction)]
    for unit in fitting:
        if unit.takes(types):
            return unit
    has = dict.fromkeys(name for unit in fitting for name in unit.inputs)
    what = types[0] if types[0] == types[1] else f"{types[0]} with {types[1]}"
    where = f"{instruction} on {arch}" if instruction else arch
    raise FpsimError(f"{where} takes no operands of {what}; it takes {', '.join(has)}")
