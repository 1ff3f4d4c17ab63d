"""Step sizes of timestep bins: each sample has its bin's, and each bin learns from its own samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fpsim.number import IntFormat
from fpsim.quant.reconstruction.batch import UnitData
from fpsim.quant.reconstruction.learned_step import BinnedStep, LearnedStep
from fpsim.quant.reconstruction.steps import StepOptions, learn_steps
from fpsim.quant.scales import Scales

INT4 = IntFormat(name="int4-full", bits=4, full=True)
UINT4 = IntFormat(name="uint4", bits=4, signed=False)
INT6 = IntFormat(name="int6-full", bits=6, full=True)


def step(fmt: IntFormat, scale: float, zero_point: float | None = None) -> LearnedStep:
    z = None if zero_point is None else np.array([zero_point], np.float32)
    return LearnedStep(fmt, Scales(np.array([scale], np.float32), z))


def three() -> list[LearnedStep]:
    return [step(INT4, 0.37), step(UINT4, 0.21, 5.0), step(INT6, 0.5)]


def samples(count: int = 5) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2


@pytest.mark.parametrize("numbers", [[0, 2, 1, 2, 0], [2, 2, 0, 0, 0], [1], [1, 1, 1, 1, 1]])
def test_each_sample_has_the_step_of_its_bin(numbers: list[int]) -> None:
    """Values and gradients are those of the bins' own quantizers on their samples."""
    ours, theirs = three(), three()
    each = numbers * 5 if len(numbers) == 1 else numbers
    x, y = samples().requires_grad_(), samples().requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    mixed = BinnedStep(ours, lambda _x: numbers)(x)
    alone = torch.cat([theirs[number](y[i : i + 1]) for i, number in enumerate(each)])
    assert torch.equal(mixed, alone)
    for result in (mixed, alone):
        (result * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert y.grad is not None
    assert torch.equal(x.grad, y.grad)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert (mine.step.grad is None) == (number not in each), "a bin without samples has no gradient"
        if mine.step.grad is not None:
            assert other.step.grad is not None
            torch.testing.assert_close(mine.step.grad, other.step.grad)


def test_half_precision_stays() -> None:
    x = samples(2).half()
    mixed = BinnedStep(three(), lambda _x: [0, 2])(x)
    assert mixed.dtype == torch.float16
    assert torch.equal(mixed[1], three()[2](x[1].float()).half())


class _Unit(nn.Module):
    """A convolution whose input is quantized, with samples of bin 0 that are small and of bin 1 that are large."""

    def __init__(self, scales: Sequence[float]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.steps = [step(INT4, scale) for scale in scales]
        self.numbers: list[int] = []
        self.quantize = BinnedStep(self.steps, lambda _x: self.numbers)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(self.quantize(x))
        return result

    def begin(self, part: UnitData) -> None:
        assert part.timesteps is not None
        self.numbers = [int(timestep) for timestep in part.timesteps]


def unit_and_data(*scales: float) -> tuple[_Unit, UnitData, dict[LearnedStep, Tensor]]:
    unit, numbers = _Unit(scales), torch.arange(24, dtype=torch.float64) % 2
    x = (
        torch.randn(24, 4, 6, 6, generator=torch.Generator().manual_seed(3))
        * (1 + 9 * numbers.float())[:, None, None, None]
    )
    with torch.no_grad():
        data = UnitData(args=(x,), kwargs={}, output=unit.conv(x), timesteps=numbers)
    own = {each: torch.nonzero(numbers == number)[:, 0] for number, each in enumerate(unit.steps)}
    return unit, data, own


def values(unit: _Unit) -> list[float]:
    return [float(each.step.detach()) for each in unit.steps]


def test_each_bin_learns_from_its_own_samples() -> None:
    """Both start ten times too wide and end near the steps that their own samples want, which differ tenfold."""
    unit, data, own = unit_and_data(1.0, 10.0)
    options = StepOptions(iterations=200, lr=2e-2)
    before, after = learn_steps(unit, {}, unit.steps, data, options, own=own, begin=unit.begin)
    assert after < before
    small, large = values(unit)
    assert 0.2 < small < 0.7
    assert 3 < large < 9.99


def test_rows_keep_their_timesteps() -> None:
    _, data, _ = unit_and_data(1.0, 1.0)
    part = data.rows(torch.tensor([3, 0, 4]))
    assert part.timesteps is not None
    assert part.timesteps.tolist() == [1, 0, 0]


def test_a_bin_that_learning_did_not_help_goes_back_alone() -> None:
    """The first bin starts at its best step and is thrown about; the second one is far off and gains."""
    found = []
    for keep in (True, False):
        unit, data, own = unit_and_data(0.365, 20.0)
        options = StepOptions(iterations=5, lr=1.0, keep_start=keep)
        found.append((learn_steps(unit, {}, unit.steps, data, options, own=own, begin=unit.begin), values(unit)))
    ((before, kept), (first, second)), ((_, wild), (moved, same)) = found
    assert first == pytest.approx(0.365)
    assert moved != pytest.approx(0.365)
    assert second == same != 20.0
    assert kept < min(wild, before)


def test_all_go_back_where_together_they_are_worse() -> None:
    unit, data, own = unit_and_data(0.365, 3.65)
    options = StepOptions(iterations=5, lr=5.0)
    before, after = learn_steps(unit, {}, unit.steps, data, options, own=own, begin=unit.begin)
    assert values(unit) == pytest.approx([0.365, 3.65])
    assert before == after
