"""Learned rounding over a whole model: layer by layer or block by block, finished ones kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from fpsim.methods.rounding_store import RoundingStore
from fpsim.model.blocks import capture_calls, units
from fpsim.model.build import weight_operand
from fpsim.model.grams import LIMIT_BYTES, capture_grams, plan_passes
from fpsim.quant.policy import Policy
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.blockwise import learn_block
from fpsim.quant.rounding.learn import OnStep, learn_rounding
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


def learn_layers(
    model: nn.Module,
    policy: Policy,
    names: Sequence[str],
    store: RoundingStore,
    calls: Callable[[], Sequence[Call]],
    options: RoundingOptions,
    progress: Progress,
    backend: str | None = None,
    *,
    limit: int = LIMIT_BYTES,
) -> dict[str, str]:
    """Learn each layer's rounding from the Gram matrix of what enters it in full precision.

    Args:
        model: in full precision.
        policy: the formats of the weights.
        names: of the layers.
        store: where finished layers are and will be.
        calls: returns functions that run the model once each; asked only where something is left to learn.
        options: of the optimizer.
        progress: told about the work.
        backend: who rounds.
        limit: bytes of Gram matrices that are held at once.

    Returns:
        The layers whose rounding cannot be learned, and why.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    missing = store.missing(names)
    passes = plan_passes({name: modules[name] for name in missing}, limit)
    costs = {name: _cost(modules[name]) for group in passes.groups for name in group}
    progress.begin(sum(costs.values()))
    data = calls() if passes.groups else []
    for group in passes.groups:
        grams = capture_grams(model, group, data)
        for name in group:
            quantizer = _quantizer(name, modules[name], policy, backend)
            weight, told = modules[name].weight.detach(), progress.part(costs[name])
            store.write(name, learn_rounding(weight, quantizer, grams.pop(name), options, told), unit=name)
    progress.end()
    return dict(passes.left)


def learn_blocks(
    model: nn.Module,
    policy: Policy,
    names: Sequence[str],
    store: RoundingStore,
    calls: Callable[[], Sequence[Call]],
    options: RoundingOptions,
    progress: Progress,
    backend: str | None = None,
) -> dict[str, str]:
    """Learn the rounding of each block's layers by the block's output in full precision; arguments as above."""
    modules: dict[str, Any] = dict(model.named_modules())
    missing = set(store.missing(names))
    blocks: list[tuple[str, dict[str, str]]] = []
    for unit, members in units(model):
        inside = {part: f"{unit}.{part}".strip(".") for part in members}
        chosen = {part: full for part, full in inside.items() if full in missing}
        if chosen:
            blocks.append((unit, chosen))
    costs = {unit: sum(_cost(modules[full]) for full in parts.values()) for unit, parts in blocks}
    progress.begin(sum(costs.values()))
    data = calls() if blocks else []
    for unit, parts in blocks:
        quantizers = {part: _quantizer(full, modules[full], policy, backend) for part, full in parts.items()}
        samples = capture_calls(model, unit, data)
        found = learn_block(modules[unit], quantizers, samples, options, progress.part(costs[unit]))
        for part, full in parts.items():
            store.write(full, found[part], unit=unit)
    progress.end()
    return {}


def _quantizer(name: str, module: nn.Module, policy: Policy, backend: str | None) -> Quantizer:
    """The quantizer that the layer will have, with the same scales."""
    spec = policy.layer(name).weights
    assert spec is not None, "only layers with quantized weights are learned"
    return weight_operand(name, module, spec, backend).quantizer


def _cost(module: Any) -> float:
    """About how long a layer takes: its product with a Gram matrix, and Adam's passes over its parameters."""
    size = module.weight[0].numel()
    return float(module.weight.numel() * (size + 200))
