"""Learned rounding over a whole model: layer by layer or block by block, finished ones kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fpsim.methods.rounding_store import RoundingStore
from fpsim.model.blocks import capture_calls, units
from fpsim.model.grams import LIMIT_BYTES, capture_grams, plan_passes
from fpsim.model.operands import WeightOperand
from fpsim.model.split import SplitWeight
from fpsim.model.split_build import specs_of, weight
from fpsim.model.split_names import halves
from fpsim.quant.policy import Policy
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.blockwise import learn_block
from fpsim.quant.rounding.grid import RoundingGrid, joined, rounding_grid
from fpsim.quant.rounding.learn import LearnedRounding, OnStep, learn_rounding
from fpsim.quant.rounding.options import RoundingOptions

Call = Callable[[], Any]
#: Progress is told in thousandths of the work, so that the time left is about right whatever the layers' sizes.
UNITS = 1000


class Progress:
    """Adds the work of parts that take unequal time to one count.

    Args:
        tell: told (finished, total) whenever a thousandth more is finished.
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self.tell, self.total, self.finished, self._told = tell, 1.0, 0.0, -1

    def begin(self, total: float) -> None:
        """Say how much work there is, in any unit."""
        self.total = max(total, 1e-9)

    def part(self, cost: float) -> OnStep:
        """Return what a part of that cost tells its steps to."""
        before = self.finished
        self.finished += cost

        def on_step(done: int, total: int) -> None:
            self._say(before + cost * done / max(total, 1))

        return on_step

    def end(self) -> None:
        """Say that all is finished."""
        self._say(self.total)

    def _say(self, work: float) -> None:
        now = min(UNITS, int(UNITS * work / self.total + 1e-6))
        if now > self._told:
            self._told = now
            self.tell(now, UNITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What is learned, and how.

    Args:
        policy: the formats of the weights.
        names: of the layers.
        splits: split indices of the layers whose halves have formats and scales of their own.
        store: where finished layers are and will be.
        calls: returns functions that run the model once each; asked only where something is left to learn.
        options: of the optimizer.
        progress: told about the work.
        backend: who rounds.
    """

    policy: Policy
    names: Sequence[str]
    splits: Mapping[str, int]
    store: RoundingStore
    calls: Callable[[], Sequence[Call]]
    options: RoundingOptions
    progress: Progress
    backend: str | None = None


def learn_layers(model: nn.Module, work: Learning, *, limit: int = LIMIT_BYTES) -> dict[str, str]:
    """Learn each layer's rounding from the Gram matrix of what enters it in full precision.

    Args:
        model: in full precision.
        work: what is learned.
        limit: bytes of Gram matrices that are held at once.

    Returns:
        The layers whose rounding cannot be learned, and why.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    missing = work.store.missing(work.names)
    passes = plan_passes({name: modules[name] for name in missing}, limit)
    costs = {name: cost(modules[name]) for group in passes.groups for name in group}
    work.progress.begin(sum(costs.values()))
    data = work.calls() if passes.groups else []
    for group in passes.groups:
        grams = capture_grams(model, group, data)
        for name in group:
            grid, told = layer_grid(work, name, modules[name]), work.progress.part(costs[name])
            found = learn_rounding(modules[name].weight.detach(), grid, grams.pop(name), work.options, told)
            work.store.write(name, found, unit=name)
    work.progress.end()
    return dict(passes.left)


def learn_blocks(model: nn.Module, work: Learning) -> dict[str, str]:
    """Learn the rounding of each block's layers by the block's output in full precision; arguments as above."""
    modules: dict[str, Any] = dict(model.named_modules())
    blocks = unfinished_blocks(model, work)
    costs = {unit: sum(cost(modules[full]) for full in parts.values()) for unit, parts in blocks.items()}
    work.progress.begin(sum(costs.values()))
    data = work.calls() if blocks else []
    for unit, parts in blocks.items():
        grids = {part: layer_grid(work, full, modules[full]) for part, full in parts.items()}
        found = learn_block(
            modules[unit], grids, capture_calls(model, unit, data), work.options, work.progress.part(costs[unit])
        )
        keep_block(work, unit, parts, found)
    work.progress.end()
    return {}


def unfinished_blocks(model: nn.Module, work: Learning) -> dict[str, dict[str, str]]:
    """Return the blocks that have unfinished layers: these layers' names inside the block, to those in the model."""
    missing = set(work.store.missing(work.names))
    blocks: dict[str, dict[str, str]] = {}
    for unit, members in units(model):
        inside = {part: f"{unit}.{part}".strip(".") for part in members}
        chosen = {part: full for part, full in inside.items() if full in missing}
        if chosen:
            blocks[unit] = chosen
    return blocks


def keep_block(work: Learning, unit: str, parts: Mapping[str, str], found: Mapping[str, LearnedRounding]) -> None:
    """Write what was learned for a block's layers, which are named as :func:`unfinished_blocks` has them."""
    for part, full in parts.items():
        work.store.write(full, found[part], unit=unit)


def layer_grid(work: Learning, name: str, module: Any) -> Quantizer | RoundingGrid:
    """Return the quantizer that the layer will have, with the same scales; of a split layer, both halves' grid."""
    names = halves(name, work.splits[name]) if name in work.splits else ()
    rules = [work.policy.half(name, half) for half in names] or [work.policy.layer(name)]
    operand = weight(name, module, specs_of(rules, acts=False), work.backend, work.splits)
    return operand_grid(operand, module.weight)


def operand_grid(operand: WeightOperand, exact: Tensor) -> Quantizer | RoundingGrid:
    """Return the quantizer of an operand, or the grid of both halves of a split one."""
    if not isinstance(operand, SplitWeight):
        return operand.quantizer
    pairs = zip(operand.parts(exact), (operand.first, operand.second), strict=True)
    return joined([rounding_grid(part, half.quantizer) for part, half in pairs])


def cost(module: Any) -> float:
    """About how long a layer takes: its product with a Gram matrix, and Adam's passes over its parameters."""
    size = module.weight[0].numel()
    return float(module.weight.numel() * (size + 200))
