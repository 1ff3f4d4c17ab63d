"""Learned step sizes: values, the straight-through gradient by finite differences, and that learning pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fpsim import FpsimError
from fpsim.number import IntFormat
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.reconstruction.batch import UnitData, error_sum
from fpsim.quant.reconstruction.steps import LearnedStep, StepOptions, learn_steps
from fpsim.quant.scales import Scales

INT4 = IntFormat(name="int4-full", bits=4, full=True)
UINT4 = IntFormat(name="uint4", bits=4, signed=False)


def step(fmt: IntFormat, scale: float, zero_point: float | None = None) -> LearnedStep:
    z = None if zero_point is None else np.array([zero_point], np.float32)
    return LearnedStep(fmt, Scales(np.array([scale], np.float32), z))


@pytest.mark.parametrize(("fmt", "z"), [(INT4, None), (UINT4, 5.0), (UINT4, 0.0), (UINT4, -3.0)])
def test_values_are_those_of_the_quantizer(fmt: IntFormat, z: float | None) -> None:
    x = torch.randn(4000, generator=torch.Generator().manual_seed(1)) * 3
    ours = step(fmt, 0.37, z)
    assert torch.equal(ours(x), Quantizer(fmt, scales=ours.scales())(x))


@pytest.mark.parametrize(("fmt", "z"), [(INT4, 0.0), (UINT4, 5.0)])
def test_gradients_are_finite_differences_of_the_straight_through_definition(fmt: IntFormat, z: float) -> None:
    """With the rounding residue r = round(t) − t held still, t + r is smooth in d and x, and so is the clamp."""
    d, x = 0.37, np.random.default_rng(0).normal(0, 2.5, 500)
    x = x[~np.isin(np.rint(x / d) + z, [fmt.lo, fmt.hi])]  # the clamp has kinks at the last codes
    weights = np.random.default_rng(1).normal(size=len(x))
    residue = np.rint(x / d) - x / d

    def held(scale: float, values: np.ndarray) -> np.ndarray:
        return scale * (np.clip(values / scale + residue + z, fmt.lo, fmt.hi) - z)

    e = 1e-6
    wanted_d = float(weights @ (held(d + e, x) - held(d - e, x)) / (2 * e))
    wanted_x = weights * (held(d, x + e) - held(d, x - e)) / (2 * e)
    ours, given = step(fmt, d, z if not fmt.signed else None), torch.tensor(x, requires_grad=True)
    (ours(given) * torch.tensor(weights)).sum().backward()
    assert ours.step.grad is not None
    assert given.grad is not None
    assert float(ours.step.grad) == pytest.approx(wanted_d, rel=1e-4)
    np.testing.assert_allclose(given.grad.numpy(), wanted_x, atol=1e-6)
    outside = (np.rint(x / d) + z < fmt.lo) | (np.rint(x / d) + z > fmt.hi)
    assert 0 < outside.sum() < len(x)
    assert not given.grad.numpy()[outside].any()


@pytest.mark.parametrize(("x", "wanted"), [(7.4, -0.4), (-8.3, 0.3), (7.6, 7.0), (-8.7, -8.0)])
def test_the_last_codes_belong_to_the_inside(x: float, wanted: float) -> None:
    ours, given = step(INT4, 1.0), torch.tensor([x], requires_grad=True)
    ours(given).sum().backward()
    assert ours.step.grad is not None
    assert given.grad is not None
    assert float(ours.step.grad) == pytest.approx(wanted, abs=1e-5)
    assert bool(given.grad[0]) == (abs(wanted) < 1)


def test_gradient_of_the_step_case_by_case() -> None:
    ours = step(UINT4, 1.0, 5.0)
    for x, wanted in ((0.3, -0.3), (0.8, 0.2), (-9.0, -5.0), (20.0, 10.0)):
        (gradient,) = torch.autograd.grad(ours(torch.tensor([x])).sum(), ours.step)
        assert float(gradient) == pytest.approx(wanted, abs=1e-6)


class _Unit(nn.Module):
    def __init__(self, quantize: LearnedStep) -> None:
        super().__init__()
        self.conv, self.quantize = nn.Conv2d(3, 4, 3), quantize

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(self.quantize(x))
        return result


def unit_and_data(scale: float) -> tuple[_Unit, UnitData]:
    torch.manual_seed(0)
    unit, x = _Unit(step(INT4, scale)), torch.randn(40, 3, 6, 6)
    with torch.no_grad():
        return unit, UnitData(args=(x,), kwargs={}, output=unit.conv(x))


def test_learning_lowers_the_error() -> None:
    unit, data = unit_and_data(0.8)
    before, after = learn_steps(unit, {}, [unit.quantize], data, StepOptions(iterations=80, lr=1e-2))
    assert after < 0.8 * before
    assert float(unit.quantize.step.detach()) < 0.75
    wanted = error_sum(unit(data.args[0]), data.output, 2.4)
    assert after == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_what_learning_does_not_improve_stays() -> None:
    unit, data = unit_and_data(0.4)
    wild = StepOptions(iterations=3, lr=5.0)
    before, after = learn_steps(unit, {}, [unit.quantize], data, wild)
    assert before == after
    assert float(unit.quantize.step.detach()) == pytest.approx(0.4)
    _, worse = learn_steps(unit, {}, [unit.quantize], data, StepOptions(iterations=3, lr=5.0, keep_start=False))
    assert worse > before
    assert float(unit.quantize.step.detach()) > 0


def test_errors_sum_over_channels_wherever_they_are() -> None:
    a, b = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0)
    assert float(error_sum(a, b, 2.4)) == pytest.approx(3 * 2**2.4)
    assert float(error_sum(a[:, :, 0], b[:, :, 0], 2.0)) == pytest.approx(4 * 4)


def test_refused_settings() -> None:
    with pytest.raises(FpsimError, match="step sizes learn in"):
        StepOptions(lr=0)
    assert StepOptions.paper().iterations == 5000
