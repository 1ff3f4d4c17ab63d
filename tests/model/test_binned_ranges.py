"""Ranges of activations by the bin of the timestep, and the timesteps of a unit's samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_denoiser import TinyDenoiser, latents

from fpsim import FpsimError
from fpsim.model.ranges import Seen, observe
from fpsim.model.timestep import clock_of
from fpsim.model.unit_data import capture
from fpsim.number.names import format as resolve
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.tensor_spec import TensorSpec

INT8 = TensorSpec(format=resolve("int8"), granularity="tensor", scale="max")
BINS = BinnedSpec.of(TimestepBins((300.0, 700.0)), [INT8] * 3)
LAYERS = ["first", "middle", "last"]


def seen(
    times: list[list[float]], bins: BinnedSpec | None = BINS, mine: int | None = None
) -> dict[str, tuple[Seen, ...]]:
    """What passes in calls with these timesteps, one a sample; with ``mine`` only samples of that bin are run."""
    model = TinyDenoiser()

    def run() -> None:
        for place, each in enumerate(times):
            x, t = latents(place, len(each)), torch.tensor(each)
            keep = torch.tensor([mine is None or BINS.number(v) == mine for v in each])
            if keep.any():
                model(x[keep], t[keep])

    return observe(model, LAYERS, {"middle": 3}, [], run, {} if bins is None else dict.fromkeys(_places(), bins))


def _places() -> list[str]:
    return ["first", "middle[:3]", "middle[3:]", "last"]


def test_samples_of_one_batch_are_seen_in_their_own_bins() -> None:
    """Ranges, averages and values of a bin are those of runs with only its samples."""
    times = [[999.0, 0.0, 400.0, 1.0], [350.0, 800.0], [5.0], [710.0, 720.0]]
    together = seen(times, BINS)
    for number in range(3):
        alone = seen(times, None, number)
        for place in _places():
            (wanted,), found = alone[place], together[place][number]
            assert found.low == pytest.approx(wanted.low, rel=1e-5)
            assert found.high == pytest.approx(wanted.high, rel=1e-5)
            np.testing.assert_allclose(np.sort(found.values), np.sort(wanted.values), rtol=1e-4, atol=1e-4)
    assert together["last"][0].high < together["last"][2].high


def test_a_bin_without_a_sample_is_named() -> None:
    with pytest.raises(FpsimError, match=r"bin 300 to 700 holds none of the timesteps at which calibration ran first"):
        seen([[999.0, 0.0]], BINS)


def test_a_batch_that_is_not_the_calls_is_refused() -> None:
    model = TinyDenoiser()
    with pytest.raises(FpsimError, match="first has 2 samples, but the call has 3 timesteps"):
        observe(model, ["first"], {}, [], lambda: model(latents(1), torch.tensor([1, 500, 999])), {"first": BINS})
    assert not model._forward_pre_hooks
    assert not model._forward_hooks


def test_the_samples_of_a_unit_have_their_timesteps() -> None:
    model = TinyDenoiser()
    calls = [
        {"sample": latents(0, 3), "timestep": torch.tensor(7.5)},
        {"sample": latents(1, 2), "timestep": torch.tensor([900, 10])},
        {"sample": latents(2, 1), "timestep": 450},
    ]
    data = capture(model, "last", calls, clock=clock_of(model))
    assert data.timesteps is not None
    assert data.timesteps.tolist() == [7.5, 7.5, 7.5, 900, 10, 450]
    assert capture(model, "last", calls).timesteps is None
    assert not model._forward_pre_hooks


def test_a_unit_with_other_samples_than_the_call_is_refused() -> None:
    model = TinyDenoiser()
    wrong = [{"sample": latents(0, 1), "timestep": torch.tensor([1, 2, 3])}]
    with pytest.raises(FpsimError, match="'first' has 1 samples, but its call has 3 timesteps"):
        capture(model, "first", wrong, clock=clock_of(model))
