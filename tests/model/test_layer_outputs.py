"""Gram matrices of layer outputs, sizes of layers, and errors of operands, against direct computation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.measure.orthogonality import energy, gram, orthogonality
from fpsim.measure.projection import standard_error
from fpsim.model.layer_outputs import capture_outputs
from fpsim.model.layer_sizes import layer_sizes
from fpsim.model.rounding_errors import SquaredGradients, input_errors, weight_error


class Net(nn.Module):
    """A convolution, a layer that runs twice, and one that does not see the input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.twice = nn.Linear(8, 8)
        self.blind = nn.Linear(4, 8)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2, groups=2)
        self.idle = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        h = self.twice(torch.tanh(self.twice(h.movedim(1, -1)))).movedim(-1, 1)
        time = self.blind(torch.ones(len(x), 4))
        result: Tensor = self.up(h + time[:, :, None, None])
        return result


NAMES = ["conv", "twice", "blind", "up"]


@pytest.fixture
def net() -> Net:
    return Net().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def outputs(net: Net, x: Tensor) -> dict[str, np.ndarray]:
    """Everything that leaves each layer, side by side."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    hooks = [
        getattr(net, name).register_forward_hook(
            lambda _m, _a, out, name=name: found[name].append(out.detach().numpy().reshape(len(x), -1).copy())
        )
        for name in NAMES
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def test_exact_in_one_call(net: Net, x: Tensor) -> None:
    found = capture_outputs(net, NAMES, [lambda: net(x)])
    for i, features in enumerate(outputs(net, x).values()):
        np.testing.assert_allclose(found.grams[i], gram(features), rtol=1e-9, atol=1e-9)
        assert found.energies[i] == pytest.approx(energy(features), rel=1e-9)
    orm = orthogonality(found.grams, found.energies)
    assert np.isnan(np.diag(orm)).tolist() == [False, False, True, False]
    assert not net.conv._forward_hooks


def test_projected_over_several_calls(net: Net, x: Tensor) -> None:
    """Batches of other sizes meet in one matrix, within the stated error; the same each time."""
    exact = capture_outputs(net, NAMES, [lambda: net(x)])
    calls = [lambda: net(x[:4]), lambda: net(x[4:])]
    found = capture_outputs(net, NAMES, calls, size=20_000)
    ours, theirs = (orthogonality(f.grams, f.energies) for f in (found, exact))
    assert np.nanmax(np.abs(ours - theirs)) < 4 * standard_error(20_000)
    assert np.nanmax(np.abs(ours - theirs)) > 0
    np.testing.assert_allclose(found.energies, exact.energies, rtol=1e-6)
    again = capture_outputs(net, NAMES, calls, size=20_000)
    assert (again.grams == found.grams).all()


def test_captures_refused(net: Net, x: Tensor) -> None:
    with pytest.raises(FpsimError, match="2 calls meet in one Gram matrix only by a projection"):
        capture_outputs(net, NAMES, [lambda: net(x), lambda: net(x)])
    with pytest.raises(FpsimError, match="the calibration never ran layer 'idle'"):
        capture_outputs(net, ["idle"], [lambda: net(x)])
    with pytest.raises(FpsimError, match="NaN or Inf leaves layer 'conv'"):
        capture_outputs(net, NAMES, [lambda: net(x * float("nan"))])


def test_sizes_in_the_order_of_running(net: Net, x: Tensor) -> None:
    found = layer_sizes(net, ["up", "blind", "twice", "conv"], lambda: net(x), len(x))
    assert list(found) == NAMES
    assert [size.weights for size in found.values()] == [8 * 27, 64, 32, 8 * 4]
    assert [size.inputs for size in found.values()] == [75, 2 * 200, 4, 200]
    assert [size.macs for size in found.values()] == [25 * 8 * 27, 2 * 25 * 64, 32, 25 * 8 * 4]
    with pytest.raises(FpsimError, match="layer 'idle' has no calibration data: the model never runs it"):
        layer_sizes(net, ["idle"], lambda: net(x), len(x))


def rounding(step: float) -> Any:
    return lambda t: torch.round(t / step) * step


def test_errors_of_inputs(net: Net, x: Tensor) -> None:
    formats = [rounding(0.5), None, rounding(0.25)]
    found = input_errors(net, [{"conv": formats}] * 2, [lambda: net(x), lambda: net(2 * x)])["conv"]
    expected = [
        [float(v.double().square().sum())] + [float((v - f(v)).double().square().sum()) if f else 0.0 for f in formats]
        for v in (x, 2 * x)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert "forward" not in vars(net.conv)


def test_errors_of_weights() -> None:
    w, rounded = torch.tensor([3.0, -1.0]), torch.tensor([2.0, -1.0])
    assert weight_error(w, rounded) == (10.0, 1.0)


def test_squared_gradients_are_the_fisher_diagonal() -> None:
    """Of a linear layer y = W x, diag(JᵀJ) of W is Σ xⱼ² for each row, and of x the columns' Σ wᵢⱼ²."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4, bias=False))
    x = torch.randn(5, 3)
    places = torch.eye(12).reshape(12, 4, 3)
    found = SquaredGradients(net, {"0": [lambda w, place=place: w - place for place in places]})
    runs = 600
    for seed in range(runs):
        found.run(lambda: net(x), seed, {"0": [rounding(0.5)]})
    squares = x.double().square()
    weights = found.weights["0"][1:].reshape(4, 3) / runs  # an error of 1 in one place shows its g²
    expected = np.tile(squares.sum(dim=0), (4, 1))
    np.testing.assert_allclose(weights, expected, rtol=0.25)
    assert weights.sum() / expected.sum() == pytest.approx(1, abs=0.06)
    whole = (weights * net[0].weight.detach().double().square().numpy()).sum()
    assert found.weights["0"][0] / runs == pytest.approx(whole, rel=1e-6)
    error = (x - rounding(0.5)(x)).double().square()
    columns = net[0].weight.detach().double().square().sum(dim=0)
    exact = [float((squares * columns).sum()), float((error * columns).sum())]
    np.testing.assert_allclose(np.mean(found.inputs["0"], axis=0), exact, rtol=0.1)
    assert found.outputs[0] == pytest.approx(float(net(x).detach().double().square().sum()), rel=1e-6)
    assert net[0].weight.grad is None


def test_gradients_reach_layers_before_which_nothing_has_one(net: Net, x: Tensor) -> None:
    """The first layer, and one whose input is a constant; the model's parameters collect nothing."""
    formats = {name: [rounding(0.5)] for name in NAMES}
    for taking in (True, False):
        found = SquaredGradients(net.requires_grad_(taking), formats)
        found.run(lambda: net(x), 0, formats)
        for name in NAMES:
            assert (found.weights[name] > 0).all()
            assert found.inputs[name][0][0] > 0
        assert all(each.grad is None and each.requires_grad is taking for each in net.parameters())
    assert all("forward" not in vars(getattr(net, name)) for name in NAMES)
