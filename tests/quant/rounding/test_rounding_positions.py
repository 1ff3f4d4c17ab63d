"""Positions between the neighbours: their parametrization, and the regularizer that drives them to the ends."""

from __future__ import annotations

import pytest
import torch

from fpsim import FpsimError, Quantizer
from fpsim.quant.rounding.grid import rounding_grid
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.parametrization import EDGE, KINDS, Parametrization, relative_steps
from fpsim.quant.rounding.regularizer import Schedule, penalty, penalty_slope


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_start_reproduces_the_clipped_weight(kind: str, scaled: bool) -> None:
    w = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    grid = rounding_grid(w, Quantizer("e2m1"))
    shape = Parametrization(kind, relative_steps(grid.step) if scaled else None)
    soft = grid.soft(shape.value(shape.start(grid.fraction)))
    room = EDGE * 1.01 if kind == "sigmoid" else 1e-5
    assert ((soft - grid.clipped).abs() <= room * grid.step).all()
    assert torch.equal(grid.harden(shape.value(shape.start(grid.fraction))), grid.harden(grid.fraction))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_those_of_autograd(kind: str, scaled: bool) -> None:
    alpha = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    scale = torch.linspace(0.25, 4, 101, dtype=torch.float64) if scaled else None
    shape = Parametrization(kind, scale)
    h = shape.value(alpha)
    (expected,) = torch.autograd.grad(h.sum(), alpha)
    value, slope = shape.value_and_slope(alpha.detach())
    assert torch.equal(value, h.detach())
    assert torch.allclose(slope, expected, rtol=1e-12, atol=1e-15)


def test_the_rectified_sigmoid_reaches_both_ends() -> None:
    ends = torch.tensor([-3.0, 3.0])
    assert Parametrization("rectified").value(ends).tolist() == [0, 1]
    assert 0 < Parametrization("sigmoid").value(ends)[0] < Parametrization("sigmoid").value(ends)[1] < 1


def test_a_scale_divides_the_parameter() -> None:
    alpha, scale = torch.tensor([1.0, 1.0]), torch.tensor([0.5, 2.0])
    expected = torch.sigmoid(torch.tensor([2.0, 0.5]))
    assert torch.equal(Parametrization("sigmoid", scale).value(alpha), expected)


@pytest.mark.parametrize("beta", [2.0, 3.0, 20.0])
def test_the_penalty(beta: float) -> None:
    h = torch.tensor([0.0, 0.1, 0.5, 0.8, 1.0], dtype=torch.float64, requires_grad=True)
    value = penalty(h, beta)
    assert float(value.detach()) == pytest.approx(1 - 0.8**beta + 1 + 1 - 0.6**beta)
    (expected,) = torch.autograd.grad(value, h)
    assert torch.allclose(penalty_slope(h.detach(), beta), expected)


def test_schedules() -> None:
    printed = Schedule(weight=1, beta_start=20, beta_end=20, warmup=0)
    assert [printed.at(i, 10) for i in (0, 9)] == [(1, 20), (1, 20)]
    adaround = Schedule(weight=0.01)
    assert adaround.at(1999, 10_000) == (0.0, 20.0)
    assert adaround.at(2000, 10_000) == (0.01, 20.0)
    assert adaround.at(6000, 10_000) == (0.01, 11.0)
    assert adaround.at(9999, 10_000)[1] == pytest.approx(2, abs=0.01)


WRONG = {
    "kind": (lambda: Parametrization("tanh"), "parametrization 'tanh' is not one of sigmoid, rectified"),
    "lambda": (lambda: Schedule(weight=-1), "the regularizer's weight is -1"),
    "nan": (lambda: Schedule(weight=float("nan")), "the regularizer's weight is nan"),
    "beta": (lambda: Schedule(weight=1, beta_end=0.5), "exponent is 0.5"),
    "warm-up": (lambda: Schedule(weight=1, warmup=2), "warm-up is 2"),
    "iterations": (lambda: RoundingOptions(iterations=-1), "-1 iterations"),
    "rate": (lambda: RoundingOptions(lr=0), "learning rate of the rounding is 0"),
    "reduction": (lambda: RoundingOptions(reduction="total"), "reduction 'total' is not one of"),
    "batch": (lambda: RoundingOptions(batch_size=0), "a batch has at least 1 sample"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str) -> None:
    build, wanted = WRONG[case]
    with pytest.raises(FpsimError, match=wanted) as caught:
        build()
    assert "\n" not in str(caught.value)
