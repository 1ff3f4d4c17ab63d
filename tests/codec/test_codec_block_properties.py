"""Laws of block formats of any block size, element and scale rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codec_block_oracle import quantized
from codec_cases import TWINS
from codec_mode_cases import by_name, conversion
from codec_oracle import differences
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.number import BlockFormat, ScaleRule
from fpsim.number.conversion import Rounding

law = settings(deadline=None, max_examples=60, derandomize=True)
POWER_RULES = tuple(rule for rule in ScaleRule if rule is not ScaleRule.MAX)


@st.composite
def block_formats(draw: st.DrawFn, rules: tuple[str, ...] = tuple(ScaleRule), tensor: bool = True) -> BlockFormat:
    """Any block size from 2 to 64 with any rule."""
    rule = draw(st.sampled_from(rules))
    names = ["e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "e3m0", "int4", "int8", "e1m2", "nf4"]
    element = fpsim.format(draw(st.sampled_from(names[:-1] if rule == "even" else names)))
    scale = draw(st.sampled_from(["e4m3", "e5m2", "e3m4"])) if rule == "max" else "e8m0"
    return BlockFormat(
        name="any",
        element=element,
        block=draw(st.integers(2, 64)),
        scale=fpsim.format(scale),
        rule=rule,
        tensor_scale=tensor and rule == "max" and draw(st.booleans()),
    )


seeds = st.integers(0, 1 << 32)
each = st.sampled_from(TWINS)


def spread(seed: int, *shape: int, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Numbers whose rows differ by many powers of two, among them zeros."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * np.exp2(rng.integers(-20, 20, (*shape[:-1], 1))) * (rng.random(shape) > 0.1)
    return x.astype(dtype)


@law
@given(block_formats(), seeds, st.integers(1, 150), each, st.sampled_from([np.float32, np.float64]))
def test_any_block_format_follows_its_rule(
    fmt: BlockFormat, seed: int, columns: int, twin: str, dtype: type[np.floating]
) -> None:
    x = spread(seed, 3, columns, dtype=dtype)
    assert not differences(fpsim.quantize(x, fmt, backend=twin), quantized(fmt, x), x)


@law
@given(block_formats(), seeds, st.integers(0, 2), st.booleans(), each)
def test_blocks_run_along_any_axis(fmt: BlockFormat, seed: int, axis: int, negative: bool, twin: str) -> None:
    x = spread(seed, 3, 70, 5)
    last = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    wanted = np.moveaxis(fpsim.quantize(last, fmt, backend="numpy"), -1, axis)
    place = fpsim.PerBlock(fmt.block, axis - 3 if negative else axis)
    scale = f"{fmt.scale.name}-{fmt.rule}"
    quantizer = fpsim.Quantizer(fmt if fmt.tensor_scale else fmt.element, place, scale=scale, backend=twin)
    assert not differences(quantizer(x), np.ascontiguousarray(wanted), x)
    tensor = quantizer(torch.from_numpy(x))
    assert not differences(tensor.numpy(), np.ascontiguousarray(wanted), x)


@law
@given(st.data(), block_formats(tensor=False), seeds, st.integers(0, 3), each)
def test_a_short_last_block_has_its_own_scale(
    data: st.DataObject, fmt: BlockFormat, seed: int, whole: int, twin: str
) -> None:
    """It becomes what it would alone."""
    short = data.draw(st.integers(1, fmt.block - 1))
    x = spread(seed, 2, whole * fmt.block + short)
    y = fpsim.quantize(x, fmt, backend=twin)
    alone = np.ascontiguousarray(x[:, -short:])
    assert not differences(np.ascontiguousarray(y[:, -short:]), fpsim.quantize(alone, fmt, backend=twin), alone)
    with pytest.raises(fpsim.FpsimError, match="no multiple of any's block"):
        fpsim.quantize(x, fmt, strict=True, backend=twin)


@law
@given(block_formats(POWER_RULES), seeds, st.integers(-30, 30), st.sampled_from(list(Rounding)), st.integers(0, 9))
def test_powers_of_two_pass_through_power_of_two_scales(
    fmt: BlockFormat, seed: int, k: int, mode: str, bits: int
) -> None:
    """Unless the scale format ends: q(2^k · x) = 2^k · q(x), in every mode."""
    x, how, factor = spread(seed, 3, 45), conversion(mode, bits=bits + 1), np.float32(2.0**k)
    for twin in ("numpy", "torch"):
        assert not differences(by_name(twin, x * factor, fmt, how), by_name(twin, x, fmt, how) * factor, x)


@law
@given(seeds, st.integers(-30, 30), each)
def test_powers_of_two_pass_through_the_scale_of_the_tensor(seed: int, k: int, twin: str) -> None:
    x, factor = spread(seed, 3, 45), np.float32(2.0**k)
    wanted = fpsim.quantize(x, "nvfp4", backend=twin) * factor
    assert not differences(fpsim.quantize(x * factor, "nvfp4", backend=twin), wanted, x)
