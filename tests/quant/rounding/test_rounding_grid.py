"""The two neighbours of each weight: on the grid bit for bit, next to each other, around the clipped weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import fpsim
from fpsim import PerBlock, PerChannel, Quantizer
from fpsim.quant.rounding.grid import on_grid, rounding_grid
from fpsim.quant.scales import Scales

#: Formats whose scale is 1: the grid is the format itself.
PLAIN = ["e2m1", "e3m0", "e1m2", "e4m3", "e4m3-fnuz", "e5m2", "int4", "int4-full", "nf4"]
EDGES = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, -2.0, 4.0, -4.0, 6.0, -6.0, -7.0, 7.0, 448.0, -448.0, 1e9, -1e9]
QUANTIZERS: dict[str, dict[str, Any]] = {
    "tensor": {"format": "e2m1"},
    "channel": {"format": "e3m2", "granularity": PerChannel(0), "scale": "max"},
    "channel 1": {"format": "e2m1", "granularity": PerChannel(1)},
    "real bias": {"format": fpsim.format("e2m1", bias=2.7), "scale": "none"},
    "integers": {"format": "int4", "granularity": PerChannel(0)},
    "zero points": {"format": "uint4", "granularity": PerChannel(0)},
    "one zero point": {"format": "uint4"},
    "codebook": {"format": "nf4", "granularity": PerChannel(0), "scale": "max"},
    "blocks": {"format": "e2m1", "granularity": PerBlock(4, 1), "scale": "mse"},
    "short last block": {"format": "uint4", "granularity": PerBlock(5, 1), "scale": "max"},
    "mxfp4": {"format": "mxfp4", "granularity": PerBlock(32, 1)},
    "nvfp4": {"format": "nvfp4", "granularity": PerBlock(16, 1)},
    "mx blocks": {"format": "e2m1", "granularity": PerBlock(4, 1), "scale": "e8m0-floor"},
}


def weight(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((6, 8, 3, 3))).to(dtype) * 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("case", QUANTIZERS)
def test_neighbours_of_every_granularity(case: str, dtype: torch.dtype) -> None:
    w, quantizer = weight(dtype), Quantizer(**QUANTIZERS[case])
    grid = rounding_grid(w, quantizer)
    work = w if dtype == torch.float64 else w.float()
    assert (grid.lower < grid.upper).all()
    assert ((grid.nearest == grid.lower) | (grid.nearest == grid.upper)).all()
    assert torch.equal(grid.nearest.to(dtype), quantizer(w))
    assert ((grid.clipped - work.clamp(grid.lower, grid.upper)).abs() <= 1e-5 * grid.step).all()
    assert ((work >= grid.lower) & (work <= grid.upper)).double().mean() > 0.7  # the others are clipped
    for h in (torch.zeros_like(work), torch.ones_like(work), grid.goes_up().to(work.dtype)):
        hard = grid.harden(h)
        assert torch.equal(grid.soft(h), hard)
        assert on_grid(hard.to(dtype), w, quantizer)
    assert torch.equal(grid.harden(grid.goes_up().double()), grid.nearest)
    assert not on_grid((grid.lower + 0.3 * grid.step).to(dtype), w, quantizer)


@pytest.mark.parametrize("case", [case for case in QUANTIZERS if "block" not in case and "fp4" not in case])
def test_hard_values_stay_as_they_are_when_quantized_again(case: str) -> None:
    w = weight()
    quantizer = Quantizer(**QUANTIZERS[case]).fit(w)
    grid = rounding_grid(w, quantizer)
    for hard in (grid.lower, grid.upper):
        assert torch.equal(quantizer(hard).view(torch.int32), hard.view(torch.int32))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(PLAIN),
    values=st.lists(
        st.one_of(
            st.floats(-600, 600, width=32),
            st.sampled_from(EDGES),
            st.floats(-(2.0**-6), 2.0**-6, width=32),
        ),
        min_size=1,
        max_size=8,
    ),
)  # fmt: skip
def test_adjacent_values_of_the_format(name: str, values: list[float]) -> None:
    """Also for negative numbers, at binade edges, beyond the range and at zero: no value lies in between."""
    x = torch.tensor(values)
    fmt = fpsim.format(name)
    grid = rounding_grid(x, Quantizer(fmt, scale="none"))
    for hard in (grid.lower, grid.upper):
        assert torch.equal(fpsim.quantize(hard, fmt), hard)
    assert (grid.lower < grid.upper).all()
    middle = (grid.lower.double() + grid.upper.double()) / 2
    rounded = fpsim.quantize(middle, fmt)
    assert ((rounded == grid.lower) | (rounded == grid.upper)).all()
    top, bottom = fpsim.quantize(torch.tensor([1e30, -1e30]), fmt).tolist()
    clipped = x.clamp(bottom, top)
    assert ((grid.lower <= clipped) & (clipped <= grid.upper)).all()
    assert ((grid.clipped - clipped).abs() <= 1e-6 * grid.step).all()


def test_the_ends_of_the_range_are_treated_alike() -> None:
    grid = rounding_grid(torch.tensor([6.0, 9.0, -6.0, -9.0]), Quantizer("e2m1", scale="none"))
    assert grid.lower.tolist() == [4, 4, -6, -6]
    assert grid.upper.tolist() == [6, 6, -4, -4]
    assert grid.fraction.tolist() == [1, 1, 0, 0]
    assert grid.nearest.tolist() == [6, 6, -6, -6]


def test_a_half_goes_up_and_less_goes_down() -> None:
    grid = rounding_grid(torch.tensor([0.7, 0.7, -2.2, -2.2]), Quantizer("e2m1", scale="none"))
    assert grid.harden(torch.tensor([0.5, 0.4999, 0.5, 0.4999])).tolist() == [1, 0.5, -2, -3]
    assert grid.soft(torch.tensor([0.0, 0.25, 0.5, 1.0])).tolist() == [0.5, 0.625, -2.5, -2]


def test_zero_points_move_the_range() -> None:
    quantizer = Quantizer("uint4", scales=Scales(np.ones(1, np.float32), np.full(1, 3, np.float32)))
    grid = rounding_grid(torch.tensor([-9.0, -2.5, 0.25, 11.5, 40.0]), quantizer)
    assert grid.lower.tolist() == [-3, -3, 0, 11, 11]
    assert grid.upper.tolist() == [-2, -2, 1, 12, 12]


def test_a_weight_of_zeros_has_a_grid() -> None:
    grid = rounding_grid(torch.zeros(2, 3), Quantizer("e2m1"))
    assert (grid.nearest == 0).all()
    assert (grid.lower < grid.upper).all()


def test_the_quantizers_own_scales_are_kept() -> None:
    w = weight()
    fixed = Quantizer("e2m1").fit(w * 3)
    assert torch.equal(rounding_grid(w, fixed).nearest, fixed(w))
    assert not on_grid(rounding_grid(w, Quantizer("e2m1").fit(w)).lower, w, fixed)
