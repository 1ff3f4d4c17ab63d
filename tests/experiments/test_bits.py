"""The evidence of the sweep over bits: facts of layers against their definitions, and a model made worse on purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))

import bits_layer_facts as facts  # noqa: E402
from bits_spread import strengthened  # noqa: E402
from bits_sweep import LOST_DB, Row, verdict  # noqa: E402
from tiny_pipelines import tiny_unet  # noqa: E402

from fpsim.quant.rounding.options import RoundingOptions  # noqa: E402


@pytest.fixture
def layers() -> tuple[nn.Module, list[Any]]:
    """A convolution and a linear layer, and two calls of them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(), nn.Flatten(2), nn.Linear(16, 5))
    inputs = [torch.randn(2, 3, 4, 4) + 1 for _ in range(2)]
    return model, [lambda x=x: model(x) for x in inputs]


def rounded_output(model: Any, layer: int, x: torch.Tensor, kind: tuple[str, str]) -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer puts out on exact inputs, exactly and with a rounded weight, without its bias."""
    before, module = model[:layer], model[layer]
    entering = before(x)
    both = []
    for weight in (module.weight, facts.quantizer(*kind)(module.weight.detach())):
        if layer == 3:
            both.append(entering @ weight.T)
        else:
            both.append(torch.nn.functional.conv2d(entering, weight, padding=1))
    return both[0].detach(), both[1].detach()


@pytest.mark.parametrize("where", ["tensor", "channel", "block:2"])
def test_facts_are_what_they_say(layers: tuple[nn.Module, list[Any]], where: str) -> None:
    model, calls = layers
    kind = ("int3", where)
    found = facts.measured(model, calls, [kind], None)[kind]
    assert list(found) == ["0", "3"]
    for name, each in found.items():
        weight = dict(model.named_modules())[name].weight.detach()
        rounded = facts.quantizer(*kind)(weight)
        pairs = [rounded_output(model, int(name), call.__defaults__[0], kind) for call in calls]
        signal = sum(float(exact.double().square().sum()) for exact, _ in pairs)
        noise = sum(float((exact.double() - other.double()).square().sum()) for exact, other in pairs)
        assert each.output == pytest.approx(10 * torch.log10(torch.tensor(signal / noise)).item(), abs=1e-3)
        error = (weight - rounded).double().square().sum()
        assert each.sqnr == pytest.approx(10 * torch.log10(weight.double().square().sum() / error).item())
        assert each.zeros == pytest.approx(float((rounded == 0).double().mean()))
        assert each.peak == pytest.approx(float(weight.abs().max() / weight.square().mean().sqrt()), rel=1e-5)
        assert 0 < each.first <= 1
        if where == "tensor":
            assert each.levels == len(torch.unique(rounded)) <= 7
        assert 1 <= each.levels <= 7


def test_learned_rounding_is_measured_beside_nearest(layers: tuple[nn.Module, list[Any]]) -> None:
    model, calls = layers
    found = facts.measured(model, calls, [("int3", "tensor"), ("int4", "tensor")], RoundingOptions(iterations=20))
    for each in found["int3", "tensor"].values():
        assert each.learned is not None
        assert each.learned_sqnr is not None
        assert each.learned >= each.output
        assert each.learned_sqnr <= each.sqnr
    assert all(each.learned is None for each in found["int4", "tensor"].values())


def test_the_strongest_direction_is_the_first_eigenvector() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 7, 30, dtype=torch.float64) + 1
    hessian = x @ x.mT
    found = facts.strongest(hessian)
    for matrix, vector in zip(hessian, found, strict=True):
        assert float(vector.mT @ matrix @ vector) == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]))


def test_mean_errors_are_what_a_bias_can_take_back(layers: tuple[nn.Module, list[Any]]) -> None:
    model, calls = layers
    kind = ("int3", "tensor")
    found = facts.mean_errors(model, calls, kind)
    for name, mean in found.items():
        pairs = [rounded_output(model, int(name), call.__defaults__[0], kind) for call in calls]
        errors = torch.stack([other - exact for exact, other in pairs])
        wanted = errors.mean(dim=(0, 1, 3, 4)) if name == "0" else errors.mean(dim=(0, 1, 2))
        torch.testing.assert_close(mean, wanted, rtol=1e-4, atol=1e-6)


def test_strengthened_groups_change_no_output() -> None:
    torch.manual_seed(0)
    model, x = tiny_unet(), torch.randn(2, 1, 8, 8)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        before = model(x, 10).sample
        touched = strengthened(model, 64)
        after = model(x, 10).sample
    assert len(touched) == 2 * sum(type(m).__name__ == "ResnetBlock2D" for m in model.modules()) > 0
    assert float((after - before).norm() / before.norm()) < 1e-2  # the norm's epsilon remains
    for name in touched:
        assert not torch.equal(model.state_dict()[f"{name}.weight"], weights[f"{name}.weight"])
    with torch.no_grad():
        model.get_submodule(touched[0]).weight[:2] *= 1.5  # not a whole group alone
        assert float((model(x, 10).sample - before).norm() / before.norm()) > 1e-3


def row(fmt: str, psnr: float, rounding: str = "nearest") -> Row:
    return Row(
        fmt=fmt, granularity="tensor", rounding=rounding, psnr=psnr, tenth=psnr, ssim=0.5, lpips=None, zeros=0.1,
        sqnr=10.0, net=psnr, megabytes=1.0, run="ab", images=(psnr, 30.0),
    )  # fmt: skip


def test_the_verdict_names_the_first_format_that_is_lost() -> None:
    found = [row("int8", 40), row("int4", 25), row("int3", 12), row("int3", 24.5, "learned"), row("int2", 8)]
    limit, line, ranks = verdict(found, 8.0)
    assert limit.endswith(f"{8 + LOST_DB:.2f} dB.")
    assert "nearest: int4 kept with 25.0 dB, int3 lost (1 of 2 images), int2 lost (1 of 2 images)" in line
    assert "learned: int3 kept with 24.5 dB" in line
    assert "int3 +12.5 dB" in line
    assert ranks.endswith("net +1.00.")
