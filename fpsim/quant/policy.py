"""Which layer gets which format: ordered glob rules, the last match wins entirely."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from fpsim.errors import FpsimError
from fpsim.number import Format
from fpsim.quant import granularity as views
from fpsim.quant.binned import BinnedSpec, check_count
from fpsim.quant.blocks import check_rule
from fpsim.quant.tensor_spec import TensorSpec, refuse_channels, spec

__all__ = ["BinnedSpec", "Policy", "Rule", "TensorSpec", "spec"]

#: The end of a rule for half of a split layer, as :func:`glob.escape` writes it.
_HALF = re.compile(r"\[\[\](\d+:|:\d+)\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Layers whose name matches a glob, and what happens to them; None leaves weights or activations alone.

    Raises:
        FpsimError: activations per channel.
    """

    match: str
    weights: TensorSpec | None
    acts: TensorSpec | BinnedSpec | None

    def __post_init__(self) -> None:
        if isinstance(self.acts, TensorSpec) and self.acts.granularity == "channel":
            refuse_channels()


@dataclass(frozen=True, slots=True)
class Policy:
    """Ordered rules; each layer follows the last one that matches its name.

    >>> p = Policy.uniform(weights="e2m1", acts="e4m3").skip("conv_in")
    >>> p.layer("conv_in").weights is None, p.layer("mid").weights.format.name
    (True, 'e2m1')
    """

    rules: tuple[Rule, ...] = field(default=())

    @classmethod
    def uniform(
        cls,
        weights: str | Format | None = None,
        acts: str | Format | None = None,
        *,
        weights_granularity: str = "channel",
        acts_granularity: str = "tensor",
        scale: str = "mse",
        timestep_bins: int = 1,
    ) -> Policy:
        """Return one rule for every layer.

        Args:
            weights: format of the weights; None or ``none`` leaves them alone.
            acts: format of the layers' inputs; None or ``none`` leaves them alone.
            weights_granularity: ``tensor``, ``channel`` (output channels) or ``block:N`` (along input channels).
            acts_granularity: ``tensor`` or ``block:N`` (along channels).
            scale: the rule for both.
            timestep_bins: bins of the timestep, of equal width, that have activation scales of their own.

        Raises:
            FpsimError: unknown format, granularity or rule; activations per channel; no bin.
        """
        for granularity in (weights_granularity, acts_granularity):
            views.parse(granularity)  # also where its tensors are left alone
        check_rule(scale)
        if acts_granularity == "channel":
            refuse_channels()
        ours, theirs = spec(weights, weights_granularity, scale), spec(acts, acts_granularity, scale)
        check_count(timestep_bins)
        binned = theirs if theirs is None or timestep_bins == 1 else BinnedSpec.equally(timestep_bins, theirs)
        return cls((Rule(match="*", weights=ours, acts=binned),))

    def skip(self, *globs: str) -> Policy:
        """Return the policy with further rules that leave the matching layers alone."""
        return replace(self, rules=self.rules + tuple(Rule(match=g, weights=None, acts=None) for g in globs))

    def rule(self, match: str, *, weights: TensorSpec | None, acts: TensorSpec | BinnedSpec | None) -> Policy:
        """Return the policy with one more rule at its end."""
        return replace(self, rules=(*self.rules, Rule(match=match, weights=weights, acts=acts)))

    def over(self, timesteps: float) -> Policy:
        """Return the policy with the edges of its timestep bins of equal width.

        Args:
            timesteps: of training, over which such bins are spread.
        """
        rules = (
            replace(rule, acts=rule.acts.over(timesteps)) if isinstance(rule.acts, BinnedSpec) else rule
            for rule in self.rules
        )
        return replace(self, rules=tuple(rules))

    @property
    def binned(self) -> bool:
        """Whether any activations follow the timestep."""
        return any(isinstance(rule.acts, BinnedSpec) for rule in self.rules)

    def layer(self, name: str) -> Rule:
        """Return the rule that a layer follows (one that leaves it alone if none matches)."""
        for rule in reversed(self.rules):
            if fnmatchcase(name, rule.match):
                return rule
        return Rule(match="(no rule)", weights=None, acts=None)

    def half(self, name: str, half: str) -> Rule:
        """Return the rule that a half of a split layer follows: the last one that matches the layer or the half.

        Args:
            name: of the layer.
            half: of :func:`fpsim.model.split_names.halves`, such as ``up.conv_shortcut[:64]``.

        >>> p = Policy.uniform("e2m1").rule("up[[]:64]", weights=None, acts=None)
        >>> p.half("up", "up[:64]").weights, p.half("up", "up[64:]").weights.format.name
        (None, 'e2m1')
        """
        return next((rule for rule in reversed(self.rules) if _matches(rule, name, half)), self.layer(name))

    def resolve(self, names: Iterable[str], halves: Iterable[str] = ()) -> Mapping[str, Rule]:
        """Return each layer's rule.

        Args:
            names: of the layers.
            halves: names of split layers' halves, which rules may match as well.

        Raises:
            FpsimError: a rule that matches no layer; names the nearest.
        """
        names, halves = list(names), list(halves)
        for rule in self.rules:
            if not _matches(rule, *names, *halves):
                near = difflib.get_close_matches(rule.match, names, 1, cutoff=0.0)
                hint = f"; the nearest layer is {near[0]!r}" if near else "; the model has no quantizable layer"
                if _HALF.search(rule.match):
                    hint = "; it names half of a split layer: split the same layers (--split) as the search did"
                raise FpsimError(f"rule {rule.match!r} matches no layer{hint}")
        return {name: self.layer(name) for name in names}


def _matches(rule: Rule, *names: str) -> bool:
    return any(fnmatchcase(name, rule.match) for name in names)
