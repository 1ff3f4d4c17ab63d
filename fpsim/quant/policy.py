"""Which layer gets which format: ordered glob rules, the last match wins entirely."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.label import label
from fpsim.number.names import format as resolve
from fpsim.quant import granularity as views
from fpsim.quant.blocks import check_rule, with_scales


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """How one kind of tensor is quantized: a format with its scales.

    Args:
        format: a format.
        granularity: ``tensor``, ``channel`` or ``block:N``; block formats have their own.
        scale: a rule of :mod:`fpsim.quant.scales`, or of blocks such as ``e8m0-floor``.
    """

    format: Format
    granularity: str
    scale: str

    def __post_init__(self) -> None:
        with_scales(self.format, views.parse(self.granularity), self.scale)

    @property
    def stored(self) -> Format:
        """The format that is stored: a block format where blocks have scales in a format of their own."""
        return with_scales(self.format, views.parse(self.granularity), self.scale)

    def __str__(self) -> str:
        if isinstance(self.format, BlockFormat):
            return label(self.format)
        where = "per " + self.granularity.replace(":", " of ")
        return f"{label(self.format)}, " + ("no scale" if self.scale == "none" else f"{where}, {self.scale} scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Layers whose name matches a glob, and what happens to them; None leaves weights or activations alone.

    Raises:
        FpsimError: activations per channel.
    """

    match: str
    weights: TensorSpec | None
    acts: TensorSpec | None

    def __post_init__(self) -> None:
        if self.acts is not None and self.acts.granularity == "channel":
            _refuse_channels()


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
    ) -> Policy:
        """Return one rule for every layer.

        Args:
            weights: format of the weights; None or ``none`` leaves them alone.
            acts: format of the layers' inputs; None or ``none`` leaves them alone.
            weights_granularity: ``tensor``, ``channel`` (output channels) or ``block:N`` (along input channels).
            acts_granularity: ``tensor`` or ``block:N`` (along channels).
            scale: the rule for both.

        Raises:
            FpsimError: unknown format, granularity or rule; activations per channel.
        """
        for granularity in (weights_granularity, acts_granularity):
            views.parse(granularity)  # also where its tensors are left alone
        check_rule(scale)
        if acts_granularity == "channel":
            _refuse_channels()
        ours, theirs = spec(weights, weights_granularity, scale), spec(acts, acts_granularity, scale)
        return cls((Rule(match="*", weights=ours, acts=theirs),))

    def skip(self, *globs: str) -> Policy:
        """Return the policy with further rules that leave the matching layers alone."""
        return replace(self, rules=self.rules + tuple(Rule(match=g, weights=None, acts=None) for g in globs))

    def rule(self, match: str, *, weights: TensorSpec | None, acts: TensorSpec | None) -> Policy:
        """Return the policy with one more rule at its end."""
        return replace(self, rules=(*self.rules, Rule(match=match, weights=weights, acts=acts)))

    def layer(self, name: str) -> Rule:
        """Return the rule that a layer follows (one that leaves it alone if none matches)."""
        for rule in reversed(self.rules):
            if fnmatchcase(name, rule.match):
                return rule
        return Rule(match="(no rule)", weights=None, acts=None)

    def resolve(self, names: Iterable[str]) -> Mapping[str, Rule]:
        """Return each layer's rule.

        Raises:
            FpsimError: a rule that matches no layer; names the nearest.
        """
        names = list(names)
        for rule in self.rules:
            if not any(fnmatchcase(name, rule.match) for name in names):
                near = difflib.get_close_matches(rule.match, names, 1, cutoff=0.0)
                hint = f"; the nearest layer is {near[0]!r}" if near else "; the model has no quantizable layer"
                raise FpsimError(f"rule {rule.match!r} matches no layer{hint}")
        return {name: self.layer(name) for name in names}


def spec(fmt: str | Format | None, granularity: str, scale: str) -> TensorSpec | None:
    """Return a TensorSpec, or None for None and ``none``.

    Raises:
        FpsimError: unknown format, granularity or rule; a rule of blocks (``e8m0-floor``) on another granularity.
    """
    if fmt is None or fmt == "none":
        return None
    return TensorSpec(format=resolve(fmt), granularity=granularity, scale=scale)


def _refuse_channels() -> None:
    raise FpsimError("activations per channel do not fold into a matrix product; choose tensor or block:N")
