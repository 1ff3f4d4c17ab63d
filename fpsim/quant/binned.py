"""How a layer's input is quantized where that follows the timestep: a specification for each of its bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from numbers import Integral

from fpsim.errors import FpsimError
from fpsim.number import Format
from fpsim.quant.act_bin import ActBin
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.tensor_spec import TensorSpec

__all__ = ["MOST", "TRAINED", "ActBin", "BinnedSpec", "check_count", "plain"]

#: The timesteps of training where nobody says otherwise; diffusion models are trained on so many.
TRAINED = 1000.0
#: Bins of one input; each has quantizers of its own.
MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedSpec:
    """How a layer's input is quantized in each bin of the timestep's value.

    Args:
        bins: in rising order, without gaps or overlaps.
        even: instead of several bins, so many of equal width over the timesteps of training, all like the only one of
            ``bins``; :meth:`over` makes them.

    Raises:
        FpsimError: no bin; bins that are unsorted, overlap or leave a gap; several bins, or one with ends or a scale of
            its own, beside ``even``.
    """

    bins: tuple[ActBin, ...]
    even: int | None = None

    def __post_init__(self) -> None:
        if not self.bins:
            raise FpsimError("a list of timestep bins is empty; give at least one, or a format without bins")
        if self.even is not None:
            check_count(self.even)
            if self.bins != (ActBin(spec=self.bins[0].spec),):
                raise FpsimError("timestep bins of equal width have one format and no ends or scales; give it alone")
        for first, second in pairwise(self.bins):
            pair = f"timestep bins {first.exact()} and {second.exact()}"
            if second.start < first.start:
                raise FpsimError(f"{pair} are unsorted; give them in rising order")
            if second.start != first.stop:
                how = "overlap" if second.start < first.stop else "leave a gap"
                raise FpsimError(f"{pair} {how}; each starts where the one before it ends")

    @classmethod
    def equally(cls, count: int, spec: TensorSpec) -> BinnedSpec:
        """Return bins of equal width with the same specification; their edges follow from the model's training.

        Raises:
            FpsimError: no bin.
        """
        check_count(count)
        return cls(bins=(ActBin(spec=spec),), even=count)

    @classmethod
    def of(cls, bins: TimestepBins, specs: Sequence[TensorSpec]) -> BinnedSpec:
        """Return the specification of each bin, the first and the last one open."""
        ends = (-inf, *bins.edges, inf)
        return cls(
            bins=tuple(
                ActBin(start=start, stop=stop, spec=spec)
                for (start, stop), spec in zip(pairwise(ends), specs, strict=True)
            )
        )

    def over(self, timesteps: float) -> BinnedSpec:
        """Return the bins with their edges, where they are spread evenly over the timesteps of training."""
        if self.even is None:
            return self
        return BinnedSpec.of(TimestepBins.even(self.even, timesteps), [self.bins[0].spec] * self.even)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The specification of each bin."""
        return tuple(each.spec for each in self.bins)

    @property
    def stored(self) -> Format:
        """The stored format of all bins.

        Raises:
            FpsimError: they have several.
        """
        found = dict.fromkeys(spec.stored for spec in self.specs)
        if len(found) > 1:
            names = ", ".join(each.name for each in found)
            raise FpsimError(
                f"activations have several formats over the timestep ({names}), but only one is taken here"
            )
        return next(iter(found))

    @property
    def count(self) -> int:
        """How many bins there are."""
        return self.even or len(self.bins)

    @property
    def edges(self) -> TimestepBins:
        """Where one bin ends and the next one starts."""
        return TimestepBins(tuple(each.start for each in self.bins[1:]))

    @property
    def uniform(self) -> bool:
        """Whether all bins are quantized by the same rule, and together hold every timestep."""
        whole = self.bins[0].start == -inf and self.bins[-1].stop == inf
        return whole and len(set(self.specs)) == 1 and all(each.value is None for each in self.bins)

    def number(self, timestep: float) -> int:
        """Return the place of a timestep's bin.

        Raises:
            FpsimError: no bin holds the timestep.
        """
        if not self.bins[0].start <= timestep < self.bins[-1].stop:
            raise FpsimError(
                f"no timestep bin holds timestep {timestep:g}: they reach from {self.bins[0].start:g} to "
                f"{self.bins[-1].stop:g}; leave out the 'from' of the first or the 'to' of the last bin"
            )
        return self.edges.of(timestep)

    def __str__(self) -> str:
        if self.uniform:
            return f"{self.bins[0].spec}, in {_bins(self.count)}"
        return "; ".join(f"{each.spec} ({each})" for each in self.bins)


def plain(spec: TensorSpec | BinnedSpec | None, who: str) -> TensorSpec | None:
    """Return the specification of an input that does not follow the timestep.

    Args:
        spec: of the input.
        who: asks, for the error.

    Raises:
        FpsimError: it does follow the timestep.
    """
    if isinstance(spec, BinnedSpec):
        raise FpsimError(f"{who} does not take timestep bins of activations; drop the bins")
    return spec


def check_count(count: int) -> None:
    """Refuse less than one timestep bin, and more than any training has timesteps.

    Raises:
        FpsimError: it is so, or no whole number.
    """
    if isinstance(count, bool) or not isinstance(count, Integral):
        raise FpsimError(f"{count!r} is no number of timestep bins; give a whole one, 1 to {MOST}")
    if not 1 <= count <= MOST:
        how = "more than" if count > MOST else "less than"
        raise FpsimError(f"{how} {MOST if count > MOST else 1} timestep bins were asked for; give 1 to {MOST}")


def _bins(count: int) -> str:
    return f"{count} timestep bin{'s' * (count != 1)}"
