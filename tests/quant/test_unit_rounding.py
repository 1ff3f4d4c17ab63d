"""Learned rounding of a unit: lower errors, weights on the grid, split weights and the released code's ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fpsim import FpsimError
from fpsim.number import IntFormat
from fpsim.quant.asymmetric import fit_affine
from fpsim.quant.granularity import PerChannel
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.reconstruction.batch import UnitData
from fpsim.quant.reconstruction.rounding import WeightOptions, learn_unit, unit_error
from fpsim.quant.rounding.grid import RoundingGrid, on_grid, rounding_grid
from fpsim.quant.rounding.regularizer import Schedule

UINT3 = IntFormat(name="uint3", bits=3, signed=False)
SHORT = WeightOptions(iterations=300, batch_size=8, lr=3e-2)


class Block(nn.Module):
    """Two convolutions and a shortcut, with dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.conv_shortcut, self.dropout = nn.Conv2d(6, 4, 1), nn.Dropout(0.5)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        h = self.dropout(torch.relu(self.conv1(x)) + shift[:, None, None, None])
        result: Tensor = self.conv2(h) + self.conv_shortcut(x)
        return result


def alike(count: int, size: int) -> Tensor:
    """Samples of six channels that have much in common, so that errors of rounding can cancel."""
    return torch.randn(count, 1, size, size) + 0.3 * torch.randn(count, 6, size, size)


def quantizer(weight: Tensor) -> Quantizer:
    rows = weight.detach().reshape(len(weight), -1).numpy()
    return Quantizer(UINT3, PerChannel(0), scales=fit_affine(rows, UINT3, "mse"))


def grids_of(weight: Tensor, at: int | None = None) -> list[RoundingGrid]:
    weight = weight.detach()
    parts = [weight] if at is None else [weight[:, :at].contiguous(), weight[:, at:].contiguous()]
    return [rounding_grid(part, quantizer(part)) for part in parts]


@pytest.fixture(scope="module")
def block() -> tuple[Block, dict[str, list[RoundingGrid]], UnitData]:
    torch.manual_seed(0)
    unit = Block().eval()
    grids = {"conv1": grids_of(unit.conv1.weight), "conv2": grids_of(unit.conv2.weight)}
    grids["conv_shortcut"] = grids_of(unit.conv_shortcut.weight, 2)
    x, shift = alike(32, 5), torch.randn(32)
    with torch.no_grad():
        return unit, grids, UnitData(args=(x,), kwargs={"shift": shift}, output=unit(x, shift))


def test_learning_lowers_the_units_error_and_hardens_onto_the_grid(block: tuple) -> None:
    unit, grids, data = block
    before = {name: p.clone() for name, p in unit.named_parameters()}
    told: list[int] = []
    found = learn_unit(unit, grids, data, SHORT, lambda done, _: told.append(done))
    assert found.loss_after < 0.9 * found.loss_before
    assert 0 < found.changed < 1
    assert told[-1] == SHORT.iterations
    for name, weight in found.weights.items():
        assert torch.equal(before[f"{name}.weight"], unit.get_parameter(f"{name}.weight"))
        parts = [weight] if name != "conv_shortcut" else [weight[:, :2], weight[:, 2:]]
        for part, grid in zip(parts, grids[name], strict=True):
            assert ((part == grid.lower) | (part == grid.upper)).all()
    chosen = {f"{name}.weight": weight for name, weight in found.weights.items()}
    assert unit_error(unit, chosen, data) == pytest.approx(found.loss_after)
    shortcut = unit.conv_shortcut.weight.detach()[:, 2:].contiguous()
    assert on_grid(found.weights["conv_shortcut"][:, 2:].contiguous(), shortcut, quantizer(shortcut))


def test_learning_repeats_bit_for_bit(block: tuple) -> None:
    unit, grids, data = block
    options = WeightOptions(iterations=20, batch_size=8)
    first, second = (learn_unit(unit, grids, data, options).weights for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nearest_stays_where_learning_does_not_help(block: tuple) -> None:
    unit, grids, data = block
    pushed = WeightOptions(iterations=2, batch_size=8, lr=50.0, schedule=Schedule(weight=0))
    found = learn_unit(unit, grids, data, pushed)
    assert found.loss_after == found.loss_before
    assert found.changed == 0
    assert torch.equal(found.weights["conv1"], grids["conv1"][0].nearest)
    free = WeightOptions(iterations=2, batch_size=8, lr=50.0, schedule=Schedule(weight=0), keep_nearest=False)
    worse = learn_unit(unit, grids, data, free)
    assert worse.loss_after > worse.loss_before
    assert worse.changed > 0


def test_train_mode_lets_dropout_act_and_is_undone(block: tuple) -> None:
    unit, grids, data = block
    seen: list[bool] = []
    hook = unit.dropout.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    try:
        options = WeightOptions(iterations=3, batch_size=8, train_mode=True)
        learn_unit(unit, grids, data, options)
    finally:
        hook.remove()
    assert seen.count(True) == 3
    assert not seen[0]  # errors are those of the model as it is used
    assert not seen[-1]
    assert not any(module.training for module in unit.modules())
    quiet, loud = (
        learn_unit(unit, grids, data, WeightOptions(iterations=30, batch_size=8, train_mode=mode, keep_nearest=False))
        for mode in (False, True)
    )
    assert any(not torch.equal(quiet.weights[name], loud.weights[name]) for name in quiet.weights)


def learned_alone(**settings: bool) -> tuple[Tensor, list[RoundingGrid]]:
    """A split convolution that is a unit of its own."""
    torch.manual_seed(1)
    conv, x = nn.Conv2d(6, 4, 1), alike(40, 4)
    grids = grids_of(conv.weight, 3)
    with torch.no_grad():
        data = UnitData(args=(x,), kwargs={}, output=conv(x))
    options = WeightOptions(iterations=150, batch_size=8, keep_nearest=False, **settings)
    return learn_unit(conv, {"": grids}, data, options).weights[""], grids


def test_the_released_code_learns_only_the_first_half_of_a_split_layer() -> None:
    ours, grids = learned_alone()
    theirs, _ = learned_alone(second_free=True)
    assert not torch.equal(ours[:, 3:], grids[1].nearest)
    assert torch.equal(theirs[:, 3:], grids[1].nearest)
    assert not torch.equal(theirs[:, :3], grids[0].nearest)


def test_the_released_codes_regularizer_leaves_out_the_second_half(block: tuple) -> None:
    """A pressure so strong that everything it reaches becomes nearest leaves only the second half free to move."""
    unit, grids, data = block
    strong = Schedule(weight=1e4, beta_start=2, beta_end=2, warmup=0.0)
    ours, theirs = (
        learn_unit(
            unit,
            grids,
            data,
            WeightOptions(iterations=60, batch_size=8, lr=0.05, schedule=strong, second_free=free, keep_nearest=False),
        ).weights
        for free in (False, True)
    )
    nearest = grids["conv_shortcut"][1].nearest
    moved, stayed = (int((weights["conv_shortcut"][:, 2:] != nearest).sum()) for weights in (theirs, ours))
    assert moved > stayed
    for name in ("conv1", "conv2"):
        assert torch.equal(theirs[name], ours[name]) or np.mean((theirs[name] == ours[name]).numpy()) > 0.95


def test_refused(block: tuple) -> None:
    unit, _, data = block
    with pytest.raises(FpsimError, match="for at least one layer"):
        learn_unit(unit, {}, data)
    with pytest.raises(FpsimError, match="weights learn in"):
        WeightOptions(batch_size=0)
    paper = WeightOptions.paper()
    assert (paper.iterations, paper.batch_size, paper.lr) == (20_000, 32, 1e-3)
    assert (paper.schedule.weight, paper.schedule.beta_start, paper.schedule.beta_end) == (0.01, 20, 2)


class TwoResults(nn.Module):
    """A block of which only the first result is compared, as a transformer's on two streams."""

    def __init__(self) -> None:
        super().__init__()
        self.compared, self.other = nn.Linear(6, 5), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.second = self.other(x)
        result: Tensor = self.compared(x)
        return result


def test_a_layer_without_effect_keeps_to_nearest() -> None:
    torch.manual_seed(3)
    unit = TwoResults().eval()
    grids = {name: grids_of(unit.get_parameter(f"{name}.weight")) for name in ("compared", "other")}
    x = torch.randn(32, 6) + torch.randn(32, 1)
    with torch.no_grad():
        data = UnitData(args=(x,), kwargs={}, output=unit(x))
    found = learn_unit(unit, grids, data, WeightOptions(iterations=100, batch_size=8, lr=3e-2))
    assert found.loss_after < found.loss_before
    weight, grid = unit.other.weight.detach(), grids["other"][0]
    nearest = torch.where(weight - grid.lower < grid.upper - weight, grid.lower, grid.upper)
    assert torch.equal(found.weights["other"], nearest)
