"""Laws of the fused sum, and results that one can compute by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tensorcore_units import Setting, name_of, operands, settings

from fpsim.tensorcore import find_unit, reference
from fpsim.tensorcore.operands import element_format

SETTINGS = settings()
PLAIN = [setting for setting in SETTINGS if setting[0].scaling == "none"]
plain = pytest.mark.parametrize("setting", PLAIN, ids=map(name_of, PLAIN))
few = budget(deadline=None, max_examples=8)
seeds = st.integers(0, 2**32 - 1)


def one(setting: Setting, seed: int) -> tuple[list[float], list[float], float]:
    """Operands of one instruction."""
    given = operands(np.random.default_rng(seed), setting, 1, 1)
    return given["a"][0].tolist(), given["b"][0].tolist(), float(given["c"][0])


def result(setting: Setting, a: list[float], b: list[float], c: float = 0.0) -> float:
    unit, types, accumulator = setting
    return reference.dot(unit, types, a, b, c, accumulator=accumulator)


def exact(a: list[float], b: list[float], c: float) -> Fraction:
    return sum((Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)), Fraction(c))


@plain
@few
@given(seed=seeds)
def test_order_inside_a_group_does_not_matter(setting: Setting, seed: int) -> None:
    a, b, c = one(setting, seed)
    mixed_a, mixed_b, rng = list(a), list(b), np.random.default_rng(seed)
    for group in reference.groups(setting[0], len(a)):
        for place, source in zip(group, rng.permutation(group), strict=True):
            mixed_a[place], mixed_b[place] = a[source], b[source]
    assert repr(result(setting, mixed_a, mixed_b, c)) == repr(result(setting, a, b, c))


@plain
@few
@given(seed=seeds, signs=st.lists(st.sampled_from([-1, 1]), min_size=64, max_size=64))
def test_short_sums_are_exact(setting: Setting, seed: int, signs: list[int]) -> None:
    """Terms that one accumulator holds together lose nothing: small integers."""
    unit = setting[0]
    rng = np.random.default_rng(seed)
    a = [float(s * x) for s, x in zip(signs, rng.integers(0, 3, unit.step), strict=False)]
    b = [float(x) for x in rng.integers(0, 3, unit.step)]
    c = float(rng.integers(-8, 9))
    assert result(setting, a, b, c) == exact(a, b, c)


@plain
@few
@given(seed=seeds)
def test_signs_turn_the_result(setting: Setting, seed: int) -> None:
    """Truncation and ties to even treat both signs alike."""
    a, b, c = one(setting, seed)
    turned = result(setting, [-x for x in a], b, -c)
    assert turned == -result(setting, a, b, c)


@plain
@few
@given(seed=seeds)
def test_the_stated_error_bound_holds(setting: Setting, seed: int) -> None:
    """Each group: (G + 1)·2^(E − F) of alignment and one unit in the result's last place."""
    unit, _, accumulator = setting
    a, b, c = one(setting, seed)
    value, bound = (c if unit.c == "fused" else 0.0), Fraction(0)
    kept, least = (10, -14) if accumulator == "fp16" else (unit.result_bits, -126)
    for group in reference.groups(unit, len(a)):
        top = max([unit.exponent_floor, *_exponents(setting, a, b, group, value, least)])
        value = _group(setting, a, b, group, value)
        if math.isinf(value):
            return
        bound += (len(group) + 1) * Fraction(2) ** (top - unit.fraction_bits)
        bound += Fraction(2) ** (max(math.frexp(value)[1] - 1, least) - kept)
    expected = exact(a, b, c if unit.c == "fused" else 0.0)
    assert abs(Fraction(value) - expected) <= bound


def _exponents(setting: Setting, a: Any, b: Any, group: list[int], c: float, least: int) -> list[int]:
    """Exponents of the terms that are not 0."""
    fmts = [element_format(name) for name in setting[1]]
    pairs = [(reference.decode(a[k], fmts[0]), reference.decode(b[k], fmts[1])) for k in group]
    products = [x.exponent + y.exponent for x, y in pairs if x.significand and y.significand]
    return products + ([max(math.frexp(c)[1] - 1, least)] if c else [])


def _group(setting: Setting, a: Any, b: Any, group: list[int], c: float) -> float:
    unit, types, accumulator = setting
    single = replace(unit, k=(len(group),), group=len(group), order="ascending", c="fused")
    return reference.dot(single, types, [a[k] for k in group], [b[k] for k in group], c, accumulator=accumulator)


def test_hopper_keeps_13_fraction_bits() -> None:
    unit = find_unit("hopper", "e4m3")
    for size, sum_ in ((2.0**-13, 1 + 2.0**-13), (2.0**-14, 1.0), (-(2.0**-14), 1.0), (-(2.0**-13), 1 - 2.0**-13)):
        a, b = [1.0, size * 2**8] + [0.0] * 30, [1.0, 2.0**-8] + [0.0] * 30
        assert reference.dot(unit, ("e4m3", "e4m3"), a, b) == sum_


@pytest.mark.parametrize(("arch", "last"), [("hopper", 13), ("ada", 13), ("blackwell-sm100", 25)])
def test_small_terms_vanish_beside_a_large_accumulator(arch: str, last: int) -> None:
    ones, unit = [1.0] * 32, find_unit(arch, "e4m3")
    assert reference.dot(unit, ("e4m3", "e4m3"), ones, ones, 2.0**last) == 2.0**last + 32
    assert reference.dot(unit, ("e4m3", "e4m3"), ones, ones, 2.0 ** (last + 1)) == 2.0 ** (last + 1)


def test_a_product_is_not_normalized() -> None:
    """1.5 · 1.5 = 2.25 aligns at exponent 0: 2^-13 stays beside it, which 2.25 as 1.125 · 2 would push out."""
    a, b = [1.5, 1.5, 2.0**-5] + [0.0] * 29, [1.5, -1.5, 2.0**-8] + [0.0] * 29
    assert reference.dot(find_unit("hopper", "e4m3"), ("e4m3", "e4m3"), a, b) == 2.0**-13


def test_nvfp4_sums_16_products_exactly_and_scales_them_then() -> None:
    unit, types = find_unit("blackwell-sm100", "nvfp4"), ("nvfp4", "nvfp4")
    a, b = [6.0] * 64, [0.5] * 64
    scales = {"scale_a": [1.0, 2.0, 0.5, 1.125], "scale_b": [1.0, 1.0, 1.0, 2.0**-9]}
    assert reference.dot(unit, types, a, b, 1.0, **scales) == 48 * (1 + 2 + 0.5 + 1.125 * 2**-9) + 1


def test_mx_scales_move_exponents() -> None:
    unit, types = find_unit("blackwell-sm100", "mxfp8-e4m3"), ("mxfp8-e4m3", "mxfp8-e4m3")
    a, b = [1.5] + [0.0] * 31, [1.5] + [0.0] * 31
    assert reference.dot(unit, types, a, b, 0.0, scale_a=[2.0**-100], scale_b=[2.0**120]) == 2.25 * 2**20


@pytest.mark.parametrize(
    ("a", "b", "c", "expected"),
    [
        ([math.inf], [1.0], 1.0, math.inf),
        ([math.inf], [0.0], 1.0, math.nan),
        ([math.inf, math.inf], [1.0, -1.0], 0.0, math.nan),
        ([-math.inf], [1.0], math.inf, math.nan),
        ([1.0], [1.0], -math.inf, -math.inf),
        ([math.nan], [0.0], 1.0, math.nan),
        ([-0.0], [1.0], -0.0, 0.0),
        ([2.0**127, 2.0**127], [2.0**127, -(2.0**127)], 1.0, 0.0),
        ([2.0**127], [2.0], 0.0, math.inf),
        ([2.0**-126], [-(2.0**-24)], 0.0, -0.0),
    ],
)
def test_specials(a: list[float], b: list[float], c: float, expected: float) -> None:
    fill = [0.0] * (16 - len(a))
    d = reference.dot(find_unit("hopper", "bf16"), ("bf16", "bf16"), a + fill, b + fill, c)
    assert repr(d) == repr(expected)


def test_fp8_mma_on_hopper_is_two_fp16_instructions() -> None:
    """c is added once, with ties to even, to what two groups of k mod 4 in {0, 1} and {2, 3} gave."""
    unit = find_unit("hopper", "e4m3", "mma", "fp16")
    assert reference.groups(unit, 32)[0] == [k for k in range(32) if k % 4 < 2]
    a = [1.0] + [0.0] * 31
    assert reference.dot(unit, ("e4m3", "e4m3"), a, a, 2.0**-11, accumulator="fp16") == 1.0
    assert reference.dot(unit, ("e4m3", "e4m3"), a, a, 1.5 * 2.0**-11, accumulator="fp16") == 1 + 2.0**-10
