"""The Fisher measure's sums equal those of all gradients kept whole, and its memory does not grow with the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from fpsim.model import rounding_errors
from fpsim.model.rounding_errors import SquaredGradients

WIDTH = 256
BYTES = 4 * WIDTH**2


def stack(layers: int) -> nn.Sequential:
    """Layers of as many weights each, with nothing to speak of between them."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(layers)))


def rounding(step: float) -> Any:
    return lambda t: torch.round(t / step) * step


FORMATS = [rounding(0.01), None, rounding(0.002)]
X = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))


def by_hand(net: nn.Sequential, calls: list[Tensor]) -> dict[str, list[float]]:
    """Σ over calls and weights of g² w² and g² (w − ŵ)², every gradient kept."""
    sums = {name: torch.zeros(WIDTH, WIDTH, dtype=torch.float64) for name, _ in net.named_children()}
    for seed, x in enumerate(calls):
        output = net(x)
        z = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))
        weights = [getattr(net, name).weight for name in sums]
        for total, g in zip(sums.values(), torch.autograd.grad((z * output).sum(), weights), strict=True):
            total += g.double().square()
    found = {}
    for name, total in sums.items():
        w = getattr(net, name).weight.detach()
        errors = [w.double(), *((w.double() - f(w).double()) if f else torch.zeros(()) for f in FORMATS)]
        found[name] = [float((total * each.square()).sum()) for each in errors]
    return found


@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_the_sums_are_those_of_whole_gradients(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding_errors, "_PIECE", piece)
    net, calls = stack(3), [X, 2 * X, X.flip(0)]
    ours = SquaredGradients(net, dict.fromkeys("012", FORMATS))
    for seed, x in enumerate(calls):
        ours.run(lambda x=x: net(x), seed, {})
    for name, wanted in by_hand(net, calls).items():
        np.testing.assert_allclose(ours.weights[name], wanted, rtol=1e-12)
        assert ours.weights[name][2] == 0
        assert (ours.weights[name][[0, 1, 3]] > 0).all()


class Live(TorchDispatchMode):
    """Notes the most bytes that tensors made inside it hold at once."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in args if isinstance(each, Tensor)}
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, Tensor) and (storage := each.untyped_storage())._cdata not in given:
                self.known[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.known = {place: pair for place, pair in self.known.items() if not pair[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.known.values()))
        return result


def peak(layers: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """In weights of one layer; pieces of a tenth of it."""
    monkeypatch.setattr(rounding_errors, "_PIECE", WIDTH**2 // 10)
    net = stack(layers)
    measured = SquaredGradients(net, {name: FORMATS for name, _ in net.named_children()})
    measured.run(lambda: net(X), 0, {})
    with Live() as live:
        measured.run(lambda: net(X), 1, {})
    return live.most / BYTES


def test_memory_is_that_of_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient and a rounding, with what the rounding itself takes; sixteen layers need what two do."""
    few, many = peak(2, monkeypatch), peak(16, monkeypatch)
    assert 2 <= few <= 4, "a gradient, a rounding, its own intermediate result, pieces in float64"
    assert many == pytest.approx(few, abs=0.5)
