"""Coverage: every module once, what was applied to it, and the bytes of it all."""

from __future__ import annotations

import warnings

import pytest
import torch
from tiny_layers import LowRank, weight_normed
from tiny_pipelines import tiny_unet
from torch import nn

import fpsim
from fpsim import Policy
from fpsim.model.build import describe_acts


def test_coverage_of_a_unet_lists_each_module_once() -> None:
    unet = tiny_unet(channels=3)
    policy = Policy.uniform("int4", "int8").skip("conv_in", "*.to_out.*").rule("conv_out", weights=None, acts=None)
    with fpsim.quantize_(unet, policy) as handle:
        coverage = handle.coverage
    quantized = [layer.name for layer in coverage.quantized]
    left = {item.name: item for item in coverage.left}
    assert len(set(quantized) | set(left)) == len(quantized) + len(left)
    with_parameters = {name for name, module in unet.named_modules() if list(module.parameters(recurse=False))}
    assert with_parameters <= set(quantized) | set(left)
    assert left["conv_in"].reason == "rule 'conv_in'"
    assert left["mid_block.attentions.0.to_out.0"].reason == "rule '*.to_out.*'"
    assert left["conv_norm_out"].reason.startswith("not a convolution or linear layer")
    counted = sum(item.parameters for item in coverage.left) + sum(x.parameters for x in coverage.quantized)
    weights = sum(unet.get_submodule(name).weight.numel() for name in quantized)
    assert counted + weights == sum(p.numel() for p in unet.parameters())
    text = str(coverage)
    assert text.splitlines()[0] == f"{len(quantized)} layers quantized, {len(left)} modules left alone"
    assert "  conv_in  Conv2d  left alone: rule 'conv_in'" in text.splitlines()


def bytes_of(model: nn.Module, policy: Policy) -> float:
    with fpsim.quantize_(model, policy) as handle:
        return handle.coverage.bytes


def test_bytes_of_formats() -> None:
    conv = nn.Conv2d(40, 6, 3)  # 2160 weights, 6 biases; 54 runs of 40 along the input channels
    bias = 4 * 6
    assert bytes_of(conv, Policy.uniform()) == 4 * (2160 + 6)
    assert bytes_of(conv, Policy.uniform(acts="int8")) == 4 * (2160 + 6)
    assert bytes_of(conv, Policy.uniform("int4")) == 2160 / 2 + 6 * 4 + bias
    assert bytes_of(conv, Policy.uniform("int4", weights_granularity="tensor")) == 2160 / 2 + 4 + bias
    assert bytes_of(conv, Policy.uniform("uint4")) == 2160 / 2 + 6 * (4 + 0.5) + bias
    assert bytes_of(conv, Policy.uniform("e2m1", weights_granularity="block:32")) == 2160 / 2 + 54 * 2 * 4 + bias
    as_mx = Policy.uniform("e2m1", weights_granularity="block:32", scale="e8m0-floor")
    assert bytes_of(conv, as_mx) == bytes_of(conv, Policy.uniform("mxfp4")) == 2160 / 2 + 54 * 2 * 1 + bias
    assert bytes_of(conv, Policy.uniform("nvfp4")) == 2160 / 2 + 54 * 3 * 1 + 4 + bias
    assert bytes_of(conv, Policy.uniform("bfloat16", scale="none")) == 2160 * 2 + bias
    assert bytes_of(nn.ConvTranspose2d(40, 6, 3, bias=False), Policy.uniform("int8")) == 2160 + 6 * 4
    linear = nn.Linear(33, 5, bias=False)
    assert bytes_of(linear, Policy.uniform("mxfp4")) == 165 / 2 + 5 * 2


def test_bytes_of_a_model_with_skipped_and_other_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    policy = Policy.uniform("int4").skip("0")
    assert bytes_of(model, policy) == 4 * (108 + 4) + 4 * 8 + (80 / 2 + 5 * 4 + 5 * 4)
    with fpsim.quantize_(model, policy) as handle:
        assert [(x.name, x.kind, x.parameters) for x in handle.coverage.left] == [
            ("0", "Conv2d", 112),
            ("1", "GroupNorm", 8),
            ("2", "ReLU", 0),
            ("3", "Flatten", 0),
        ]


def test_what_is_shared_counts_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Embedding(4, 4))
    model[1].weight = model[2].weight = model[3].weight = model[0].weight
    assert bytes_of(model, Policy.uniform()) == 4 * (16 + 4)
    assert bytes_of(nn.Sequential(*model[:3]), Policy.uniform("int4")) == 8 + 16 + 4 * 4
    # In float32 for the embedding, in int4 for the linear layers.
    assert bytes_of(model, Policy.uniform("int4")) == 8 + 16 + 4 * (4 + 16)
    shared = nn.Linear(4, 4, bias=False)
    assert bytes_of(nn.Sequential(shared, shared), Policy.uniform("int8")) == 16 + 16


@pytest.mark.parametrize("kind", ["new", "old"])
def test_what_makes_a_weight_is_not_stored_beside_it(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(weight_normed(kind), weight_normed(kind))
    each = 108 / 2 + 4 * 4 + 4 * 4
    assert bytes_of(model, Policy.uniform("int4")) == 2 * each
    assert bytes_of(model, Policy.uniform("int4").skip("1")) == each + 4 * (108 + 4 + 4)
    with fpsim.quantize_(model, Policy.uniform("int4")) as handle:
        names = [x.name for x in (*handle.coverage.quantized, *handle.coverage.left)]
        assert len(set(names)) == len(names)
        for name, module in model.named_modules():
            assert name in names or not list(module.parameters(recurse=False))


def test_layers_inside_layers_are_counted_apart() -> None:
    with fpsim.quantize_(LowRank(6, 5, 2), Policy.uniform("int4", "int8")) as handle:
        assert [(x.name, x.parameters) for x in handle.coverage.quantized] == [("", 5), ("down", 0), ("up", 0)]
        assert "  (model)  LowRank  weights: int4" in str(handle.coverage)


def test_coverage_says_how_scales_are_found() -> None:
    layer, x = nn.Linear(4, 3), torch.randn(5, 4)
    with fpsim.quantize_(layer, Policy.uniform("int4", "e4m3")) as handle:
        (covered,) = handle.coverage.quantized
    assert covered.weights == "int4 (-7 to 7), per channel, mse scale"
    assert covered.acts == "e4m3 (bias 7, fn, max 448), per sample, max scale, dynamic"
    with fpsim.quantize_(layer, Policy.uniform(None, "e4m3"), [x]) as handle:
        (covered,) = handle.coverage.quantized
    assert covered.weights is None
    assert covered.acts == "e4m3 (bias 7, fn, max 448), per tensor, mse scale, static"
    blocks = Policy.uniform(acts="mxfp8").layer("").acts
    assert describe_acts(blocks, static=True) == describe_acts(blocks, static=False) == str(blocks)
