# ruff: noqa: F811 - a fixture that another module defines
"""Whole models: coverage and its bytes, backends, types, and errors that name the tensor."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_layers import STOCK, LowRank, Standardized, weight_normed
from tiny_pipelines import tiny_unet
from torch import Tensor, nn

import fpsim
from fpsim import Policy, Quantizer
from fpsim.errors import FpsimError
from fpsim.model.build import describe_acts

sys.path.insert(0, str(Path(__file__).parents[1]))

from backends import plain_backend  # noqa: F401 - a fixture

PAIRS = [("e4m3", "e4m3"), ("e2m1", "uint8"), ("nf4", "int8"), ("mxfp4", "nvfp4"), ("chen-e3m0", "e5m2")]


@pytest.fixture(scope="module")
def unet() -> Any:
    return tiny_unet(channels=3)


def images(layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    return x.contiguous(memory_format=layout)


@torch.no_grad()
def output(unet: Any, policy: Policy, x: Tensor, *, static: bool = True, backend: str | None = None) -> Tensor:
    calibration = [(x, t) for t in (10, 500)] if static else None
    with fpsim.quantize_(unet, policy, calibration, backend=backend):
        return unet(x, 100).sample


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_backends_agree_in_a_whole_unet(
    unet: Any,
    pair: tuple[str, str],
    static: bool,
    layout: Any,
    plain_backend: str,
) -> None:
    policy, x = Policy.uniform(*pair, scale="max"), images(layout)
    wanted = output(unet, policy, x, static=static, backend="numpy")
    assert wanted.isfinite().all()
    assert not torch.equal(wanted, unet(x, 100).sample)
    for backend in (None, "numba", "torch", plain_backend):
        assert torch.equal(output(unet, policy, x, static=static, backend=backend), wanted), backend


def test_a_third_partys_backend_does_the_rounding(
    unet: Any,
    plain_backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fpsim_plain_backend

    rounded = []
    original = fpsim_plain_backend.PlainBackend.quantize

    def counting(self: Any, x: Any, *rest: Any) -> None:
        rounded.append(x.size)
        original(self, x, *rest)

    monkeypatch.setattr(fpsim_plain_backend.PlainBackend, "quantize", counting)
    output(unet, Policy.uniform("e4m3", "e4m3"), images(), backend=plain_backend)
    weights = sum(p.numel() for name, p in unet.named_parameters() if p.ndim > 1)
    assert sum(rounded) > weights + 2 * 3 * 8 * 8


def test_an_unknown_backend(unet: Any) -> None:
    with pytest.raises(FpsimError, match="no backend 'abacus'; there are numba, numpy, torch"):
        output(unet, Policy.uniform("int4"), images(), backend="abacus")


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_a_bfloat16_model(static: bool) -> None:
    unet = tiny_unet(channels=3).bfloat16()
    x = images().bfloat16()
    y = output(unet, Policy.uniform("e4m3", "int8"), x, static=static)
    with torch.no_grad():
        plain = unet(x, 100).sample
    assert y.dtype == torch.bfloat16
    assert not torch.equal(y, plain)
    assert (y - plain).float().square().mean() < 0.05 * plain.float().square().mean()
    for backend in ("numpy", "torch"):
        assert torch.equal(output(unet, Policy.uniform("e4m3", "int8"), x, static=static, backend=backend), y)


def test_a_float64_model() -> None:
    unet = tiny_unet(channels=3).double()
    x = images().double()
    y = output(unet, Policy.uniform("e4m3", "int8"), x)
    assert y.dtype == torch.float64
    assert torch.equal(output(unet, Policy.uniform("e4m3", "int8"), x, backend="torch"), y)
    assert torch.equal(output(unet, Policy.uniform("e4m3", "int8"), x, backend="numpy"), y)


def test_no_policy_is_full_precision(unet: Any) -> None:
    x = images()
    with torch.no_grad():
        plain = unet(x, 100).sample
    assert torch.equal(output(unet, Policy.uniform(), x), plain)
    assert torch.equal(output(unet, Policy.uniform("int4", "int4").skip("*"), x, static=False), plain)


def test_a_rows_result_does_not_depend_on_the_other_rows() -> None:
    build, x = STOCK["conv2d"]
    x = x * torch.tensor([1.0, 50.0, 0.02]).reshape(3, 1, 1, 1)
    layer = build()
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int4", "int4")):
        alone = torch.cat([layer(x[i : i + 1]) for i in range(3)])
        assert torch.allclose(layer(x), alone, rtol=1e-5, atol=1e-6)


# --- coverage ---


def test_coverage_of_a_unet_lists_each_module_once(unet: Any) -> None:
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


# --- errors ---


def damaged(value: float) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Standardized(4, 4, 3)))
    with torch.no_grad():
        model[1][0].weight[1, 2, 0, 0] = value
    return model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_in_a_weight_names_the_tensor(value: float) -> None:
    model = damaged(value)
    with pytest.raises(FpsimError, match=r"^1\.0\.weight holds NaN or Inf; .*skip the layer"):
        fpsim.quantize_(model, Policy.uniform("int4"))
    assert not any("forward" in vars(part) for part in model.modules())
    with fpsim.quantize_(model, Policy.uniform("int4").skip("1.*")) as handle:
        assert list(handle.weights) == ["0"]
    with pytest.raises(FpsimError, match=r"^weight holds NaN"):
        fpsim.quantize_(model[1][0], Policy.uniform("int4"))


def test_a_weight_without_a_scale_names_the_tensor() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.fill_(1e-40)
    with pytest.raises(FpsimError, match=r"^0\.weight: its scale would be .* no positive normal float32"):
        fpsim.quantize_(model, Policy.uniform("int4"))


def test_nan_in_an_activation_names_the_layer() -> None:
    model, x = nn.Sequential(nn.Linear(3, 2)), torch.tensor([[1.0, float("nan"), 0.0]])
    with fpsim.quantize_(model, Policy.uniform(acts="int4")), pytest.raises(FpsimError, match=r"^the input of 0 holds"):
        model(x)


def test_a_model_without_layers_is_an_error() -> None:
    with pytest.raises(FpsimError, match="the model has no quantizable layer"):
        fpsim.quantize_(nn.Sequential(nn.ReLU()), Policy.uniform("int4"))


def test_weights_are_rounded_before_the_first_forward() -> None:
    layer = nn.Linear(4, 3)
    with fpsim.quantize_(layer, Policy.uniform("int4")) as handle:
        rounded = handle.weights[""].rounded
        assert torch.equal(rounded, Quantizer("int4", fpsim.PerChannel(0))(layer.weight.detach()))
