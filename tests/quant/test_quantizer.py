"""Quantizers: which values share a scale, what comes out of which array, fixed scales, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim import PerBlock, PerChannel, PerTensor, Quantizer
from fpsim.errors import FpsimError
from fpsim.quant import granularity
from fpsim.quant.scales import Scales

BACKENDS = ("numpy", "numba", "torch")
X = np.random.default_rng(0).standard_t(4, (4, 6, 5)).astype(np.float32) * np.float32([[[1]], [[3]], [[9]], [[27]]])


def same(ours: Any, theirs: Any) -> bool:
    """Equal bit for bit, signs of zeros included."""
    return ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


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


GRANULARITIES = (PerTensor(), PerChannel(0), PerChannel(1), PerChannel(-1), PerBlock(4, 1), PerBlock(3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["e4m3", "uint4", "nf4", "e3m0", "mxfp4"])
def test_libraries_and_backends_agree(name: str, dtype: Any, plain_backend: str) -> None:
    x = X.astype(dtype)
    for grain in GRANULARITIES if name != "mxfp4" else (PerTensor(), PerBlock(32, 1)):
        wanted = Quantizer(name, grain, "max", backend="numpy")(x)
        assert wanted.dtype == dtype
        for backend in (None, *BACKENDS, plain_backend):
            q = Quantizer(name, grain, "max", backend=backend)
            assert same(q(x), wanted), (grain, backend)
            assert same(q(torch.from_numpy(x)).numpy(), wanted), (grain, backend)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("grain", GRANULARITIES, ids=str)
def test_type_shape_and_layout_stay(grain: Any, dtype: torch.dtype) -> None:
    base = torch.from_numpy(np.tile(X[..., None], (1, 1, 1, 3))).to(dtype)
    q = Quantizer("int4", grain, "max")
    wanted = q(base)
    layouts = [
        base.to(memory_format=torch.channels_last),
        base.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
        torch.cat([base, base], dim=-1)[..., :3],
        torch.cat([base, base], dim=0)[::1][:4],
    ]
    for x in layouts:
        y = q(x)
        assert (y.dtype, y.shape) == (dtype, x.shape)
        assert torch.equal(y, wanted)
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) or x.stride(0) == 1
        if dense:
            assert y.stride() == x.stride()


def test_narrow_types_are_rounded_from_their_own_values() -> None:
    x = torch.from_numpy(X).to(torch.bfloat16)
    wide = Quantizer("int4", scale="max")(x.float())
    assert torch.equal(Quantizer("int4", scale="max")(x), wide.to(torch.bfloat16))


def test_out_is_written_and_checked() -> None:
    q = Quantizer("e4m3", PerChannel(0))
    wanted = q(X)
    for out in (np.empty_like(X), np.empty(X.shape, np.float64), np.empty((6, 4, 5), np.float32).transpose(1, 0, 2)):
        assert q(X, out=out) is out
        assert np.array_equal(out, wanted)
    mine = X.copy()
    assert q(mine, out=mine) is mine
    assert np.array_equal(mine, wanted)
    tensor = torch.from_numpy(X.copy())
    for grain in GRANULARITIES:
        q = Quantizer("int4", grain, "max")
        out = torch.empty_like(tensor)
        assert q(tensor, out=out) is out
        assert torch.equal(out, q(tensor))
    for bad in (np.empty((4, 6, 6), np.float32), np.empty(X.shape, np.int32), torch.empty(X.shape)):
        with pytest.raises(FpsimError, match="out"):
            q(X, out=bad)


def test_the_input_is_left_alone() -> None:
    x = torch.from_numpy(X.copy()).requires_grad_()
    y = Quantizer("e2m1")(x)
    assert not y.requires_grad
    assert torch.equal(x.detach(), torch.from_numpy(X))


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


def test_frozen_scales_follow_the_width_of_the_values() -> None:
    q = Quantizer("e4m3", PerChannel(0)).fit(X)
    wide = X.astype(np.float64)
    by_hand = replace(q, scales=Scales(q.scales.scale.astype(np.float64)))(wide)
    for backend in BACKENDS:
        assert same(replace(q, backend=backend)(wide), by_hand)


def test_block_formats_have_no_scales_to_fix() -> None:
    q = Quantizer("mxfp4")
    assert q.fit(X) is q
    with pytest.raises(FpsimError, match="always dynamic"):
        Quantizer("e4m3", PerBlock(4)).fit(X)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["e4m3", "int8", "nf4", "uint8"])
def test_a_scale_that_overflows_is_refused_not_infinite(name: str, backend: str) -> None:
    fmt = fpsim.format(name)
    limit = float(np.finfo(np.float32).max) / float(fmt.grid.max)
    huge = np.array([-3e38, 3e38], np.float32)
    fits = Scales(np.array([limit * 0.99], np.float32))
    assert np.isfinite(Quantizer(fmt, scales=fits, backend=backend)(huge)).all()
    if name != "nf4":
        beyond = Quantizer(fmt, scales=Scales(np.array([limit * 1.01], np.float32)), backend=backend, name="w")
        with pytest.raises(FpsimError, match=r"^w: scale .* overflows float32"):
            beyond(huge)


@pytest.mark.parametrize("rule", ["max", "mse", "percentile"])
@pytest.mark.parametrize("name", ["e4m3", "int8", "uint8", "e2m1"])
def test_the_largest_numbers_never_become_infinite(name: str, rule: str) -> None:
    largest = np.finfo(np.float32).max
    for x in ([largest, 1.0], [-largest / 2, largest / 3], [-largest, 0.0], [largest, largest]):
        try:
            y = Quantizer(name, scale=rule)(np.array(x, np.float32))
        except FpsimError:  # the scale's rounding may have put the format's largest value beyond float32
            continue
        assert np.isfinite(y).all()
        assert np.abs(y).max() > largest / 4


def test_the_formats_own_scale_must_stay_normal() -> None:
    tiny = Scales(np.array([np.finfo(np.float32).tiny], np.float32))
    with pytest.raises(FpsimError, match="no positive normal float32"):
        Quantizer(fpsim.format("e3m4", bias=6.5), scales=tiny)(X)


@pytest.mark.parametrize("grain", GRANULARITIES, ids=str)
def test_empty_tensors_pass(grain: Any) -> None:
    for shape in ((0, 3, 2), (3, 0, 2), (3, 2, 0)):
        for name in ("int4", "uint4"):
            empty = np.empty(shape, np.float32)
            assert Quantizer(name, grain)(empty).shape == shape
            assert Quantizer(name, grain)(torch.from_numpy(empty)).shape == shape


REFUSED = {
    "unknown format": (lambda: Quantizer("e4mm3"), "unknown format"),
    "unknown rule": (lambda: Quantizer("e4m3", scale="best"), "'best' is not one of max"),
    "unknown rule of a block format": (lambda: Quantizer("mxfp4", scale="best"), "'best' is not one of max"),
    "rule of blocks": (lambda: Quantizer("e2m1", PerTensor(), "e8m0-floor"), "is for blocks, not per tensor"),
    "scales without exponent": (lambda: Quantizer("e2m1", PerBlock(4), "int8-max"), "int8 is no floating-point format"),
    "unknown scale format": (lambda: Quantizer("e2m1", PerBlock(4), "e8mm0-floor"), "unknown format 'e8mm0'"),
    "rule of another scale": (lambda: Quantizer("e2m1", PerBlock(4), "e8m0-max"), "does not fit scale format"),
    "block of one": (lambda: PerBlock(1), "at least 2 values"),
    "another block": (lambda: Quantizer("mxfp4", PerBlock(16)), "blocks of 32, not of 16"),
    "fixed blocks": (
        lambda: Quantizer("mxfp4", scales=Scales(np.ones(1))),
        "drop the fixed scales",
    ),
    "no such axis": (lambda: Quantizer("e4m3", PerChannel(3))(X), "axis 3 does not exist"),
    "no such axis of blocks": (lambda: Quantizer("mxfp4", PerBlock(32, -4))(X), "axis -4 does not exist"),
    "integers": (lambda: Quantizer("e4m3")(np.arange(3)), "int64 cannot be rounded"),
    "no array": (lambda: Quantizer("e4m3")([1.0]), "an array or a tensor is needed"),
    "unknown backend": (lambda: Quantizer("e4m3", backend="abacus")(X), "no backend 'abacus'"),
    "scales of another tensor": (
        lambda: Quantizer("e4m3", PerChannel(0), name="w").fit(X)(X[:2]),
        "^w: 4 fixed scales for 2 groups",
    ),
    "nan": (lambda: Quantizer("e4m3", name="w")(np.array([np.nan], np.float32)), "^w holds NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    act, wanted = REFUSED[case]
    with pytest.raises(FpsimError, match=wanted) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_granularities_by_name() -> None:
    assert granularity.parse("tensor") == PerTensor()
    assert granularity.parse("channel") == PerChannel(0)
    assert granularity.parse("block:64") == PerBlock(64)
    for text in ("", "block", "block:", "block:x", "block:-2", "tensor:3", "channels", "block:1"):
        with pytest.raises(FpsimError):
            granularity.parse(text)
    for text in ("tensor", "channel", "block:7"):
        assert str(granularity.parse(text)) == text
