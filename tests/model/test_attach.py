"""Whole models: backends, types, and errors that name the tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_layers import STOCK, Standardized
from tiny_pipelines import tiny_unet
from torch import Tensor, nn

import fpsim
from fpsim import Policy, Quantizer
from fpsim.errors import FpsimError

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


def test_strict_blocks_must_divide_the_input_channels() -> None:
    model = nn.Sequential(nn.Conv2d(6, 4, 3, groups=2), nn.ConvTranspose2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 8))
    x = torch.randn(1, 6, 4, 4)
    with fpsim.quantize_(model, Policy.uniform("int4", weights_granularity="block:3").skip("1"), strict=True):
        model(x)
    with pytest.raises(FpsimError, match=r"^1\.weight has 4 input channels, .* block of 3; drop --strict"):
        fpsim.quantize_(model, Policy.uniform("int4", weights_granularity="block:3"), strict=True)
    with pytest.raises(FpsimError, match=r"^the input of 0 has 6 input channels, .* block of 4"):
        fpsim.quantize_(model, Policy.uniform(acts="int4", acts_granularity="block:4"), strict=True)
    with fpsim.quantize_(model, Policy.uniform("mxfp4", "mxfp4")):
        model(x)  # a short last block has its own scale
