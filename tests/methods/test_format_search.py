"""The search over a model: order, what is captured, and a policy that computes as it promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fpsim import FpsimError, Policy, quantize_, search_format
from fpsim.methods.format_search import FormatSearch, search_formats
from fpsim.methods.found_formats import LayerFormats, policy_of
from fpsim.methods.recorded_calls import Recorder, run_calibration
from fpsim.model.load import LoadedModel
from fpsim.model.sketches import Taps
from fpsim.quant import policy_toml
from fpsim.quant.search.candidates import encodings_of
from fpsim.sample.spec import SampleSpec

SPEC = SampleSpec(steps=2, num_images=1, batch_size=2, seed=0)


def request(**changes: Any) -> FormatSearch:
    usual: dict[str, Any] = {
        "weights": encodings_of(8),
        "acts": encodings_of(8),
        "channels": False,
        "captured": "full-precision",
        "spec": SPEC,
        "images": 3,
    }
    return FormatSearch(**(usual | changes))


def quiet(*_: Any) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def found(model: LoadedModel) -> list[LayerFormats]:
    return search_formats(request(), model, quiet)


def inputs_of(model: LoadedModel, name: str) -> np.ndarray:
    """All values that enter a layer in the calibration run."""
    kept: list[np.ndarray] = []
    module = dict(model.denoiser.named_modules())[name]
    hook = module.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach().numpy().ravel().copy()))
    run_calibration(model, SPEC, 3, quiet)
    hook.remove()
    return np.concatenate(kept)


def test_every_layer_in_the_order_in_which_it_runs(model: LoadedModel, found: list[LayerFormats]) -> None:
    names = [layer.name for layer in found]
    assert names[:3] == ["time_embedding.linear_1", "time_embedding.linear_2", "conv_in"]
    assert names[-1] == "conv_out"
    assert len(names) == len(set(names))
    assert all(layer.weights is not None and layer.acts is not None for layer in found)
    assert "forward" not in vars(model.denoiser.conv_in)


def test_weights_and_inputs_are_those_of_the_layer(model: LoadedModel, found: list[LayerFormats]) -> None:
    by_name = {layer.name: layer for layer in found}
    for name in ("conv_in", "mid_block.resnets.0.conv1", "conv_out"):
        layer, module = by_name[name], dict(model.denoiser.named_modules())[name]
        alone = search_format(module.weight)
        assert (layer.weights.format, layer.weights.mse) == (alone.format, alone.mse)
        exact = search_format(inputs_of(model, name))
        assert layer.acts.sqnr_db == pytest.approx(exact.sqnr_db, abs=0.05)
        assert exact.mse <= layer.acts.mse * (1 + 1e-9) <= exact.mse * (1 + layer.excess + 1e-3)
        assert layer.acts.magnitudes[2] == inputs_of(model, name).size


@pytest.mark.parametrize("captured", ["full-precision", "quantized-prefix"])
def test_the_policy_computes_with_the_error_that_was_promised(model: LoadedModel, captured: Any) -> None:
    result = search_formats(request(captured=captured, weights=encodings_of(4)), model, quiet)
    policy = policy_toml.loads(policy_toml.dumps(policy_of(result, channels=False)))
    with quantize_(model.denoiser, policy) as handle:
        for layer in result:
            operand = handle.weights[layer.name]
            error = float((operand.source.double() - operand.rounded.double()).square().mean())
            assert error == pytest.approx(layer.weights.mse, rel=1e-4)
            assert handle.acts[layer.name].quantizer.format == layer.acts.format
        run_calibration(model, SPEC, 1, quiet)


def test_a_quantized_prefix_changes_what_later_layers_see(model: LoadedModel, found: list[LayerFormats]) -> None:
    """At a model's first layer both are the same; further on the inputs are those behind quantized layers."""
    coarse = request(captured="quantized-prefix", weights=encodings_of(4), acts=encodings_of(4))
    prefix = search_formats(coarse, model, quiet)
    plain = search_formats(request(weights=encodings_of(4), acts=encodings_of(4)), model, quiet)
    assert [layer.name for layer in prefix] == [layer.name for layer in plain]
    assert np.array_equal(prefix[0].acts.errors, plain[0].acts.errors)
    last = prefix[-1]
    assert not np.array_equal(last.acts.errors, plain[-1].acts.errors)
    policy = policy_of(prefix[:-1], channels=False)
    with Recorder(model.denoiser) as recorder:
        run_calibration(model, SPEC, 3, quiet)
    with quantize_(model.denoiser, policy), Taps(model.denoiser, [last.name]) as taps, torch.no_grad():
        expected = taps.one(last.name, recorder.replays(), once=True)[last.name].whole
    assert expected.total == last.acts.magnitudes[2]
    assert float(expected.magnitudes().energy[0]) == pytest.approx(float(last.acts.magnitudes[0][0]), rel=1e-6)


def test_channels_have_the_biases_that_were_found(model: LoadedModel) -> None:
    result = search_formats(request(channels=True, acts=()), model, quiet)
    policy = policy_of(result, channels=True)
    with quantize_(model.denoiser, policy) as handle:
        for layer in result:
            operand = handle.weights[layer.name]
            assert layer.acts is None
            assert policy.layer(layer.name).weights.biases == tuple(layer.weights.bias)
            error = float((operand.source.double() - operand.rounded.double()).square().mean())
            assert error == pytest.approx(layer.weights.mse, rel=1e-4)


def test_skipped_layers_have_no_rule(model: LoadedModel) -> None:
    result = search_formats(request(acts=(), skip=("conv_in", "*.attentions.*")), model, quiet)
    names = [layer.name for layer in result]
    assert "conv_in" not in names
    assert not any("attentions" in name for name in names)
    policy = policy_of(result, channels=False)
    assert policy.layer("conv_in").weights is None
    assert policy.layer("conv_out").weights is not None


def test_names_are_no_globs() -> None:
    weights = search_format(np.ones(3))
    policy = policy_of([LayerFormats(name="a[0].b*", weights=weights, acts=None)], channels=False)
    assert policy.layer("a[0].b*").weights is not None
    assert policy.layer("a0.bc").weights is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip": ("conv_inn",)}, "rule 'conv_inn' matches no layer"),
        ({"skip": ("*",)}, "no layer is left to search"),
        ({"images": 0}, "--init-samples 0: at least 1 sample"),
        ({"weights": (), "acts": ()}, "there is nothing to search"),
    ],
)
def test_refused(model: LoadedModel, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match="^[^\n]*" + message.replace("*", "[*]")):
        search_formats(request(**changes), model, quiet)


def test_a_damaged_model_is_named(model: LoadedModel) -> None:
    bias = model.denoiser.conv_in.bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias[0] = torch.nan
    try:
        with pytest.raises(FpsimError, match=r"the input of '.*' holds NaN"):
            search_formats(request(weights=()), model, quiet)
        assert "forward" not in vars(model.denoiser.conv_in)
    finally:
        with torch.no_grad():
            bias.copy_(kept)


def test_replays_repeat_the_calls(model: LoadedModel) -> None:
    outputs: list[Any] = []
    hook = model.denoiser.register_forward_hook(lambda _m, _i, o: outputs.append(o.sample.clone()))
    with Recorder(model.denoiser) as recorder:
        run_calibration(model, SPEC, 3, quiet)
    first = list(outputs)
    outputs.clear()
    with torch.no_grad():
        for replay in recorder.replays():
            replay()
    hook.remove()
    assert len(first) == 4  # two batches, two steps
    assert all(torch.equal(a, b) for a, b in zip(first, outputs, strict=True))


def test_a_policy_of_the_search_is_an_ordinary_one(found: list[LayerFormats]) -> None:
    policy = policy_of(found, channels=False)
    assert isinstance(policy, Policy)
    assert policy_toml.loads(policy_toml.dumps(policy)) == policy
