"""Equations 4 to 9 of Chen et al. 2024, as corrected, against their plain evaluation in wide arithmetic.

Corrections: eq. 4 stores q and its zero point is −round(min / s), with the range extended to 0; eq. 5 has p up to
2^e − 1, and p = 0 means (−1)^s · 2^(1−b) · (0.d1 … dm); eq. 9 is p = max(1, floor(log2|X'| + b)), s = 2^(p−b−m).
"""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
from codec_equations import (
    CLOSE,
    NEAR,
    TWINS,
    all_finite,
    element_scale,
    inputs,
    integers,
    largest,
    layouts,
    power,
    prove,
    reals,
)
from hypothesis import given
from hypothesis import strategies as st

import fpsim
from fpsim.codec.encoded import Encoded
from fpsim.codec.protocol import backend


@prove
@given(st.integers(2, 16), st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=40), st.booleans(), TWINS)
def test_equation_4_affine_integers(bits: int, values: list[float], dyadic: bool, twin: str) -> None:
    x = np.array(values, np.float32).reshape(1, -1)
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    s = np.float32((high - low) / (2**bits - 1) if high > low else 1)
    if dyadic:
        s = np.float32(2.0 ** np.ceil(np.log2(s)))
    s = max(s, np.float32(1e-30))
    z = -round(Fraction(low) / Fraction(float(s)))
    q = fake_quantized(x, bits, s, z, twin)
    for number, result in zip(x[0], q[0], strict=True):
        ratio = Fraction(float(number)) / Fraction(float(s))
        allowed = {round(ratio)} if dyadic else {round(ratio * (1 + sign * NEAR)) for sign in (-1, 0, 1)}
        codes = [min(max(choice + z, 0), 2**bits - 1) for choice in allowed]
        wanted = [float(np.float32(code - z) * s) for code in codes]
        assert float(result) in wanted
        assert not np.signbit(result) or result < 0


def fake_quantized(x: np.ndarray, bits: int, s: np.float32, z: int, twin: str) -> np.ndarray:
    scale, zero_point, out = np.full((1, 1), s), np.full((1, 1), z, np.float32), np.empty_like(x)
    arrays = [x, scale, out, zero_point]
    if twin == "torch":
        import torch

        arrays = [torch.from_numpy(a) for a in arrays]
    backend(twin).quantize(arrays[0], fpsim.format(f"uint{bits}"), arrays[1], arrays[2], arrays[3])
    return out


@prove
@given(layouts(), integers | reals)
def test_equation_5_value_of_a_code(layout: tuple[int, int], bias: float) -> None:
    (e, m), fmt = layout, all_finite(layout, bias)
    codes = np.arange(1 << fmt.bits, dtype=np.uint16)
    encoded = Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt)
    values = fpsim.decode(encoded, dtype=np.float32)
    for code, value in zip(codes.tolist(), values.tolist(), strict=True):
        sign, p, digits = code >> (e + m), (code >> m) % 2**e, code % 2**m
        fraction = sum(Fraction((digits >> (m - i)) & 1, 2**i) for i in range(1, m + 1))
        significand, exponent = (1 + fraction, p) if p else (fraction, 1)
        wanted = (-1) ** sign * power(exponent - Fraction(bias)) * significand
        tolerance = 0 if float(bias).is_integer() else CLOSE
        assert abs(Fraction(value) - wanted) <= abs(wanted) * tolerance
        assert np.signbit(value) == bool(sign)


@prove
@given(layouts(), integers | reals, st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=30), TWINS)
def test_equation_6_clipping(layout: tuple[int, int], bias: float, values: list[float], twin: str) -> None:
    """Clipping first changes nothing, since rounding saturates; and nothing leaves [−c, c]."""
    fmt = all_finite(layout, bias)
    x, c = np.array(values, np.float32), np.float32(float(largest(layout, bias)))
    y = fpsim.quantize(x, fmt, backend=twin)
    own = np.float32(float(fmt.max)) * np.float32(fmt.scale())
    clipped = np.clip(x, -own, own)
    assert np.array_equal(fpsim.quantize(clipped, fmt, backend=twin), y)
    assert float(np.abs(y).max()) <= float(c) * (1 + float(CLOSE))


@prove
@given(layouts(), integers | reals, TWINS)
def test_equation_7_largest_value(layout: tuple[int, int], bias: float, twin: str) -> None:
    c, fmt = largest(layout, bias), all_finite(layout, bias)
    top = fpsim.quantize(np.array([np.inf, -np.inf, 3e38, float(c)], np.float32), fmt, backend=twin)
    tolerance = 0 if float(bias).is_integer() else CLOSE
    for value, wanted in zip(top.tolist(), (c, -c, c, c), strict=True):
        assert abs(Fraction(value) - wanted) <= c * tolerance


@prove
@given(st.data(), layouts(), integers, TWINS)
def test_equation_8_rounding_with_an_integer_bias(
    data: st.DataObject, layout: tuple[int, int], bias: int, twin: str
) -> None:
    """Scales are powers of two: the results are the equations' exactly."""
    x, c = data.draw(inputs(layout, bias)), largest(layout, bias)
    y = fpsim.quantize(x, all_finite(layout, bias), backend=twin)
    for number, result in zip(x.tolist(), y.tolist(), strict=True):
        clipped = min(max(Fraction(number), -c), c)
        s = element_scale(layout, bias, clipped)
        assert Fraction(result) == min(max(s * even_code(clipped / s, layout, bias, s), -c), c)


def even_code(ratio: Fraction, layout: tuple[int, int], bias: float, s: Fraction) -> int:
    """The ratio to nearest; at a tie the even code, which without mantissa bits is that of the even exponent field."""
    if layout[1] or abs(ratio) < 1 or ratio.denominator == 1:
        return round(ratio)
    if abs(ratio) != Fraction(3, 2):
        return round(ratio)
    octave = round(mpmath.log(mpmath.mpf(s.numerator) / s.denominator, 2) + bias)
    return (1 if octave % 2 == 0 else 2) * (1 if ratio > 0 else -1)


@prove
@given(st.data(), layouts(), reals, TWINS)
def test_equation_8_rounding_with_a_real_bias(
    data: st.DataObject, layout: tuple[int, int], bias: float, twin: str
) -> None:
    """Within 2^−21 of a boundary the neighbour may be chosen; values agree to 2^−22."""
    x, c = data.draw(inputs(layout, bias)), largest(layout, bias)
    y = fpsim.quantize(x, all_finite(layout, bias), backend=twin)
    for number, result in zip(x.tolist(), y.tolist(), strict=True):
        choices = set()
        for shift in (-NEAR, 0, NEAR):
            clipped = min(max(Fraction(number) * (1 + shift), -c), c)
            s = element_scale(layout, bias, clipped)
            choices.add(min(max(s * round(clipped / s), -c), c))
        assert any(abs(Fraction(result) - choice) <= abs(choice) * CLOSE for choice in choices)


@prove
@given(st.data(), layouts(), reals)
def test_equation_8_chooses_the_nearest_away_from_boundaries(
    data: st.DataObject, layout: tuple[int, int], bias: float
) -> None:
    """The allowance is used near boundaries only: elsewhere the choice is the equations' own."""
    fmt, x = all_finite(layout, bias), data.draw(inputs(layout, bias))
    c = largest(layout, bias)
    codes = fpsim.encode(x, fmt).codes & fmt.magnitude_mask
    for number, code in zip(x.tolist(), codes.tolist(), strict=True):
        clipped = min(max(Fraction(number), -c), c)
        s = element_scale(layout, bias, clipped)
        ratio = abs(clipped) / s
        if abs(ratio % 1 - Fraction(1, 2)) <= ratio * NEAR:
            continue
        wanted = round(ratio) * s / power(-Fraction(bias)) * 2 ** (layout[1] - 1)
        assert fmt_units(code, layout) == round(wanted)


def fmt_units(code: int, layout: tuple[int, int]) -> int:
    """A magnitude code's value in units of the smallest subnormal (half the smallest normal without mantissa bits)."""
    p, digits = code >> layout[1], code % 2 ** layout[1]
    return (2 ** layout[1] + digits) * 2 ** (p - 1) if p else digits


@prove
@given(st.data(), layouts(), integers | reals)
def test_equation_9_step_between_values(data: st.DataObject, layout: tuple[int, int], bias: float) -> None:
    """s_i is the distance between the two values that enclose a clipped number."""
    fmt, c = all_finite(layout, bias), largest(layout, bias)
    codes = np.arange(1 << (fmt.bits - 1), dtype=np.uint16)
    encoded = Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt)
    values = fpsim.decode(encoded, dtype=np.float64)
    tolerance = 0 if float(bias).is_integer() else Fraction(1, 1 << 40)
    for number in np.abs(data.draw(inputs(layout, bias))).tolist():
        above = int(np.searchsorted(values, number, side="right"))
        beside = np.abs(values / number - 1).min() if number else 1
        if above == len(values) or (tolerance and beside < 1e-9):
            continue
        step = Fraction(float(values[above])) - Fraction(float(values[above - 1]))
        s = element_scale(layout, bias, min(Fraction(number), c))
        assert abs(step - s) <= tolerance * s
