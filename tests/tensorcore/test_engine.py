"""The compiled engine equals the specification, bit for bit, whatever the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tensorcore_units import NAN, Setting, bits, how, name_of, operands, settings, specified

from fpsim.tensorcore import dot, matmul, reference

SETTINGS = settings()
everywhere = pytest.mark.parametrize("setting", SETTINGS, ids=map(name_of, SETTINGS))


@everywhere
@budget(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), special=st.sampled_from([0.0, 0.02, 0.3]), steps=st.integers(1, 3))
def test_dot_is_the_specification(setting: Setting, seed: int, special: float, steps: int) -> None:
    inputs = operands(np.random.default_rng(seed), setting, 24, steps, special)
    assert np.array_equal(bits(dot(**inputs, **how(setting))), specified(setting, inputs))


@everywhere
@budget(deadline=None, max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), special=st.sampled_from([0.0, 0.05]), shape=st.sampled_from([(3, 70), (70, 3)]))
def test_matmul_is_dot_of_rows_and_columns(setting: Setting, seed: int, special: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    left, right = (operands(rng, setting, n, 2, special) for n in shape)
    c = np.resize(left["c"], shape)
    scales = {"scale_a": left["scale_a"], "scale_b": right["scale_b"].T} if "scale_a" in left else {}
    result = matmul(left["a"], right["b"].T, c, **scales, **how(setting))
    i, j = (x.ravel() for x in np.indices(shape))
    pairs = {"a": left["a"][i], "b": right["b"][j], "c": c[i, j]}
    pairs |= {"scale_a": left["scale_a"][i], "scale_b": right["scale_b"][j]} if scales else {}
    assert np.array_equal(bits(result).ravel(), bits(dot(**pairs, **how(setting))))


@pytest.mark.parametrize("floor", [-133, -126, 0])
def test_the_floor_is_the_specification_s(floor: int) -> None:
    setting = next(s for s in SETTINGS if name_of(s) == "hopper.wgmma.bf16.fp32")
    inputs = operands(np.random.default_rng(1), setting, 50, 1)
    for side, power in (("a", -60), ("b", -85)):
        inputs[side] = np.copysign(np.ldexp(np.frexp(inputs[side])[0], power).astype(np.float32), inputs[side])
    inputs["c"] *= 0
    changed = (replace(setting[0], exponent_floor=floor), *setting[1:])
    results = bits(dot(**inputs, **how(setting), exponent_floor=floor))
    assert np.array_equal(results, specified(changed, inputs))
    assert np.array_equal(results, specified(setting, inputs)) == (floor == -126)


def test_the_open_point_of_the_floor_can_be_seen_on_a_gpu() -> None:
    """Eight products of 2^-152: nothing with the floor −126, one unit in the last place with −133."""
    a = np.zeros((1, 16), np.float32)
    a[0, :8] = 2.0**-76
    for floor, result in ((-126, 0.0), (-133, 2.0**-149)):
        assert dot(a, a, arch="hopper", dtype="bf16", exponent_floor=floor)[0] == result


def test_every_nan_has_one_pattern() -> None:
    a = np.array([[np.nan] * 16, [np.inf] * 16], np.float32)
    b = np.repeat(np.float32([[np.nan], [0]]), 16, axis=1)
    d = dot(a, b, [-np.nan, 0], arch="hopper", dtype="fp16")
    assert d.view(np.int32).tolist() == [0x7FFFFFFF] * 2
    assert NAN.view(np.int32) == 0x7FFFFFFF


def test_a_mutated_specification_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = SETTINGS[0]
    inputs = operands(np.random.default_rng(3), setting, 200, 1)
    before = specified(setting, inputs)
    monkeypatch.setattr(reference, "aligned", lambda term, top, bits: (term.significand << 40) >> (40 + top))
    assert not np.array_equal(before, specified(setting, inputs))


@pytest.mark.parametrize(("arch", "dtype"), [("hopper", "bf16"), ("ampere", "tf32"), ("blackwell-sm100", "bf16")])
def test_products_beyond_the_range_of_fp32_may_cancel(arch: str, dtype: str) -> None:
    a = np.zeros((2, 16), np.float32)
    a[:, 0], a[:, 1] = 2.0**100, [2.0**100, -(2.0**100)]
    b = np.full((2, 16), np.float32(2.0**100))
    assert dot(a, b, arch=arch, dtype=dtype).tolist() == [np.inf, 0.0]
