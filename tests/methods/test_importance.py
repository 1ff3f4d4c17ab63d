"""Importance measures against direct computation, and what they have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from allocation_checks import ACTS, BPW, WEIGHTS, quiet, request

import fpsim
from fpsim.measure import orthogonality as om
from fpsim.methods.allocation_data import runs
from fpsim.methods.allocation_measure import Measured, measure
from fpsim.methods.importance import registry
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.quant.policy import Policy, Rule

SETTINGS = {"sensitivity": {"sensitivity_images": 1}}


@pytest.fixture(scope="module")
def found(model: LoadedModel) -> dict[str, Measured]:
    """Each measure of the two layers conv_in and conv_out."""
    return {
        name: measure(request(measure=name, settings=SETTINGS.get(name, {})), model, None, quiet)
        for name in registry.MEASURES
    }


@pytest.mark.parametrize("name", registry.MEASURES)
def test_one_shape(name: str, found: dict[str, Measured], model: LoadedModel) -> None:
    harm = found[name].harm
    assert list(found[name].sizes) == ["conv_in", "conv_out"]
    assert harm.weights.shape == (2, len(WEIGHTS))
    assert harm.acts is not None
    assert harm.acts.shape == (2, len(ACTS), 2)
    assert np.isfinite(harm.weights).all()
    assert np.isfinite(harm.acts).all()
    assert (harm.weights[:, 2] < harm.weights[:, 0]).all(), "int8 harms less than int2"
    assert (harm.weights[:, 3] <= harm.weights[:, 2]).all(), "full precision harms least"
    assert harm.unit
    assert all("forward" not in vars(module) for _, module in quantizable(model.denoiser))


def test_mse_is_the_relative_error_of_the_tensor(found: dict[str, Measured], model: LoadedModel) -> None:
    weight = model.denoiser.conv_in.weight.detach()
    rounded = fpsim.Quantizer("e2m1", fpsim.PerChannel(0), "max")(weight)
    expected = float((weight - rounded).double().square().sum() / weight.double().square().sum())
    assert found["mse"].harm.weights[0, 1] == pytest.approx(expected, rel=1e-6)


def test_output_mse_and_sqnr_are_one_measurement(found: dict[str, Measured], model: LoadedModel) -> None:
    """Of one layer, by hand: quantize it, call the denoiser as recorded, compare."""
    from fpsim.methods.allocation_data import record_probes

    asked = request()
    probes = record_probes(model, asked.spec, asked.images, asked.timesteps, None, lambda _d, _t: None)
    calls = runs(model, probes.calls)
    with torch.no_grad():
        exact = torch.stack([call() for call in calls]).double()
        with fpsim.quantize_(model.denoiser, Policy((Rule(match="conv_out", weights=WEIGHTS["int2"], acts=None),))):
            ours = torch.stack([call() for call in calls]).double()
    ratio = float((ours - exact).square().sum() / exact.square().sum())
    assert found["output-mse"].harm.weights[1, 0] == pytest.approx(ratio, rel=1e-9)
    assert found["sqnr"].harm.weights[1, 0] == pytest.approx(10 * np.log10(ratio), rel=1e-9)
    assert found["sqnr"].harm.weights[1, 3] == -200
    acts = found["output-mse"].harm.acts
    assert acts is not None
    assert (acts > 0).all()


def test_fisher_predicts_the_measured_error(found: dict[str, Measured]) -> None:
    """For the last layer, whose error passes nothing else: to the few samples of its random labels."""
    predicted, measured = (found[name].harm.weights[1, :3] for name in ("fisher", "output-mse"))
    assert (predicted / measured).tolist() == pytest.approx([1, 1, 1], rel=0.8)


def test_orm_counts_bits(found: dict[str, Measured]) -> None:
    harm = found["orm"].harm
    assert harm.importance is not None
    np.testing.assert_allclose(harm.weights, -np.outer(harm.importance, [2, 4, 8, 32]))
    assert harm.ties is not None
    np.testing.assert_allclose(harm.ties, found["mse"].harm.weights)
    assert harm.notes[0].startswith("beta ")


def test_orm_variants_by_hand(model: LoadedModel) -> None:
    """From the recorded γ: every aggregation, both weightings, and a β."""
    from fpsim.methods.allocation_data import record_probes
    from fpsim.model.layer_outputs import capture_outputs

    asked = request(skip=(), measure="orm", acts={}, bins=1, limits=(BPW,))
    probes = record_probes(model, asked.spec, asked.images, asked.timesteps, None, lambda _d, _t: None)
    names = list(measure(asked, model, None, quiet).sizes)
    grams = [capture_outputs(model.denoiser, names, runs(model, batch)) for batch in probes.batches]
    gammas = np.array([om.redundancy(om.orthogonality(g.grams, g.energies)) for g in grams])
    for aggregate in ("mean-of-exp", "exp-of-mean"):
        for weighting in ("own", "later-mean"):
            settings = {"beta": "0.25", "orm_aggregate": aggregate, "orm_weighting": weighting}
            harm = measure(request(**{**vars_of(asked), "settings": settings}), model, None, quiet).harm
            theta = om.importance(gammas, 0.25, aggregate)
            expected = om.later_mean(theta) if weighting == "later-mean" else theta
            assert harm.importance == pytest.approx(expected, rel=1e-9)
    assert "give the same for every image (such as time_embedding.linear_1)" in " ".join(harm.notes)


def vars_of(asked: object) -> dict[str, object]:
    return {key: getattr(asked, key) for key in ("skip", "measure", "acts", "bins", "limits")}


def test_several_batches_are_projected(model: LoadedModel) -> None:
    whole = measure(request(measure="orm-error"), model, None, quiet).harm
    spec = request().spec
    parts = measure(
        request(measure="orm-error", spec=type(spec)(steps=4, num_images=1, batch_size=2, seed=0)), model, None, quiet
    ).harm
    assert whole.importance is not None
    assert parts.importance == pytest.approx(whole.importance, abs=0.2)


def test_random_depends_on_its_seed_alone(model: LoadedModel) -> None:
    one, same, other = (
        measure(request(measure="random", settings={"measure_seed": seed}), model, None, quiet).harm.weights
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()
