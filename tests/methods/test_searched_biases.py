"""A policy file reproduces a search to the last bit: values of weights and inputs, and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from simulation_checks import SPEC, quiet, request

from fpsim import FpsimError, quantize_
from fpsim.methods.calibration import calibrate
from fpsim.methods.format_search import FormatSearch, search_formats
from fpsim.methods.found_formats import places_of, policy_of, weight_parts
from fpsim.methods.request import Row
from fpsim.methods.simulation import simulate
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.model.split import SplitActivation, find_splits
from fpsim.quant import policy_toml
from fpsim.quant.search.candidates import encodings_of
from fpsim.sample.denoise import sample_batch


def search(model: LoadedModel, *, channels: bool, split: str, bins: int = 1, captured: Any = "full-precision") -> Any:
    return search_formats(
        FormatSearch(
            weights=encodings_of(4), acts=encodings_of(8), channels=channels, captured=captured, spec=SPEC,
            images=2, split=split, timestep_bins=bins,
        ),
        model,
        quiet,
    )  # fmt: skip


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("split", ["none", "all"])
def test_simulate_with_the_policy_is_the_search_bit_for_bit(
    channels: bool, split: str, model: LoadedModel, tmp_path: Path
) -> None:
    found = search(model, channels=channels, split=split)
    text = policy_toml.dumps(policy_of(found, channels=channels))
    policy = policy_toml.loads(text)
    splits = find_splits(model.denoiser, split)
    row = Row(label="searched", policy=policy, weights="", acts="")
    run = simulate(request(row, method_options={"split": split}), model, tmp_path, quiet)
    weights, acts = {layer.name: layer.weights for layer in found}, {layer.name: layer.acts for layer in found}
    samples = calibrate(model, SPEC, 1, tmp_path / "again", lambda *_: None, splits).samples
    with quantize_(model.denoiser, policy, samples, split=splits) as handle:
        for name, operand in handle.weights.items():
            module = model.denoiser.get_submodule(name)
            parts = [weights[place].quantizer()(part) for place, part in weight_parts(name, module, splits)]
            assert torch.equal(operand.rounded, torch.cat(parts, dim=1))
            _searched_only(handle.acts, name, acts, splits)
        images = np.concatenate([sample_batch(model, SPEC, indices) for indices in SPEC.batches()])
    with np.load(tmp_path / run["rows"][0]["images"]) as arrays:
        assert np.array_equal(arrays["arr_0"], images)
    assert run["rows"][0]["policy"] == text


@pytest.mark.parametrize("captured", ["full-precision", "quantized-prefix"])
@pytest.mark.parametrize("split", ["none", "all"])
def test_with_timestep_bins_as_well(captured: str, split: str, model: LoadedModel, tmp_path: Path) -> None:
    """In each call the inputs are rounded by what the search found for the bin of its timestep."""
    found = search(model, channels=False, split=split, bins=2, captured=captured)
    policy = policy_toml.loads(policy_toml.dumps(policy_of(found, channels=False)))
    splits = find_splits(model.denoiser, split)
    row = Row(label="searched", policy=policy, weights="", acts="")
    run = simulate(request(row, method_options={"split": split}), model, tmp_path, quiet)
    ours = {layer.name: layer for layer in found}
    with quantize_(model.denoiser, policy, split=splits) as handle:
        for name, operand in handle.weights.items():
            module = model.denoiser.get_submodule(name)
            parts = [ours[place].weights.quantizer()(part) for place, part in weight_parts(name, module, splits)]
            assert torch.equal(operand.rounded, torch.cat(parts, dim=1))
        clock = next(_binned(operand) for operand in handle.acts.values()).clock
        for name, operand in handle.acts.items():
            operand.__class__, operand.found = _Searched, (clock, [ours[place] for place in places_of(name, splits)])
        images = np.concatenate([sample_batch(model, SPEC, indices) for indices in SPEC.batches()])
        assert _Searched.used == {0.0, 333.0, 666.0}
    with np.load(tmp_path / run["rows"][0]["images"]) as arrays:
        assert np.array_equal(arrays["arr_0"], images)


def _binned(operand: Any) -> Any:
    return operand.first if isinstance(operand, SplitActivation) else operand


class _Searched(ActivationOperand):
    """Rounds by the search's results alone, at the timestep that the model is called with."""

    used: ClassVar[set[float]] = set()
    found: Any

    def _quantized(self, x: torch.Tensor) -> torch.Tensor:
        clock, layers = self.found
        (timestep,) = clock.timesteps
        self.used.add(timestep)
        results = [layer.bins[0 if timestep < 500 else 1].result.quantizer() for layer in layers]
        if len(results) == 1:
            return results[0](x).clone()
        return torch.cat([q(part) for q, part in zip(results, (x[:, : self.at], x[:, self.at :]), strict=True)], dim=1)


def _searched_only(operands: dict[str, Any], name: str, acts: dict[str, Any], splits: dict[str, int]) -> None:
    """Put operands made of the search's results alone in place of the policy's; they must round the same."""
    theirs, x = operands[name], torch.randn(2, 512, 4, 4)
    if name not in splits:
        ours = ActivationOperand(acts[name].quantizer())
        assert torch.equal(ours(x).clone(), theirs(x))
        return
    assert isinstance(theirs, SplitActivation)
    for place, half in ((f"{name}[:{theirs.at}]", theirs.first), (f"{name}[{theirs.at}:]", theirs.second)):
        assert torch.equal(ActivationOperand(acts[place].quantizer())(x).clone(), half(x))


def test_another_weight_keeps_the_biases(model: LoadedModel) -> None:
    """Nothing is fitted: a checkpoint that is loaded later is rounded on the very same grids."""
    found = search(model, channels=True, split="none")
    kept = {key: value.clone() for key, value in model.denoiser.state_dict().items()}
    with quantize_(model.denoiser, policy_of(found, channels=True).skip("time*"), None) as handle:
        before = handle.weights["conv_in"].quantizer.scales
        largest = float(handle.weights["conv_in"].rounded.abs().max())
        try:
            model.denoiser.load_state_dict({key: 3 * value for key, value in kept.items()})
            rounded = handle.weights["conv_in"](model.denoiser.conv_in.weight.detach())
        finally:
            model.denoiser.load_state_dict(kept)
        assert handle.weights["conv_in"].quantizer.scales is before
        assert float(rounded.abs().max()) <= 1.2 * largest < 3 * float(kept["conv_in.weight"].abs().max()) / 1.5


def test_a_policy_for_another_model(model: LoadedModel) -> None:
    found = [layer for layer in search(model, channels=True, split="none") if layer.name == "conv_in"]
    text = policy_toml.dumps(policy_of(found, channels=True)).replace('match = "conv_in"', 'match = "conv_out"')
    with pytest.raises(FpsimError, match=r"conv_out\.weight has 3 output channels, but the policy has 8 b") as caught:
        quantize_(model.denoiser, policy_toml.loads(text))
    assert "\n" not in str(caught.value)
    assert "forward" not in vars(model.denoiser.conv_out)


def test_the_size_counts_a_bias_a_channel(model: LoadedModel) -> None:
    found = search(model, channels=True, split="none")
    with quantize_(model.denoiser, policy_of(found, channels=True), None) as handle:
        (layer,) = (layer for layer in handle.coverage.quantized if layer.name == "conv_in")
        weight = model.denoiser.conv_in.weight
        assert layer.weight_bits == 4 * weight.numel() + 32 * len(weight)
        assert "per channel, biases " in layer.weights
