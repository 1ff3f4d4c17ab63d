"""Sketches apart by the timestep: they merge to what one sketch of the same values would be."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fpsim import FpsimError
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.model.sketches import Taps
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.search.sketch import Sketch


class Net(nn.Module):
    """A model with a timestep."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor, timestep: Any) -> Tensor:
        return self.layer(x)


def sketch(values: list[np.ndarray]) -> Sketch:
    found = Sketch()
    for each in values:
        found.add(each)
    return found


def same(one: Sketch | None, other: Sketch) -> bool:
    assert one is not None
    return all(np.array_equal(one.arrays()[key], array) for key, array in other.arrays().items())


TIMES = st.floats(0, 1000, allow_nan=False, width=32)


@settings(deadline=None, max_examples=40)
@given(st.lists(TIMES, min_size=1, max_size=6), st.sets(TIMES, max_size=4), st.data())
def test_parts_add_up(times: list[float], edges: set[float], data: st.DataObject) -> None:
    bins, net = TimestepBins(tuple(sorted(edges))), Net()
    values = [np.random.default_rng(i).normal(size=(3, 2)).astype(np.float32) for i in range(len(times))]

    def run() -> None:
        for x, t in zip(values, times, strict=True):
            net(torch.from_numpy(x), torch.tensor(t))

    with Taps(net, ["layer"], bins=bins) as taps:
        found = taps.all(run)["layer"]
    assert same(found.whole, sketch(values))
    ends = [-inf, *bins.edges, inf]
    first = data.draw(st.integers(0, len(ends) - 2))
    start, stop = ends[first], ends[data.draw(st.integers(first + 1, len(ends) - 1))]
    inside = [x for x, t in zip(values, times, strict=True) if start <= t < stop]
    if inside:
        assert same(found.within(start, stop), sketch(inside))
    else:
        assert found.within(start, stop) is None


def test_merging_leaves_the_parts_alone() -> None:
    values = [np.full(3, value, np.float32) for value in (1, 2)]
    parts = {number: sketch([each]) for number, each in enumerate(values)}
    found = BinnedSketch(TimestepBins((5.0,)), parts)
    assert found.whole.total == found.whole.total == 6
    assert [part.total for part in parts.values()] == [3, 3]


@pytest.mark.parametrize(
    ("timestep", "words"), [(torch.tensor([1.0, 2.0]), "a call with 2 timesteps"), (None, "a call with no timestep")]
)
def test_a_call_without_one_timestep(timestep: Any, words: str) -> None:
    net = Net()
    with (
        Taps(net, ["layer"], bins=TimestepBins((500.0,))) as taps,
        pytest.raises(FpsimError, match=f"^layer 'layer' has timestep bins, but runs in {words}; [^\n]*$"),
    ):
        taps.all(lambda: net(torch.ones(2, 2), timestep))
    assert "forward" not in vars(net.layer)
    assert not net._forward_pre_hooks


def test_a_model_without_timesteps() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(FpsimError, match="has no argument 'timestep'"):
        Taps(net, ["0"], bins=TimestepBins())
    assert "forward" not in vars(net[0])
