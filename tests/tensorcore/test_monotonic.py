"""Sums of truncated terms are not monotonic: a larger addend may give a smaller sum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tensorcore_units import Setting, how, name_of, settings

from fpsim.tensorcore import dot, error_bound, reference
from fpsim.tensorcore.drafts import divided, reach, terms_range

FUSED = [setting for setting in settings() if setting[0].scaling == "none" and setting[0].c == "fused"]
#: Units whose small terms together are more than the step from which they vanish.
FALLING = [
    s for s in FUSED if s[2] == "fp32" and s[0].group * 2.0 ** -s[0].fraction_bits > 2.0 ** (1 - s[0].result_bits)
]


def falling(setting: Setting) -> tuple[list[float], list[float], float, float]:
    """G products of 2^(p − F), which c of exponent p leaves and 2^(p + 1) cuts off; c, a unit below that; 2^(p + 1)."""
    unit, types, _ = setting
    p = max(0, terms_range(unit, types)[0] + unit.fraction_bits)
    pair = divided(p - unit.fraction_bits, *reach(types[0]), *reach(types[1]))
    assert pair is not None
    a, b = ([2.0**power] * unit.group for power in pair)
    return a, b, 2.0 ** (p + 1) - 2.0 ** (p - unit.result_bits), 2.0 ** (p + 1)


@pytest.mark.parametrize("setting", FALLING, ids=map(name_of, FALLING))
def test_a_larger_addend_may_give_a_smaller_sum(setting: Setting) -> None:
    """Not monotonic: c = 2^(p + 1) raises the largest exponent, and all products lose the bit that they had.

    Mikaitis, Monotonicity of Multi-Term Floating-Point Adders, IEEE Transactions on Computers, 2024. Both sums are
    within their bounds all the same.
    """
    unit = setting[0]
    a, b, c, power = falling(setting)
    a, b = ([*part, *[0.0] * (unit.step - unit.group)] for part in (a, b))
    below, above = (float(dot([a], [b], [start], **how(setting))[0]) for start in (c, power))
    assert c < power
    assert above == power < below
    assert reference.dot(unit, setting[1], a, b, c) == below
    for start, found in ((c, below), (power, above)):
        exact = start + unit.group * a[0] * b[0]
        assert abs(found - exact) <= error_bound([a], [b], [start], **how(setting))[0]


def test_which_units_fall() -> None:
    """All that sum 8 products or more, and Volta, which truncates to the result's own 23 bits."""
    found = {(s[0].arch, s[0].group) for s in FALLING}
    assert {("volta", 4), ("turing", 8), ("ampere", 8), ("ada", 16), ("hopper", 16), ("hopper", 32)} <= found
    assert not [s for s in FALLING if s[0].group == 4 and s[0].arch != "volta"]


def test_an_exact_adder_with_the_same_rounding_does_not_fall() -> None:
    """It is the alignment that does it: with enough fraction bits the larger c has the larger sum."""
    unit, types, _ = setting = next(s for s in FALLING if name_of(s) == "hopper.wgmma.e4m3.fp32")
    a, b, c, power = falling(setting)
    wide = replace(unit, fraction_bits=60)
    below, above = (reference.dot(wide, types, a, b, start) for start in (c, power))
    assert power < below <= above
