"""Calibration: what is drawn from a layer's inputs, and the three ways to give it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_layers import LowRank, Standardized
from torch import Tensor, nn

import fpsim
from fpsim import Policy
from fpsim.errors import FpsimError
from fpsim.model.samples import VALUES_PER_CALL, LayerSample, collect
from fpsim.quant.scales import fit

POLICY = Policy.uniform("int4", "int8", scale="max")


class TwoInputs(nn.Module):
    """A model of two arguments."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor, shift: Tensor, scale: float = 1.0) -> Tensor:
        return self.second(torch.relu(self.first(x + shift)) * scale)


XS = [torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]
SHIFT = torch.tensor([1.0, 0.0, -1.0, 0.5])


def scale_of(handle: Any, name: str) -> float:
    return float(handle.acts[name].quantizer.scales.scale[0])


def run(model: nn.Module) -> None:
    for x in XS:
        model(x, SHIFT)


@pytest.mark.parametrize(
    "calibration",
    [
        run,
        [(x, SHIFT) for x in XS],
        [[x, SHIFT] for x in XS],
        [{"x": x, "shift": SHIFT} for x in XS],
        ((x, SHIFT) for x in XS),
    ],
    ids=["function", "tuples", "lists", "dicts", "generator"],
)
def test_the_ways_to_calibrate_agree(calibration: Any) -> None:
    model = TwoInputs()
    with fpsim.quantize_(model, POLICY, calibration) as handle:
        largest = max(float((x + SHIFT).abs().max()) for x in XS)
        assert scale_of(handle, "first") == np.float32(largest / 127)
        hidden = max(float(torch.relu(model.first(x + SHIFT)).detach().max()) for x in XS)
        # The second layer's sample is that of the full-precision model.
        with handle.bypass():
            hidden = max(float(torch.relu(model.first(x + SHIFT)).detach().max()) for x in XS)
        assert scale_of(handle, "second") == np.float32(hidden / 127)


def test_samples_of_an_earlier_run() -> None:
    model = TwoInputs()
    samples = collect(model, run)
    with fpsim.quantize_(model, POLICY, samples) as handle, fpsim.quantize_(TwoInputs(), POLICY, run) as other:
        assert scale_of(handle, "first") == scale_of(other, "first")
        assert scale_of(handle, "second") == scale_of(other, "second")


@pytest.mark.parametrize("rule", ["max", "mse", "percentile:99"])
def test_static_scales_are_fitted_to_all_values_of_small_inputs(rule: str) -> None:
    layer = nn.Linear(4, 3)
    with fpsim.quantize_(layer, Policy.uniform(acts="int4", scale=rule), XS) as handle:
        values = torch.cat(XS).reshape(-1).numpy()
        wanted = np.concatenate([values, [values.min(), values.max()]]).astype(np.float32)
        assert scale_of(handle, "") == fit(wanted[None], fpsim.format("int4"), rule).scale[0]


def test_a_tensor_is_one_input_each() -> None:
    samples = collect(nn.Linear(4, 3), XS)[""]
    assert samples.calls == 3
    assert len(samples.values) == sum(x.numel() for x in XS) + 2
    assert np.array_equal(samples.values[:20], XS[0].reshape(-1).numpy())


def test_large_inputs_are_drawn_from_evenly_and_keep_their_extremes() -> None:
    torch.manual_seed(1)
    layer, xs = nn.Linear(10, 1), [torch.randn(9000, 10) + i for i in range(3)]
    xs[1][77, 3], xs[2][5, 9] = -99.0, 77.0
    first, again = collect(layer, xs)[""], collect(layer, xs)[""]
    assert len(first.values) == 3 * VALUES_PER_CALL + 2
    assert np.array_equal(first.values, again.values)
    assert first.values[-2:].tolist() == [-99, 77]
    means = first.values[:-2].reshape(3, -1).mean(axis=1)
    assert np.allclose(means, [0, 1, 2], atol=0.1)


def test_every_kind_of_layer_is_sampled_where_its_product_is() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Standardized(3, 4, 3), nn.Flatten(), LowRank(16, 5, 2))
    x = torch.randn(2, 3, 4, 4)
    samples = collect(model, [x])
    assert set(samples) == {"0", "2", "2.down", "2.up"}
    assert np.array_equal(samples["0"].values[:-2], x.reshape(-1).numpy())
    assert np.array_equal(samples["2"].values, samples["2.down"].values)
    assert len(samples["2.up"].values) == 4 + 2


def test_calibration_changes_nothing() -> None:
    model = TwoInputs()
    before = model(XS[0], SHIFT).detach()
    collect(model, run)
    assert torch.equal(model(XS[0], SHIFT).detach(), before)
    assert not any("forward" in vars(part) for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_layer_that_did_not_run_is_an_error() -> None:
    model = TwoInputs()
    model.extra = nn.Linear(2, 2)
    with pytest.raises(FpsimError, match=r"the calibration never ran layer 'extra'.* skip it or run it"):
        fpsim.quantize_(model, POLICY, run)
    with fpsim.quantize_(model, POLICY.skip("extra"), run) as handle:
        assert set(handle.acts) == {"first", "second"}
    with fpsim.quantize_(model, Policy.uniform("int4"), {}) as handle:  # no activations: nothing is needed
        assert not handle.acts


BAD = {
    "a tensor": (XS[0], "the calibration is a Tensor; give a list of inputs"),
    "a dict of inputs": ({"x": XS[0], "shift": SHIFT}, "the calibration is a dict; give a list of inputs"),
    "nothing": ([], "the calibration ran none of the model's layers"),
    "a function that does nothing": (lambda _model: None, "the calibration ran none of the model's layers"),
    "NaN": ([(XS[0] * torch.nan, SHIFT)], "NaN or Inf enters layer 'first' in calibration"),
    "Inf in the middle": ([(XS[0], SHIFT, float("inf"))], "NaN or Inf enters layer 'second' in calibration"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_calibrate(case: str) -> None:
    calibration, wanted = BAD[case]
    model = TwoInputs()
    with pytest.raises(FpsimError, match=wanted):
        fpsim.quantize_(model, POLICY, calibration)
    assert not any("forward" in vars(part) for part in model.modules())


def test_an_empty_input_does_not_count() -> None:
    samples = collect(nn.Linear(4, 3), [torch.empty(0, 4), XS[0]])
    assert samples[""].calls == 1


def test_samples_without_the_layer() -> None:
    samples = {"first": LayerSample(np.ones(3, np.float32), 1)}
    with pytest.raises(FpsimError, match="never ran layer 'second'"):
        fpsim.quantize_(TwoInputs(), POLICY, samples)
