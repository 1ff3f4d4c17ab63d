"""What becomes of a model's layers: their rules, splits and samples, and the operands that follow from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from fpsim.model.build import check_whole_blocks, describe_acts
from fpsim.model.coverage import Coverage, cover
from fpsim.model.learned import note as note_learned
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import LayerSample
from fpsim.model.split import note as note_splits
from fpsim.model.split_build import act_specs, activations, extra_bits, specs_of, weight
from fpsim.model.timestep import Clock
from fpsim.quant.policy import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """What a policy says of a model's layers.

    Args:
        layers: those that can be quantized.
        rules: of each layer; of a split one the rule of its first half.
        halves: the rules of both halves of each split layer that is quantized.
        splits: split indices of the same layers.
        backend: who rounds.
    """

    layers: Mapping[str, nn.Module]
    rules: Mapping[str, Rule]
    halves: Mapping[str, tuple[Rule, Rule]]
    splits: Mapping[str, int]
    backend: str | None

    def check_whole_blocks(self) -> None:
        """Refuse blocks that do not divide a layer's input channels.

        Raises:
            FpsimError: there is such a layer.
        """
        for name, rule in self.rules.items():
            check_whole_blocks(name, self.layers[name], rule)

    def weights(self) -> dict[str, WeightOperand]:
        """Return what quantizes each layer's weight.

        Raises:
            FpsimError: as :func:`fpsim.model.split_build.weight`.
        """
        return {
            name: weight(name, self.layers[name], specs_of(self._each(name), acts=False), self.backend, self.splits)
            for name, rule in self.rules.items()
            if rule.weights
        }

    def acts(self, samples: Mapping[str, LayerSample] | None, clock: Clock | None) -> dict[str, ActivationOperand]:
        """Return what quantizes each layer's input.

        Args:
            samples: for static scales; None makes them dynamic.
            clock: of the model, for inputs that follow the timestep.

        Raises:
            FpsimError: as :func:`fpsim.model.split_build.activations`.
        """
        return {
            name: activations(
                name, self.layers[name], act_specs(self._each(name)), samples, self.backend, self.splits, clock
            )
            for name, rule in self.rules.items()
            if rule.acts
        }

    def coverage(self, model: nn.Module, learned: Iterable[str], *, static: bool) -> Coverage:
        """Return what is quantized and what is left alone.

        Args:
            model: that has the layers.
            learned: layers whose rounding was learned.
            static: whether inputs have static scales.
        """
        said = {name: _said(rule, static=static)[1] or "" for name, rule in self.rules.items() if rule.acts}
        seconds = {name: _said(second, static=static) for name, (_, second) in self.halves.items()}
        bits = extra_bits(self.splits, self.layers, self.halves)
        return note_learned(note_splits(cover(model, self.rules, said), self.splits, bits, seconds), learned)

    def _each(self, name: str) -> tuple[Rule, ...]:
        return self.halves.get(name, (self.rules[name],))


def _said(rule: Rule, *, static: bool) -> tuple[str | None, str | None]:
    """What becomes of a weight and an input, in words."""
    acts = describe_acts(rule.acts, static=static) if rule.acts else None
    return str(rule.weights) if rule.weights else None, acts
