"""On and off again: a model without its quantizers is the model that it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_layers import POLICY, X, mixed_model
from tiny_pipelines import tiny_unet
from torch import nn

import fpsim
from fpsim import Policy
from fpsim.errors import FpsimError


def state(net: nn.Module) -> Any:
    """Everything that quantizing could have changed: parameters, attributes of the modules, hooks, types."""
    tensors = {name: (tensor, tensor.clone()) for name, tensor in net.state_dict().items()}
    attributes = [
        (type(part), dict(vars(part)), [dict(hooks) for hooks in _hooks(part)]) for part in net.modules()
    ]  # fmt: skip
    with torch.no_grad():
        return tensors, attributes, net(X)


def _hooks(part: nn.Module) -> list[Any]:
    return [value for key, value in vars(part).items() if key.endswith("_hooks")]


def same(before: Any, after: Any) -> bool:
    tensors = all(
        torch.equal(old[1], new[1]) and old[0].data_ptr() == new[0].data_ptr()
        for old, new in zip(before[0].values(), after[0].values(), strict=True)
    )
    kinds = [(kind, list(own), hooks) for kind, own, hooks in before[1]]
    return (
        tensors
        and list(before[0]) == list(after[0])
        and kinds == [(kind, list(own), hooks) for kind, own, hooks in after[1]]
        and all("forward" not in own for _, own, _ in after[1])
        and torch.equal(before[2], after[2])
    )


@pytest.mark.parametrize("calibration", [None, [X]], ids=["dynamic", "static"])
def test_remove_restores_bit_for_bit(calibration: Any) -> None:
    net = mixed_model()
    before = state(net)
    handle = fpsim.quantize_(net, POLICY, calibration)
    with torch.no_grad():
        assert not torch.equal(net(X), before[2])
    assert [p.data_ptr() for p in net.parameters()] == [v[0].data_ptr() for v in before[0].values()]
    handle.remove()
    assert same(before, state(net))
    handle.remove()
    assert same(before, state(net))


def test_parameters_and_buffers_do_not_change_while_quantized() -> None:
    net = mixed_model()
    kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with fpsim.quantize_(net, POLICY):
        net(X).sum().backward()
        assert all(torch.equal(tensor, kept[name]) for name, tensor in net.state_dict().items())
        assert list(net.state_dict()) == list(kept)


def test_a_context_restores_after_an_error() -> None:
    net = mixed_model()
    before = state(net)
    with pytest.raises(RuntimeError, match="stop"), fpsim.quantize_(net, POLICY):
        raise RuntimeError("stop")
    assert same(before, state(net))
    with pytest.raises(RuntimeError), fpsim.quantize_(net, POLICY):
        net(X[:, :2])  # wrong channels: an error inside a layer
    assert same(before, state(net))


def test_an_error_while_attaching_leaves_the_model_alone() -> None:
    net = mixed_model()
    before = state(net)
    with pytest.raises(FpsimError, match="matches no layer"):
        fpsim.quantize_(net, POLICY.skip("nothing"))
    with pytest.raises(ZeroDivisionError):
        fpsim.quantize_(net, POLICY, lambda _: 1 / 0)
    with pytest.raises(FpsimError, match="NaN or Inf enters layer '0'"):
        fpsim.quantize_(net, POLICY, [X * torch.nan])
    assert same(before, state(net))


@pytest.mark.parametrize("order", [(1, 0), (0, 1)], ids=["reverse", "as attached"])
def test_twice(order: tuple[int, int]) -> None:
    """The second policy rounds what the first one rounded; any order of removal ends at the original."""
    net = mixed_model()
    before = state(net)
    first = fpsim.quantize_(net, Policy.uniform("int8", "int8"))
    with torch.no_grad():
        once = net(X)
    handles = [first, fpsim.quantize_(net, Policy.uniform("e2m1", "e4m3"))]
    with torch.no_grad():
        twice = net(X)
    assert not torch.equal(once, twice)
    handles[order[0]].remove()
    with torch.no_grad():
        between = net(X)
    if order == (1, 0):
        assert torch.equal(between, once)
    else:
        with fpsim.quantize_(mixed_model(), Policy.uniform("e2m1", "e4m3")) as _:
            pass
        assert not torch.equal(between, once)
        other = mixed_model()
        with torch.no_grad(), fpsim.quantize_(other, Policy.uniform("e2m1", "e4m3")):
            assert torch.equal(between, other(X))
    handles[order[1]].remove()
    assert same(before, state(net))


def test_a_whole_unet_is_restored() -> None:
    net = tiny_unet()
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        before = net(x, 3).sample
        kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with fpsim.quantize_(net, POLICY, [(x, 5)]):
            assert not torch.equal(net(x, 3).sample, before)
        assert torch.equal(net(x, 3).sample, before)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in net.state_dict().items())
    assert not any("forward" in vars(part) for part in net.modules())
