"""What learned rounding learns from: Gram matrices and blocks' calls, captured from a running model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_pipelines import tiny_unet
from torch import nn

import fpsim
from fpsim import FpsimError, Policy
from fpsim.model.blocks import capture_calls, is_block, units
from fpsim.model.grams import capture_grams, plan_passes
from fpsim.model.layers import quantizable
from fpsim.quant.rounding.blockwise import block_error
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic


def unet() -> Any:
    return tiny_unet(size=16, channels=3)


def calls(model: Any, count: int = 3) -> list[Any]:
    source = torch.Generator().manual_seed(0)
    inputs = [(torch.randn(2, 3, 16, 16, generator=source), 100 * i) for i in range(count)]
    return [lambda pair=pair: model(*pair) for pair in inputs]


def rounded(model: nn.Module) -> fpsim.model.attach.Handle:  # type: ignore[name-defined]
    return fpsim.quantize_(model, Policy.uniform("e2m1"))


def test_grams_are_those_of_the_layers_inputs() -> None:
    model = unet()
    layers = dict(quantizable(model))
    plan = plan_passes(layers)
    assert plan.groups == (tuple(layers),)
    assert plan.left == {}
    found = capture_grams(model, plan.groups[0], calls(model))
    assert list(found) == list(layers)
    # The form of a layer gives the error of its output when its weight alone is rounded.
    name = "mid_block.resnets.0.conv1"
    module: Any = layers[name]
    other = fpsim.Quantizer("e2m1")(module.weight.detach())
    outputs: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _m, args, out: outputs.append(
        (module._conv_forward(args[0], other, module.bias) - out).square().mean()))  # fmt: skip
    with torch.no_grad():
        for call in calls(model):
            call()
    hook.remove()
    expected = float(torch.stack(outputs).mean())
    error = as_matrices((other - module.weight.detach()).double(), 1)
    assert mean_squared_error(quadratic(found[name], module.weight), error) == pytest.approx(expected, rel=1e-4)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_inputs_of_the_quantized_model_beside_those_of_full_precision() -> None:
    model = unet()
    exact = capture_grams(model, ["conv_out"], calls(model))["conv_out"]
    with rounded(model) as handle:
        seen = capture_grams(model, ["conv_out"], calls(model))["conv_out"]
        both = capture_grams(model, ["conv_out"], calls(model), handle)["conv_out"]
    assert both.cross is not None
    assert both.target is not None
    assert torch.equal(both.hessian, seen.hessian)
    assert torch.equal(both.target, exact.hessian)
    assert not torch.equal(seen.hessian, exact.hessian)
    # Cauchy-Schwarz: the cross products are between both.
    assert float(both.cross.diagonal(dim1=1, dim2=2).sum()) ** 2 <= float(
        seen.hessian.diagonal(dim1=1, dim2=2).sum() * exact.hessian.diagonal(dim1=1, dim2=2).sum()
    )


def test_passes_stay_below_the_limit() -> None:
    model = unet()
    layers = dict(quantizable(model))
    whole = capture_grams(model, list(layers), calls(model, 1))
    limit = 2 * max(gram.hessian.nbytes for gram in whole.values())
    plan = plan_passes(layers, limit)
    assert len(plan.groups) > 1
    assert [name for group in plan.groups for name in group] == list(layers)
    assert all(sum(whole[name].hessian.nbytes for name in group) <= limit for group in plan.groups)
    crossed = plan_passes(layers, limit, crossed=True)
    assert any("MiB is beyond the limit of" in reason for reason in crossed.left.values())


def test_layers_that_have_no_learned_rounding_are_left() -> None:
    model = nn.ModuleDict({"up": nn.ConvTranspose2d(2, 2, 3), "ok": nn.Linear(2, 2)})
    plan = plan_passes(dict(quantizable(model)))
    assert plan.groups == (("ok",),)
    assert plan.left == {"up": "a ConvTranspose2d has no learned rounding"}
    with pytest.raises(FpsimError, match="'up' is a ConvTranspose2d, which has no learned rounding"):
        capture_grams(model, ["up"], [])


def test_a_layer_that_does_not_run_is_named() -> None:
    model = nn.ModuleDict({"idle": nn.Linear(2, 2)})
    with pytest.raises(FpsimError, match="never ran layer 'idle'"):
        capture_grams(model, ["idle"], [lambda: None])


def test_units_are_blocks_and_the_layers_between_them() -> None:
    model = unet()
    found = dict(units(model))
    names = [f"{unit}.{part}".strip(".") for unit, parts in found.items() for part in parts]
    assert sorted(names) == sorted(name for name, _ in quantizable(model))
    assert len(names) == len(set(names))
    assert found["conv_in"] == ("",)
    assert {"conv1", "conv2", "time_emb_proj"} <= set(found["mid_block.resnets.0"])
    assert found["mid_block.attentions.0"] == ("to_q", "to_k", "to_v", "to_out.0")
    assert not is_block(model)
    assert units(nn.Linear(2, 2)) == [("", ("",))]


@pytest.mark.parametrize("name", ["mid_block.resnets.0", "mid_block.attentions.0", "conv_in"])
def test_a_blocks_calls_repeat_it(name: str) -> None:
    model = unet()
    found = capture_calls(model, name, calls(model))
    assert len(found) == 6  # three calls of two samples
    assert found[0].output.shape[0] == 1
    block = dict(model.named_modules())[name]
    assert block_error(block, {}, found, 4) < 1e-10
    assert not any(part._forward_hooks for part in model.modules())


def test_blocks_calls_are_limited_in_memory() -> None:
    model = unet()
    all_of_them = capture_calls(model, "conv_in", calls(model, 5))
    each = sum(t.nbytes for t in (all_of_them[0].output, *all_of_them[0].args))
    some = capture_calls(model, "conv_in", calls(model, 5), limit=2 * 2 * each)
    assert len(some) == 4  # the first and the last call of two samples
    assert torch.equal(some[0].output, all_of_them[0].output)
    assert torch.equal(some[-1].output, all_of_them[-1].output)
    with pytest.raises(FpsimError, match="one call of block 'conv_in' takes 0 MiB, more than the limit"):
        capture_calls(model, "conv_in", calls(model), limit=each)
    with pytest.raises(FpsimError, match="never ran block"):
        capture_calls(model, "conv_in", [lambda: None])
