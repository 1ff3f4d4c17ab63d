"""The error bound of a fused sum, term by term on fractions: what :func:`fpsim.tensorcore.error_bound` states."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tensorcore_units import Setting

from fpsim.tensorcore import reference
from fpsim.tensorcore.operands import element_format, least_exponent
from fpsim.tensorcore.scale_types import block_of

Pair = tuple[Fraction, int]


def terms(setting: Setting, given: dict[str, Any], row: int) -> list[Fraction]:
    """c and the products of a row, with their scales."""
    found = [Fraction(float(given["c"][row]))]
    for k in range(given["a"].shape[1]):
        term = Fraction(1)
        for side, name in zip("ab", setting[1], strict=True):
            term *= Fraction(float(given[side][row, k]))
            if f"scale_{side}" in given:
                term *= Fraction(float(given[f"scale_{side}"][row, k // block_of(name)]))
        found.append(term)
    return found


def fused_terms(setting: Setting, given: dict[str, Any], row: int) -> list[list[Pair]]:
    """Magnitude and exponent of the terms that are not 0, by group."""
    unit, types, _ = setting
    found = []
    products = terms(setting, given, row)[1:]
    for group in reference.groups(unit, len(products)):
        mine = []
        size = 16 if unit.scaling == "chunks" else 1
        for places in (group[at : at + size] for at in range(0, len(group), size)):
            sides = zip("ab", types, strict=True)
            power = sum(_exponent_of(given, *side, row, places[0], chunks=size > 1) for side in sides)
            magnitude = sum(abs(products[k]) for k in places)
            mine += [(Fraction(magnitude), power)] if magnitude else []
        found.append(mine)
    return found


def _exponent_of(given: dict[str, Any], side: str, name: str, row: int, k: int, *, chunks: bool) -> int:
    """What alignment sees of an operand: its exponent and its scale's, or an FP4 unit's scale's alone."""
    value = Fraction(float(given[side][row, k]))
    own = max(exponent(value), least_exponent(element_format(name)))
    if f"scale_{side}" not in given:
        return own
    scale = Fraction(float(given[f"scale_{side}"][row, k // block_of(name)]))
    power = max(exponent(scale), -6) if name == "nvfp4" else exponent(scale)
    return power if chunks else own + power


def formula(setting: Setting, given: dict[str, Any], row: int) -> Fraction:
    """The bound of a unit whose c is fused, term by term."""
    unit, _, accumulator = setting
    half = accumulator == "fp16"
    least, kept = (-14, 11) if half else (-126, unit.result_bits)
    reach, total = abs(Fraction(float(given["c"][row]))), Fraction(0)
    for found in fused_terms(setting, given, row):
        mine = [max(exponent(reach), least)] if reach else []
        top = max([unit.exponent_floor, *(power for _, power in found), *mine])
        total += (len(found) + len(mine)) * Fraction(2) ** (top - unit.fraction_bits)
        reach += sum(magnitude for magnitude, _ in found)
        place = Fraction(2) ** (max(exponent(reach), least) - kept) if reach else Fraction(0)
        total, reach = total + place, reach + (place if half else 0)
    return total


def exponent(value: Fraction) -> int:
    """floor(log2)."""
    size = abs(value)
    if not size:
        return -(10**6)
    guess = size.numerator.bit_length() - size.denominator.bit_length()
    return guess if Fraction(2) ** guess <= size else guess - 1
