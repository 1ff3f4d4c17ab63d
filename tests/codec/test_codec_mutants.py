"""The checks of the other tests catch kernels with one fault each, so that passing them means something.

A mutant is the NumPy backend whose output is changed for one class of inputs only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import codec_laws as laws
import numpy as np
import pytest
from codec_block_mode_oracle import block_disagreement, scales_of
from codec_mode_cases import CONVERSIONS, Floats, Rounder, by_name, by_twin, conversion, disagreement, numbers, possible
from codec_mode_oracle import words_of
from codec_oracle import differences, oracle

import fpsim
from fpsim.number import BlockFormat, ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding

honest = by_twin("numpy")
E4M3 = fpsim.format("e4m3")
#: Which results a mutant changes, and to what: ``(x, y, fmt, how) -> (class, other results)``.
Fault = Callable[[Floats, Floats, FloatFormat, Conversion], tuple[np.ndarray, Floats]]


def mutant(fault: Fault) -> Rounder:
    """The NumPy backend with a fault."""

    def rounder(x: Floats, fmt: ElementFormat, how: Conversion) -> Floats:
        y = honest(x, fmt, how)
        assert isinstance(fmt, FloatFormat)
        wrong, other = fault(x, y, fmt, how)
        return np.where(wrong, other, y).astype(x.dtype)

    return rounder


def wrong_tie(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """Ties of normal numbers go to the odd code."""
    low, high = laws.beside(fmt, x)
    tie = np.isin(x, oracle(fmt).middles) & (np.abs(x) > float(fmt.min_normal))
    return tie & (how.rounding is Rounding.TIES_TO_EVEN), low + high - y


def wrong_subnormal(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """Subnormal results are flushed to zero."""
    return (np.abs(y) < float(fmt.min_normal)) & (y != 0), np.copysign(0, y)


def wrong_edge(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """The number halfway between the maximum and its successor stays finite, or becomes special, wrongly."""
    top, after = float(fmt.max), float(fmt.grid_value(fmt.max_code + 1))
    edge = (np.abs(x) == (top + after) / 2) & (how.overflow is Overflow.SPECIAL)
    return edge, np.where(np.isfinite(y), np.nan, np.copysign(top, x))


def wrong_zero(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """Negative numbers that become zero become +0."""
    return (y == 0) & (x < 0), np.zeros_like(y)


def off_by_one(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """The random sum must pass 2^bits instead of reaching it."""
    if how.deterministic:
        return np.zeros(x.shape, np.bool_), y
    words = words_of(x.shape, how)
    low, high = laws.beside(fmt, x)
    near, far = np.where(x < 0, high, low), np.where(x < 0, low, high)
    with np.errstate(all="ignore"):
        reached = np.floor(np.abs((x - near) / (far - near)) * (1 << how.random_bits)) + words == 1 << how.random_bits
    return reached & (near != far), near


def wrong_direction(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """Toward negative truncates negative numbers."""
    return (x < 0) & (how.rounding is Rounding.TOWARD_NEGATIVE), laws.beside(fmt, x)[1]


def wrong_infinity(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """Infinity saturates although it should propagate."""
    return np.isinf(x) & (how.overflow is Overflow.PROPAGATE), np.copysign(float(fmt.max), x)


def wrong_nan(x: Floats, y: Floats, fmt: FloatFormat, how: Conversion) -> tuple[np.ndarray, Floats]:
    """NaN becomes 0 although the format has one."""
    return np.isnan(x) & (how.nan is NanPolicy.ZERO), np.zeros_like(y)


#: Each fault with the law that it breaks besides; None where no law but the specification forbids it.
FAULTS = {
    wrong_tie: None,
    wrong_subnormal: laws.faithful,
    wrong_edge: laws.overflows_as_documented,
    wrong_zero: laws.symmetric,
    off_by_one: None,
    wrong_direction: laws.symmetric,
    wrong_infinity: laws.overflows_as_documented,
    wrong_nan: None,
}
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)


def found_by_specification(rounder: Rounder) -> list[str]:
    """What the checks of ``test_codec_modes.py`` say, for both types and every conversion."""
    cases = [(numbers(E4M3, dtype, 300), how) for dtype in (np.float32, np.float64) for how in CONVERSIONS]
    return [found for x, how in cases if (found := disagreement(rounder, E4M3, x, how))]


def found_by_law(rounder: Rounder, law: Callable[..., str]) -> list[str]:
    """What a check of ``test_codec_properties.py`` says."""
    x = numbers(E4M3, np.float32, 300)
    hows = [replace(how, overflow=Overflow.SATURATE) if law is laws.faithful else how for how in CONVERSIONS]
    return [found for how in hows if (found := law(rounder, E4M3, x[~np.isnan(x)], how))]


def test_the_honest_backend_passes() -> None:
    assert possible(E4M3, CONVERSIONS) == CONVERSIONS
    assert not found_by_specification(honest)
    for law in {law for law in FAULTS.values() if law is not None}:
        assert not found_by_law(honest, law)


@each_fault
def test_the_specification_catches_it(fault: Fault) -> None:
    assert found_by_specification(mutant(fault))


@pytest.mark.parametrize("fault", [f for f, law in FAULTS.items() if law], ids=lambda f: f.__name__)
def test_a_law_catches_it(fault: Fault) -> None:
    law = FAULTS[fault]
    assert law is not None
    assert found_by_law(mutant(fault), law)


@each_fault
def test_it_is_wrong_in_its_class_only(fault: Fault) -> None:
    """The mutants are subtle: fewer than a tenth of all results differ, but some do."""
    differing = total = 0
    for how in CONVERSIONS:
        x = numbers(E4M3, np.float32, 300)
        y, other = honest(x, E4M3, how), mutant(fault)(x, E4M3, how)
        same = (y.view(np.uint32) == other.view(np.uint32)) | (np.isnan(y) & np.isnan(other))
        differing, total = differing + int((~same).sum()), total + x.size
    assert 0 < differing < total / 10


def numbers_in_blocks() -> np.ndarray:
    """One short last block a row, greater than its neighbour."""
    x = np.random.default_rng(5).normal(size=(6, 40)).astype(np.float32)
    x[:, 32:] *= 10
    return x


def short_block_without_scale(x: np.ndarray, fmt: BlockFormat, how: Conversion) -> np.ndarray:
    """The short last block takes the scale of the block before."""
    y = by_name("numpy", x, fmt, how)
    scale = scales_of(fmt, x)[:, :1]
    y[:, 32:] = by_twin("numpy", scale)(np.ascontiguousarray(x[:, 32:]), fmt.element, how)
    return y


def random_bits_restart(x: np.ndarray, fmt: BlockFormat, how: Conversion) -> np.ndarray:
    """The short last blocks count their random bits from 0."""
    y = by_name("numpy", x, fmt, how)
    tail = np.ascontiguousarray(x[:, 32:])
    y[:, 32:] = by_twin("numpy", scales_of(fmt, tail))(tail, fmt.element, how)
    return y


@pytest.mark.parametrize("fault", [short_block_without_scale, random_bits_restart])
def test_faults_in_blocks_are_caught(fault: Callable[..., np.ndarray]) -> None:
    fmt, x = fpsim.format("mxfp4"), numbers_in_blocks()
    how = conversion("stochastic", bits=8)
    assert isinstance(fmt, BlockFormat)
    assert not block_disagreement(partial(by_name, "numpy"), fmt, x, how)
    assert block_disagreement(fault, fmt, x, how)
    assert not differences(fault(x, fmt, how)[:, :32], by_name("numpy", x, fmt, how)[:, :32], x)
