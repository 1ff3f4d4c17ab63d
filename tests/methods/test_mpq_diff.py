"""Allocation of a model's formats: budgets in bytes and bits, policies that run, recorded probes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from allocation_checks import ACTS, BPA, BPW, WEIGHTS, quiet, request

import fpsim
from fpsim.errors import FpsimError
from fpsim.methods.allocation_costs import act_bits, budget, weight_bytes
from fpsim.methods.allocation_data import record_probes
from fpsim.methods.allocation_measure import Measured
from fpsim.methods.allocation_request import Limit
from fpsim.methods.mpq_diff import allocate, measure
from fpsim.model.layer_sizes import LayerSize
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.samples import collect
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import spec
from fpsim.sample.spec import SampleSpec

SIZES = {
    "a": LayerSize(shape=(8, 32), out=0, into=1, inputs=33, macs=1000),
    "b": LayerSize(shape=(4, 8, 3, 3), out=0, into=1, inputs=7, macs=10),
}
ONE = np.ones(1)


@pytest.fixture(scope="module")
def found(model: LoadedModel) -> Measured:
    return measure(request(skip=(), bins=1), model, None, quiet)


def test_a_policy_that_quantizes_the_model(model: LoadedModel, found: Measured) -> None:
    """To the byte: what the policy's weights take in a packed file is what the allocation says."""
    done = allocate(request(skip=(), bins=1, front=3), found, quiet)
    names = [name for name, _ in quantizable(model.denoiser)]
    assert sorted(done.allocation.problem.layers) == sorted(names)
    chosen = done.allocation.weight_formats()
    assert len(set(chosen.values())) > 1
    with fpsim.quantize_(model.denoiser, done.policy) as handle:
        by_name = {layer.name: layer for layer in handle.coverage.quantized}
    bits = sum(
        by_name[name].weight_bits if fmt != "none" else 32 * found.sizes[name].weights for name, fmt in chosen.items()
    )
    use = done.allocation.used["weights"]
    count = sum(size.weights for size in found.sizes.values())
    assert use.used >= bits / 8 > use.used - len(names), "whole bytes a tensor"
    assert use.used <= use.limit == int(5.0 * count / 8)
    acts = done.allocation.act_formats()
    assert all(by_name[name].acts.startswith(ACTS[fmt].format.name) for name, (fmt,) in acts.items())  # type: ignore[union-attr]
    assert [point.harm for point in done.front] == sorted((p.harm for p in done.front), reverse=True)


def both_ends(denoiser: torch.nn.Module) -> None:
    for t in (1.0, 999.0):
        denoiser(torch.randn(1, 3, 16, 16), torch.tensor(t))


def test_timestep_bins_choose_for_themselves(model: LoadedModel) -> None:
    measured = measure(request(), model, None, quiet)
    assert measured.harm.acts is not None
    measured.harm.acts[0] = [[0.0, 9.0], [9.0, 0.0]]
    done = allocate(request(), measured, quiet)
    assert done.allocation.act_formats()["conv_in"] == ("int4", "e4m3")
    spec = done.policy.layer("conv_in").acts
    assert isinstance(spec, BinnedSpec)
    assert spec.specs == (ACTS["int4"], ACTS["e4m3"])
    assert spec.edges == measured.bins
    fpsim.quantize_(model.denoiser, done.policy, collect(model.denoiser, both_ends)).remove()


def test_one_activation_format_is_for_all_layers(model: LoadedModel) -> None:
    asked = request(acts={"e4m3": ACTS["e4m3"]}, limits=(BPW,), bins=1)
    done = allocate(asked, measure(asked, model, None, quiet), quiet)
    assert done.allocation.acts is None
    assert done.policy.layer("conv_in").acts == ACTS["e4m3"]


def test_split_layers_cost_their_second_scales(model: LoadedModel) -> None:
    asked = request(skip=("time_emb*", "conv_*", "*.attentions.*"), acts={}, limits=(BPW,), bins=1, split="shortcut")
    measured = measure(asked, model, None, quiet)
    assert measured.split
    whole, split = (weight_bytes(measured.sizes, [WEIGHTS["int8"]], s) for s in ({}, measured.split))
    extra = {name: int(b - a) for name, a, b in zip(measured.sizes, whole[:, 0], split[:, 0], strict=True)}
    assert {name for name, bytes_ in extra.items() if bytes_} == set(measured.split)
    assert all(extra[name] == 4 * measured.sizes[name].shape[0] for name in measured.split)


def test_budgets_by_hand() -> None:
    weights, acts = (
        [spec("int4", "channel", "max"), None],
        [spec("e2m1", "tensor", "max"), spec("mxfp8", "tensor", "mse")],
    )
    size = budget(Limit(kind="bpw", value=4.5, text=""), SIZES, weights, acts, ONE, {})
    assert size.limit == int(4.5 * (256 + 288) / 8)
    assert size.weights is not None
    assert size.weights.tolist() == [[128 + 32, 1024], [144 + 16, 1152]]
    mega = budget(Limit(kind="bytes", value=1.5e6, text=""), SIZES, weights, (), ONE, {})
    assert (mega.limit, mega.name, mega.unit) == (1_500_000, "weights", "bytes")
    bits = budget(Limit(kind="bpa", value=6, text=""), SIZES, weights, acts, ONE, {})
    assert bits.limit == 6 * 40
    assert bits.acts is not None
    assert bits.acts[..., 0].tolist() == [[132, 33 * 8 + 2 * 8], [28, 56 + 8]]
    work = budget(Limit(kind="bops", value=9, text=""), SIZES, weights, acts, np.array([0.25, 0.75]), {})
    assert work.pairs is not None
    assert work.pairs[0, 0].tolist() == [[0.25 * 16000, 0.75 * 16000], [0.25 * 32000, 0.75 * 32000]]
    one = budget(Limit(kind="bops", value=9, text=""), SIZES, weights, (), ONE, {})
    assert one.weights is not None
    assert one.weights.tolist() == [[128_000, 1_024_000], [1280, 10_240]]
    with pytest.raises(FpsimError, match="limits activations; give several formats"):
        budget(Limit(kind="bpa", value=6, text="6bpa"), SIZES, weights, acts[:1], ONE, {})


def test_bits_of_inputs() -> None:
    size = SIZES["a"]
    found = [act_bits(size, s) for s in (None, spec("int8", "tensor", "mse"), spec("e2m1", "block:16", "max"))]
    assert found == [33 * 32, 33 * 8, 33 * 4 + 3 * 32]


REFUSED = {
    "no format": ({"weights": {}}, "no format to choose from"),
    "no budget": ({"limits": ()}, "there is no budget; give --budget"),
    "twice": ({"limits": (BPW, replace(BPW, text="5.0bpw"))}, "another budget limits the same"),
    "images": ({"images": 0}, "--calibration-images 0"),
    "timesteps": ({"timesteps": 0}, "--timesteps 0"),
    "none over the timestep": ({"acts": {**ACTS, "none": None}}, "'none' cannot be one of several formats"),
    "front": ({"front": 1}, "--front 1: a front has at least 2 points"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(FpsimError, match=re.escape(message)):
        request(**change)


def test_short_budget(found: Measured) -> None:
    asked = request(skip=(), bins=1, limits=(Limit(kind="bpw", value=1.0, text="1bpw"), BPA))
    with pytest.raises(FpsimError, match=r"\(weights\) is [\d,]+ bytes below the cheapest assignment, which takes"):
        allocate(asked, found, quiet)


def test_probes_are_recorded_once(model: LoadedModel, tmp_path: Path) -> None:
    """Evenly spread steps, in batches; a second run reads them."""
    asked = SampleSpec(steps=6, num_images=1, batch_size=2, seed=0)
    told: list[int] = []
    first, again = (
        record_probes(model, asked, 3, 3, tmp_path / "p", lambda done, total: told.append(total)) for _ in range(2)
    )
    assert told == [12] * 12 + [1]
    assert len(first.batches) == 3
    assert [len(call["sample"]) for call in first.calls] == [2, 1] * 3
    assert list(first.timesteps) == sorted(first.timesteps, reverse=True)
    assert first.call_timesteps == tuple(t for t in first.timesteps for _ in range(2))
    assert again.timesteps == first.timesteps
    assert all((a["sample"] == b["sample"]).all() for a, b in zip(first.calls, again.calls, strict=True))
    all_steps = record_probes(model, asked, 1, 99, None, lambda _d, _t: None)
    assert len(all_steps.timesteps) == 6
    assert set(first.timesteps) < set(all_steps.timesteps)
    with pytest.raises(FpsimError, match="0 images at 2 timesteps"):
        record_probes(model, asked, 0, 2, None, lambda _d, _t: None)
