"""Laws that hold for every format, drawn at random, in every rounding mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import codec_laws as laws
import numpy as np
import torch
from codec_laws import NEAREST, codebooks, floats, integers, numbers_near
from codec_mode_cases import DIRECTED, by_name, by_twin, conversion, disagreement
from codec_oracle import differences
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, Overflow, Rounding

law = settings(deadline=None, max_examples=120, derandomize=True)
#: Numba's kernels are compared with these two elsewhere; here each mode would be compiled again.
twins = st.sampled_from(["numpy", "torch"])
modes = st.sampled_from(list(Rounding))
directed = st.sampled_from(DIRECTED)
seeds = st.integers(0, (1 << 64) - 1)
#: Scales that are powers of two, so that no division rounds.
exact = floats(real_bias=False) | integers | codebooks
anything = floats() | integers | codebooks


@st.composite
def conversions(draw: st.DrawFn, fmt: ElementFormat, rounding: st.SearchStrategy[str] = modes) -> Conversion:
    """Any mode, with any policy that the format has a code for, random bits and seed."""
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    overflow = draw(st.sampled_from(list(Overflow))) if has_nan else "saturate"
    nan = draw(st.sampled_from(["keep", "zero", "negative-zero", "max"]))
    return conversion(draw(rounding), overflow, nan, draw(st.integers(1, 24)), draw(seeds))


@law
@given(st.data(), anything, twins)
def test_any_format_is_rounded_as_specified(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not disagreement(by_twin(twin), fmt, x, how)


@law
@given(st.data(), exact, twins)
def test_rounding_again_changes_nothing(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    """Also with random bits: a value of the grid never moves."""
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not laws.idempotent(by_twin(twin), fmt, x, how)
    assert not laws.idempotent(by_twin(twin), fmt, x, replace(how, rounding=Rounding.STOCHASTIC))


@law
@given(st.data(), floats(), twins)
def test_rounding_to_nearest_again_changes_nothing_with_a_real_bias(
    data: st.DataObject, fmt: FloatFormat, twin: str
) -> None:
    """A directed mode may go on: y / s is not always the grid's value again, and the next one may be a step away."""
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt, st.sampled_from(NEAREST)))
    assert not laws.idempotent(by_twin(twin), fmt, x, how)


@settings(law, max_examples=25)
@given(st.data(), floats() | integers | codebooks, st.sampled_from(["max", "percentile", "mse"]))
def test_frozen_scales_are_idempotent(data: st.DataObject, fmt: ElementFormat, rule: str) -> None:
    if isinstance(fmt, FloatFormat) and not fmt.signed:
        fmt = replace(fmt, signed=True)
    x = np.random.default_rng(data.draw(seeds)).normal(size=(3, 40)).astype(np.float32)
    fixed = fpsim.Quantizer(fmt, fpsim.PerChannel(0), scale=rule).fit(x)
    once = fixed(x)
    assert not differences(fixed(once), once, x)


@law
@given(st.data(), anything, twins)
def test_order_is_kept(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt, directed))
    assert not laws.monotone(by_twin(twin), fmt, x, how)


@law
@given(st.data(), anything, twins)
def test_results_are_neighbours(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not laws.faithful(by_twin(twin), fmt, x, replace(how, overflow=Overflow.SATURATE))


@law
@given(st.data(), floats() | integers, twins)
def test_signs_are_alike(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    fmt = replace(fmt, signed=True, **({} if isinstance(fmt, FloatFormat) else {"full": False}))
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not laws.symmetric(by_twin(twin), fmt, x[~np.isnan(x)], how)


@law
@given(st.data(), exact, twins)
def test_errors_are_below_a_step(data: st.DataObject, fmt: ElementFormat, twin: str) -> None:
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not laws.within_half_a_step(by_twin(twin), fmt, x, how)


@law
@given(st.data(), floats(real_bias=False, specials=True), twins)
def test_overflow_is_as_documented(data: st.DataObject, fmt: FloatFormat, twin: str) -> None:
    fmt = replace(fmt, signed=True)
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    assert not laws.overflows_as_documented(by_twin(twin), fmt, x, how)


@law
@given(st.data(), floats(real_bias=False), st.integers(-20, 20), st.integers(0, 63), twins)
def test_a_bias_is_a_power_of_two(data: st.DataObject, fmt: FloatFormat, k: int, part: int, twin: str) -> None:
    """Bias b + k rounds x to 2^−k times what bias b makes of 2^k · x; real biases too."""
    fmt = replace(fmt, bias=fmt.bias + part / 64)
    shifted = replace(fmt, bias=fmt.bias + k)
    x, how = data.draw(numbers_near(fmt)), data.draw(conversions(fmt))
    x = x[(x == 0) | ~np.isfinite(x) | ((np.abs(x) > 1e-25) & (np.abs(x) < 1e25))]
    rounder, factor = by_twin(twin), x.dtype.type(2.0**k)
    assert not differences(rounder(x / factor, shifted, how), rounder(x, fmt, how) / factor, x)


@st.composite
def views(draw: st.DrawFn, kind: str) -> tuple[Any, np.ndarray]:
    """An array or tensor of any layout, and its numbers in C order."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=4, max_size=4)))
    x = (np.random.default_rng(draw(seeds)).normal(size=shape) * 100).astype(np.float32)
    view: Any = torch.from_numpy(x) if kind == "tensor" else x
    for axis in range(4):
        if draw(st.booleans()) and view.shape[axis] > 1:
            every = (slice(None),) * axis + (slice(draw(st.integers(0, 1)), None, draw(st.integers(1, 2))),)
            view = view[every]
    order = draw(st.permutations(range(4)))
    layout = draw(st.sampled_from(["transposed", "fortran", "reversed", "channels last"]))
    if layout == "transposed":
        view = view.permute(order) if kind == "tensor" else view.transpose(order)
    elif kind == "tensor":
        view = view.contiguous(memory_format=torch.channels_last) if layout != "reversed" else view.expand(view.shape)
    else:
        view = view[:, ::-1] if layout == "reversed" else np.asfortranarray(view)
    return view, np.ascontiguousarray(view)


@law
@given(st.data(), st.sampled_from(["array", "tensor"]), twins)
def test_memory_layout_does_not_matter(data: st.DataObject, kind: str, twin: str) -> None:
    fmt = data.draw(st.sampled_from([fpsim.format(n) for n in ("e4m3", "int4", "e5m2", "nf4")]))
    (view, plain), how = data.draw(views(kind)), data.draw(conversions(fmt))
    wanted = by_name(twin, plain.copy(), fmt, how)
    y = by_name(twin, view, fmt, how)
    assert y.shape == view.shape
    assert not differences(np.ascontiguousarray(y), wanted, plain)


def test_the_laws_can_fail() -> None:
    """A rounder to hundreds breaks what can be broken."""
    fmt, how = fpsim.format("e4m3"), conversion("ties-to-even")
    x = np.array([0.3333, -0.1, 2.71, 100.7, 500, -500], np.float32)

    def hundreds(x: np.ndarray, fmt: ElementFormat, how: Conversion) -> np.ndarray:
        return np.floor(x / 100) * x.dtype.type(100)

    broken = [laws.faithful, laws.symmetric, laws.within_half_a_step, laws.overflows_as_documented]
    for one in broken:
        assert one(hundreds, fmt, x, how), one.__name__
    assert laws.monotone(lambda x, fmt, how: -x, fmt, x, how)
    assert laws.idempotent(lambda x, fmt, how: x / 2, fmt, x, how)
