"""Which values share a scale, and which scales stay fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantizer_checks import BACKENDS, X, same

import fpsim
from fpsim import PerBlock, PerChannel, PerTensor, Quantizer
from fpsim.errors import FpsimError


@pytest.mark.parametrize("name", ["e2m1", "uint4", "nf4", "int8-q6"])
@pytest.mark.parametrize("rule", ["max", "mse", "percentile:99"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_each_channel_is_quantized_for_itself(axis: int, rule: str, name: str) -> None:
    y = Quantizer(name, PerChannel(axis), rule)(X)
    for i in range(X.shape[axis]):
        alone = Quantizer(name, PerTensor(), rule)(np.ascontiguousarray(X.take(i, axis)))
        assert same(np.ascontiguousarray(y.take(i, axis)), alone)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_each_full_precision_block_is_quantized_for_itself(axis: int) -> None:
    y = np.moveaxis(Quantizer("int4", PerBlock(4, axis), "max")(X), axis, -1)
    x = np.moveaxis(X, axis, -1)
    for place in np.ndindex(x.shape[:-1]):
        for start in range(0, x.shape[-1], 4):
            run = np.ascontiguousarray(x[place][start : start + 4])
            assert np.array_equal(y[place][start : start + 4], Quantizer("int4", scale="max")(run))


def test_blocks_of_a_convolution_run_along_input_channels_for_each_tap() -> None:
    weight = torch.randn(4, 40, 3, 3, generator=torch.Generator().manual_seed(1))
    y = Quantizer("mxfp4", PerBlock(32, axis=1))(weight)
    for out, kh, kw in np.ndindex(4, 3, 3):
        channels = weight[out, :, kh, kw].contiguous()
        assert torch.equal(y[out, :, kh, kw], fpsim.quantize(channels, "mxfp4"))


@pytest.mark.parametrize("shape", [(64,), (3, 64), (2, 3, 96), (3, 45), (1, 7)])
def test_mxfp4_and_nvfp4_are_quantizers_of_their_parts(shape: tuple[int, ...]) -> None:
    x = (np.random.default_rng(2).standard_normal(shape) * 10).astype(np.float32)
    assert same(Quantizer("e2m1", PerBlock(32), scale="e8m0-floor")(x), fpsim.quantize(x, "mxfp4"))
    assert same(Quantizer("e2m1", PerBlock(32), scale="e8m0-even")(x), fpsim.quantize(x, "mxfp4-even"))
    plain = replace(fpsim.format("nvfp4"), tensor_scale=False)
    assert same(Quantizer("e2m1", PerBlock(16), scale="e4m3-max")(x), fpsim.quantize(x, plain))
    assert same(Quantizer("nvfp4")(x), fpsim.quantize(x, "nvfp4"))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.floats(-30, 30))
def test_mxfp4_property(seed: int, columns: int, exponent: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((2, columns)) * 2**exponent).astype(np.float32)
    for backend in BACKENDS:
        ours = Quantizer("e2m1", PerBlock(32), scale="e8m0-floor", backend=backend)(x)
        assert same(ours, fpsim.quantize(x, "mxfp4"))


@pytest.mark.parametrize("grain", [PerTensor(), PerChannel(1)], ids=str)
@pytest.mark.parametrize("name", ["e4m3", "uint4"])
def test_fit_freezes(name: str, grain: Any) -> None:
    free = Quantizer(name, grain, "max")
    frozen = free.fit(X)
    assert np.array_equal(frozen(X), free(X))
    bigger = X * np.float32(4)
    assert not np.array_equal(frozen(bigger), free(bigger))
    top = max(abs(frozen(bigger).max()), abs(frozen(bigger).min()))
    assert top <= np.abs(X).max() * 1.1  # clipped at the range of the first tensor
    assert free.scales is None
    assert np.array_equal(frozen(bigger), frozen(torch.from_numpy(bigger)).numpy())


@pytest.mark.parametrize("fmt", [fpsim.format("e4m3"), fpsim.format("e3m4", bias=6.37)], ids=["e4m3", "real bias"])
def test_frozen_scales_follow_the_width_of_the_values(fmt: Any) -> None:
    q = Quantizer(fmt, PerChannel(0)).fit(X)
    wide = X.astype(np.float64)
    own = fmt.scale(64)  # the format's own scale is that of float64 too, not the one nearest in float32
    s = q.scales.scale.astype(np.float64)[:, None, None] * own
    for backend in BACKENDS:
        assert same(replace(q, backend=backend)(wide), fpsim.quantize(wide / s, fmt.grid) * s)


def test_block_formats_have_no_scales_to_fix() -> None:
    q = Quantizer("mxfp4")
    assert q.fit(X) is q
    with pytest.raises(FpsimError, match="always dynamic"):
        Quantizer("e4m3", PerBlock(4)).fit(X)
