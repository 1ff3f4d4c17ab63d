"""Activations quantized by the bin of the timestep's value."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny_denoiser import TIMESTEPS, TinyDenoiser, calls, latents
from torch import nn

import fpsim
from fpsim import Policy, Quantizer
from fpsim.errors import FpsimError
from fpsim.model.binned import BinnedActivation
from fpsim.model.samples import LayerSample, collect
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy_toml import loads
from fpsim.quant.scales import fit

EDGES = (300.0, 700.0)
SAME = loads(f'[[rule]]\nmatch = "*"\nweights = "int8"\nacts = {{ format = "int8", timestep_bins = {list(EDGES)} }}\n')
PLAIN = Policy.uniform("int8", "int8")
SEVERAL = loads(
    '[[rule]]\nmatch = "*"\nacts = { bins = [{ to = 300, format = "e4m3" }, '
    '{ from = 300, to = 700, format = "uint4", scale = "max" }, { from = 700, format = "mxfp8" }] }\n'
)


def acts(text: str) -> Policy:
    return loads(f'[[rule]]\nmatch = "*"\nweights = "int4"\nacts = {text}\n')


def run(policy: Policy, given: Any = None, calibration: Any = None, **options: Any) -> list[torch.Tensor]:
    model = TinyDenoiser()
    with torch.no_grad(), fpsim.quantize_(model, policy, calls() if calibration is None else calibration, **options):
        return [model(x, t) for x, t in given or calls()]


def place(t: float) -> int:
    """The bin of a timestep, counted by hand."""
    return sum(edge <= t for edge in EDGES)


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def inputs(model: nn.Module) -> dict[str, list[torch.Tensor]]:
    """What enters each layer in full precision, call by call."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name, _ in model.named_children()}
    hooks = [
        module.register_forward_pre_hook(lambda _, x, name=name: found[name].append(x[0].clone()))
        for name, module in model.named_children()
    ]
    with torch.no_grad():
        for x, t in calls():
            model(x, t)
    for hook in hooks:
        hook.remove()
    return found


def operand(handle: Any, name: str) -> BinnedActivation:
    found = handle.acts[name]
    assert isinstance(found, BinnedActivation)
    return found


def test_scales_of_each_bin_are_those_of_its_inputs() -> None:
    model = TinyDenoiser()
    seen = inputs(model)
    with fpsim.quantize_(model, SAME, calls()) as handle:
        for name, each in seen.items():
            for number in range(3):
                mine = [x for x, t in zip(each, TIMESTEPS, strict=True) if place(t) == number]
                values = torch.cat([x.reshape(-1) for x in mine])
                extremes = torch.stack([values.min(), values.max()])
                wanted = fit(torch.cat([values, extremes]).numpy().reshape(1, -1), fpsim.format("int8"), "mse")
                found = operand(handle, name).operands[number].quantizer.scales
                assert found is not None
                assert found.scale == wanted.scale
        scales = [float(o.quantizer.scales.scale[0]) for o in operand(handle, "last").operands]  # type: ignore[union-attr]
    assert scales == sorted(scales)
    assert len(set(scales)) == 3


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("policy", [SAME, SEVERAL], ids=["scales", "formats"])
def test_the_value_of_the_timestep_chooses(policy: Policy, backend: str) -> None:
    """The first layer's input is rounded by the quantizer of its bin, whatever was called before."""
    model, rounded = TinyDenoiser(), list[torch.Tensor]()
    with torch.no_grad(), fpsim.quantize_(model, policy, calls(), backend=backend) as handle:
        first = operand(handle, "first")
        first.watch = lambda _, y: rounded.append(y.clone())
        for t in (999, 0, 299.99, 300, 650.0, torch.tensor([700]), torch.tensor([500, 500]), -5, 1000):
            value = float(torch.as_tensor(t).reshape(-1)[0])
            model(latents(1), timestep=t)
            wanted = first.operands[place(value)].quantizer(latents(1))
            assert torch.equal(rounded.pop(), wanted)


@pytest.mark.parametrize(
    ("binned", "plain"),
    [
        ('{ bins = [{ format = "int8" }] }', '"int8"'),
        ('{ format = "int8", timestep_bins = 1 }', '"int8"'),
        ('{ format = "e4m3", scale = "none", timestep_bins = 8 }', '{ format = "e4m3", scale = "none" }'),
        ('{ format = "mxfp8", timestep_bins = 8 }', '"mxfp8"'),
    ],
)
def test_bins_of_equal_content_change_nothing(binned: str, plain: str) -> None:
    assert same(run(acts(binned)), run(acts(plain)))


def test_given_scales_change_nothing_where_they_are_equal() -> None:
    with fpsim.quantize_(TinyDenoiser(), PLAIN.skip("last", "middle"), calls()) as handle:
        scale = handle.acts["first"].quantizer.scales.scale[0]  # type: ignore[union-attr]
    rest = f'format = "int8", value = {float(scale)!r}'
    bins = f"{{ to = 500, {rest} }}, {{ from = 500, {rest} }}"
    rules = f'[[rule]]\nmatch = "first"\nweights = "int8"\nacts = {{ bins = [{bins}] }}\n'
    assert same(run(loads(rules)), run(PLAIN.skip("last", "middle")))


def test_dynamic_scales_in_bins_change_nothing() -> None:
    model = TinyDenoiser()
    with torch.no_grad(), fpsim.quantize_(model, SAME):
        ours = [model(x, t) for x, t in calls()]
    with torch.no_grad(), fpsim.quantize_(model, PLAIN):
        theirs = [model(x, t) for x, t in calls()]
    assert same(ours, theirs)


def test_bins_lower_the_error() -> None:
    with torch.no_grad():
        exact = [TinyDenoiser()(x, t) for x, t in calls()]
    wide, narrow = (
        sum(float((y - z).square().sum()) for y, z in zip(run(policy), exact, strict=True))
        for policy in (Policy.uniform(None, "int4"), Policy.uniform(None, "int4", timestep_bins=4))
    )
    assert narrow < wide


@pytest.mark.parametrize("policy", [SAME, SEVERAL], ids=["scales", "formats"])
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_samples_of_one_batch_in_different_bins(policy: Policy, backend: str) -> None:
    model, rounded = TinyDenoiser(), list[torch.Tensor]()
    x, t = latents(4, 4), torch.tensor([999, 0, 400, 1])
    with torch.no_grad(), fpsim.quantize_(model, policy, calls(), backend=backend) as handle:
        first = operand(handle, "first")
        first.watch = lambda _, y: rounded.append(y.clone())
        model(x, t)
        wanted = [first.operands[k].quantizer(x[i : i + 1]) for i, k in enumerate((2, 0, 1, 0))]
    assert torch.equal(rounded.pop(), torch.cat(wanted))


def test_gradients_go_straight_through_the_bin_of_the_call() -> None:
    x, model = latents(2).requires_grad_(), TinyDenoiser()
    ranges = acts(
        '{ bins = [{ to = 300, format = "int8", value = 0.002 }, { from = 300, format = "int8", value = 1 }] }'
    )
    with fpsim.quantize_(model, ranges.skip("middle", "last")):
        (narrow,) = torch.autograd.grad(model(x, 0).square().sum(), x)
        (wide,) = torch.autograd.grad(model(x, 500).square().sum(), x)
        (mixed,) = torch.autograd.grad(model(x, torch.tensor([0, 500])).square().sum(), x)
    clipped = x.detach().abs() > 127 * 0.002 * (1 + 2**-20)
    assert torch.equal(narrow == 0, clipped)
    assert (wide != 0).all()
    assert torch.equal(mixed[0] == 0, clipped[0])
    assert (mixed[1] != 0).all()


def test_both_halves_of_a_split_layer_have_bins() -> None:
    model = TinyDenoiser()
    with torch.no_grad(), fpsim.quantize_(model, SAME, calls(), split={"middle": 3}) as handle:
        halves: Any = handle.acts["middle"]
        values = [[float(o.quantizer.scales.scale[0]) for o in half.operands] for half in (halves.first, halves.second)]
        whole = model(latents(1), 999)
        halves.first.operands = halves.first.operands[:1] * 3
        assert not torch.equal(model(latents(1), 999), whole)
    assert all(len(set(each)) == 3 for each in values)
    assert values[0] != values[1]


def test_a_copy_has_a_clock_of_its_own() -> None:
    model = TinyDenoiser()
    with torch.no_grad(), fpsim.quantize_(model, SAME, calls()):
        other = copy.deepcopy(model)
        for x, t in calls():
            assert torch.equal(other(x, t), model(x, t))


def test_removal_leaves_nothing() -> None:
    model = TinyDenoiser()
    handle = fpsim.quantize_(model, SAME, calls())
    handle.remove()
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    with torch.no_grad():
        assert torch.equal(model(*calls()[0]), TinyDenoiser()(*calls()[0]))


def test_the_coverage_says_bins() -> None:
    with fpsim.quantize_(TinyDenoiser(), SAME, calls()) as handle:
        said = handle.coverage.quantized[0].acts
    assert said == "int8 (-127 to 127), per tensor, mse scale, static, in 3 timestep bins"
    with fpsim.quantize_(TinyDenoiser(), SEVERAL, calls()) as handle:
        said = handle.coverage.quantized[0].acts
    assert said is not None
    assert "static (below 300); uint4" in said
    assert said.endswith("(700 on)")


def test_refusals() -> None:
    model = TinyDenoiser()
    late = [call for call in calls() if call[1] >= 300]
    with pytest.raises(FpsimError, match=r"timestep bin below 300 holds none of the 5 timesteps of layer 'first'"):
        fpsim.quantize_(model, SAME, late)
    with pytest.raises(FpsimError, match="has calls without one timestep"):
        fpsim.quantize_(model, SAME, [*calls(), (latents(1), torch.tensor([1, 2]))])
    with pytest.raises(FpsimError, match="has calls without one timestep"):
        fpsim.quantize_(model, SAME, {k: LayerSample(v.values, v.calls) for k, v in collect(model, calls()).items()})
    with pytest.raises(FpsimError, match=r"Linear\.forward has no argument 'timestep'"):
        fpsim.quantize_(nn.Linear(3, 3), SAME, [torch.ones(1, 3)])
    closed = acts('{ scale = "none", bins = [{ from = 0, to = 1000, format = "e4m3" }] }')
    with fpsim.quantize_(model, closed), pytest.raises(FpsimError, match="no timestep bin holds timestep 1000"):
        model(latents(1), 1000)
    with fpsim.quantize_(model, SAME, calls()):
        with pytest.raises(FpsimError, match="input of first has timestep bins, but runs outside a call of the model"):
            model.first(latents(1))
        with pytest.raises(FpsimError, match="has 2 samples, but the call has 3 timesteps"):
            model(latents(1), torch.tensor([1, 500, 999]))
    assert not model._forward_pre_hooks


def test_a_call_that_fails_leaves_no_timestep() -> None:
    model = TinyDenoiser()
    with fpsim.quantize_(model, SAME, calls()) as handle:
        with pytest.raises(RuntimeError):
            model(torch.ones(1, 5, 6, 6), 500)
        assert operand(handle, "first").clock.order is None


def test_bins_of_equal_width_follow_the_training() -> None:
    policy = Policy.uniform(None, Quantizer("int8").format, timestep_bins=2)
    with fpsim.quantize_(TinyDenoiser(), policy, calls(), timesteps=800) as handle:
        spec = operand(handle, "first").spec
    assert isinstance(spec, BinnedSpec)
    assert spec.edges.edges == (400.0,)
