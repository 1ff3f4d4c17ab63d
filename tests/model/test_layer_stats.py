"""Measurements of layers against plain formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_layers import Standardized
from tiny_pipelines import tiny_unet
from torch import Tensor, nn

import fpsim
from fpsim import PerChannel, Policy, Quantizer
from fpsim.model import layer_stats
from fpsim.model.layer_stats import measure_layers


def sqnr(exact: Tensor, rounded: Tensor) -> float:
    exact, rounded = exact.detach().double(), rounded.detach().double()
    return float(10 * torch.log10(exact.square().sum() / (exact - rounded).square().sum()))


class Net(nn.Module):
    """Layers that run in another order than they are defined in, one twice, one never."""

    def __init__(self, *, inplace: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last, self.never, self.first = nn.Linear(6, 2), nn.Linear(3, 3), nn.Linear(4, 6)
        self.twice, self.relu = nn.Linear(6, 6), nn.ReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return self.last(self.relu(self.twice(self.relu(self.twice(x)))))


X = [torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i in range(2)]


@pytest.mark.parametrize("inplace", [False, True])
def test_numbers_are_those_of_the_formulas(inplace: bool) -> None:
    net = Net(inplace=inplace)
    with fpsim.quantize_(net, Policy.uniform("int4", "int4", scale="max").skip("never")) as handle:
        stats = measure_layers(net, handle, [lambda x=x: net(x) for x in X])
    weights, acts = Quantizer("int4", PerChannel(0), "max"), Quantizer("int4", PerChannel(0), "max")
    by_name = {stat.name: stat for stat in stats}
    first, w, x = by_name["first"], net.first.weight.detach(), torch.cat(X)
    rounded, inputs = weights(w), acts(x)
    assert first.weight_sqnr_db == pytest.approx(sqnr(w, rounded))
    assert first.act_sqnr_db == pytest.approx(sqnr(x, inputs))
    assert first.weight_sparsity == pytest.approx(float((rounded == 0).float().mean()))
    assert first.act_sparsity == pytest.approx(float((inputs == 0).float().mean()))
    exact, ours = F.linear(x, w, net.first.bias), F.linear(inputs, rounded, net.first.bias)
    assert first.output_sqnr_db == pytest.approx(sqnr(exact, ours), rel=1e-5)
    assert (first.kind, first.weight_count) == ("Linear", 24)
    # A later layer's output error is that of the whole network up to it; both of its runs count.
    v = net.twice.weight.detach()
    one, two = (torch.relu(exact), torch.relu(ours))
    pairs = [(F.linear(one, v, net.twice.bias), F.linear(acts(two), weights(v), net.twice.bias))]
    one, two = (torch.relu(y) for y in pairs[0])
    pairs.append((F.linear(one, v, net.twice.bias), F.linear(acts(two), weights(v), net.twice.bias)))
    both = [torch.cat(parts) for parts in zip(*pairs, strict=True)]
    assert by_name["twice"].output_sqnr_db == pytest.approx(sqnr(*both), rel=1e-4)


def test_the_order_is_that_of_execution_and_what_never_ran_comes_last() -> None:
    net = Net()
    with fpsim.quantize_(net, Policy.uniform("int4", "int8")) as handle:
        stats = measure_layers(net, handle, [lambda: net(X[0])])
    assert [stat.name for stat in stats] == ["first", "twice", "last", "never"]
    never = stats[-1]
    assert (never.act_sqnr_db, never.act_sparsity, never.output_sqnr_db) == (None, None, None)
    assert never.weight_sqnr_db is not None


def test_what_was_not_quantized_has_no_number() -> None:
    net = Net()
    policy = Policy.uniform("int4").rule("last", weights=None, acts=Policy.uniform(acts="int8").layer("").acts)
    with fpsim.quantize_(net, policy.skip("never")) as handle:
        stats = {stat.name: stat for stat in measure_layers(net, handle, [lambda: net(X[0])])}
    assert "never" not in stats
    assert (stats["first"].act_sqnr_db, stats["first"].acts) == (None, None)
    assert (stats["last"].weight_sqnr_db, stats["last"].weight_count, stats["last"].weights) == (None, 0, None)
    assert stats["last"].act_sqnr_db > 20


def test_exact_layers_have_an_infinite_sqnr() -> None:
    layer = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[7.0, 1, 2, 3], [0, -7, 5, 1], [7, 7, 7, 0]]))
    x = torch.tensor([[127.0, 1, 2, 3]])
    with fpsim.quantize_(layer, Policy.uniform("int4", "int8", scale="max")) as handle:
        (stat,) = measure_layers(layer, handle, [lambda: layer(x)])
    assert (stat.weight_sqnr_db, stat.act_sqnr_db, stat.output_sqnr_db) == (math.inf, math.inf, math.inf)
    assert stat.weight_sparsity == pytest.approx(2 / 12)


def test_a_computed_weight_is_measured_after_its_transform() -> None:
    torch.manual_seed(0)
    layer, x = Standardized(3, 4, 3), torch.randn(2, 3, 6, 6)
    with fpsim.quantize_(layer, Policy.uniform("int4")) as handle:
        (stat,) = measure_layers(layer, handle, [lambda: layer(x)])
    w = layer.standard().detach()
    assert stat.weight_sqnr_db == pytest.approx(sqnr(w, Quantizer("int4", PerChannel(0))(w)))


def test_measuring_changes_nothing() -> None:
    net = tiny_unet()
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad(), fpsim.quantize_(net, Policy.uniform("int4", "int8"), [(x, 5)]) as handle:
        before = net(x, 3).sample
        stats = measure_layers(net, handle, [lambda: net(x, 3), lambda: net(x, 700)])
        assert torch.equal(net(x, 3).sample, before)
        assert all(operand.watch is None for operand in handle.acts.values())
    assert not any(part._forward_hooks for part in net.modules())
    assert stats[0].name in ("conv_in", "time_embedding.linear_1")
    assert stats[-1].name == "conv_out"
    assert len(stats) == len(handle.coverage.quantized)


def test_an_error_leaves_no_hook() -> None:
    net = Net()

    def fail() -> Any:
        net(X[0])
        raise ZeroDivisionError

    with fpsim.quantize_(net, Policy.uniform("int4", "int8")) as handle:
        with pytest.raises(ZeroDivisionError):
            measure_layers(net, handle, [fail])
        assert not any(part._forward_hooks for part in net.modules())
        assert all(operand.active and operand.watch is None for operand in handle.acts.values())


def test_an_overflowing_error_is_a_number_and_no_exception() -> None:
    """Activations that became Inf make the noise infinite; the ratio is −inf, not a domain error."""
    sums = layer_stats._Sums()
    sums.add(torch.ones(3), torch.tensor([1.0, float("inf"), 1.0]))
    assert sums.sqnr_db == float("-inf")
    sums.add(torch.ones(1), torch.tensor([float("nan")]))
    assert math.isnan(sums.sqnr_db or 0.0)
