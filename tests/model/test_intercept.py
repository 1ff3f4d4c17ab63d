"""Between a layer and its product: nesting, other forwards, copies, threads."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_layers import (
    POLICY,
    STOCK,
    LowRank,
    Standardized,
    X,
    by_hand,
    mixed_model,
)
from torch import Tensor, nn

import fpsim
from fpsim import Policy


def test_nested_rounding_is_rounding_of_the_rounded() -> None:
    build, x = STOCK["linear"]
    layer = build()
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform(acts="int8")):
        with fpsim.quantize_(layer, Policy.uniform(acts="int4")):
            y = layer(x)
    coarse = fpsim.Quantizer("int4", fpsim.PerChannel(0), "max")(x)
    fine = fpsim.Quantizer("int8", fpsim.PerChannel(0), "max")(x)
    plain = F.linear(fpsim.Quantizer("int4", fpsim.PerChannel(0), "max")(fine), layer.weight, layer.bias).detach()
    assert torch.equal(y, plain)
    assert not torch.equal(coarse, fine)


def test_a_forward_put_on_later_survives() -> None:
    build, x = STOCK["linear"]
    layer: Any = build()
    plain = layer(x).detach()
    handle = fpsim.quantize_(layer, POLICY)
    inner = layer.forward
    layer.forward = lambda inputs: inner(inputs) + 1
    with torch.no_grad():
        assert torch.equal(layer(x), by_hand(layer, x) + 1)
        handle.remove()
        assert torch.equal(layer(x), plain + 1)


def test_bypass_is_full_precision_for_a_while() -> None:
    net = mixed_model()
    with torch.no_grad():
        plain = net(X)
        with fpsim.quantize_(net, POLICY) as handle:
            rounded = net(X)
            with handle.bypass():
                assert torch.equal(net(X), plain)
            with pytest.raises(ZeroDivisionError), handle.bypass():
                _ = 1 / 0
            assert torch.equal(net(X), rounded)


def test_a_copy_of_a_quantized_model_computes_with_its_own_weights() -> None:
    net = mixed_model()
    with torch.no_grad(), fpsim.quantize_(net, POLICY):
        wanted = net(X)
        twin = copy.deepcopy(net)
        assert torch.equal(twin(X), wanted)
        for parameter in net.parameters():
            parameter.mul_(-3)
        assert torch.equal(twin(X), wanted)
        assert not torch.equal(net(X), wanted)


def test_a_quantized_model_can_be_saved_whole() -> None:
    layer = nn.Sequential(nn.Linear(3, 2))
    x = torch.randn(4, 3)
    with torch.no_grad(), fpsim.quantize_(layer, POLICY):
        stream = io.BytesIO()
        torch.save(layer, stream)
        stream.seek(0)
        again = torch.load(stream, weights_only=False)
        assert torch.equal(again(x), layer(x))


def test_threads_do_not_disturb_each_other() -> None:
    nets = [LowRank(6, 5, 2), Standardized(3, 4, 3)]
    inputs = [torch.randn(3, 6), torch.randn(2, 3, 6, 6)]
    handles = [fpsim.quantize_(net, POLICY) for net in nets]
    wanted = [net(x).detach() for net, x in zip(nets, inputs, strict=True)]
    wrong: list[int] = []

    def work(i: int) -> None:
        with torch.no_grad():
            wrong.extend(i for _ in range(30) if not torch.equal(nets[i](inputs[i]), wanted[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for handle in handles:
        handle.remove()


def test_torch_keeps_its_number_of_threads() -> None:
    """Numba's OpenMP layer would give torch its own number, and with it other last bits."""
    code = """if True:
        import torch
        torch.set_num_threads(1)
        import fpsim
        layer, x = torch.nn.Conv2d(4, 3, 1), torch.randn(2, 4, 4, 4)
        before = layer(x)
        with fpsim.quantize_(layer, fpsim.Policy.uniform("int4", "int4"), [x], backend="numba"):
            assert not torch.equal(layer(x), before)
        assert torch.get_num_threads() == 1
        assert torch.equal(layer(x), before)
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA", "OMP"))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_only_the_layers_own_products_count() -> None:
    """A module of no quantizable kind inside a layer is part of the layer."""

    class Helper(nn.Module):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            return F.linear(x, w)

    class Outer(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3, bias=False)
            self.helper = Helper()

        def forward(self, x: Tensor) -> Tensor:
            return self.helper(x, self.weight)

    layer, x = Outer(), torch.randn(2, 4)
    with torch.no_grad(), fpsim.quantize_(layer, POLICY):
        assert torch.equal(layer(x), by_hand(layer, x))
