"""What an importance measure is asked to do."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.methods.allocation_data import Probes
from fpsim.methods.importance.store import NumberStore
from fpsim.model.attach import Handle, quantize_
from fpsim.model.load import LoadedModel
from fpsim.model.sample_bins import needs_sample, sample_in
from fpsim.model.samples import LayerSample
from fpsim.model.split_names import halves
from fpsim.quant import policy_toml
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import Policy, Rule, TensorSpec
from fpsim.sample.spec import SampleSpec

Specs = tuple[TensorSpec | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportanceJob:
    """One measurement of a model's layers.

    Args:
        model: the loaded model, not quantized; it is left as it was.
        layers: the modules to measure, by name, in the order in which they run.
        weights: formats of the weights; None stands for full precision.
        acts: formats of the inputs; none where they are not chosen.
        probes: recorded calls of the denoiser at evenly spread steps.
        bins: of the timestep, for activations.
        samples: what entered each layer in the probes, for static scales.
        spec: how the model is sampled.
        split: split indices by layer.
        settings: the measure's own.
        store: of finished numbers.
        progress: told (what, finished, total).
        backend: who rounds; None for the default.
    """

    model: LoadedModel
    layers: Mapping[str, Any]
    weights: Specs
    acts: Specs
    probes: Probes
    bins: TimestepBins
    samples: Mapping[str, LayerSample]
    spec: SampleSpec
    split: Mapping[str, int]
    settings: Mapping[str, Any]
    store: NumberStore
    progress: Callable[[str, int, int], None]
    backend: str | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """Which part of the sampler's calls lies in each bin, ``[bins]``.

        Raises:
            FpsimError: a bin without any.
        """
        found = np.array(self.bins.shares(self.probes.timesteps))
        empty = np.flatnonzero(found == 0)
        if len(empty):
            raise FpsimError(
                f"timestep bin {self.bins.label(int(empty[0]))} holds none of the {len(self.probes.timesteps)} probed "
                "timesteps; probe more of them or take fewer bins"
            )
        return found

    def by_bin(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over calls ``[calls, …]`` as sums of each bin ``[bins, …]``."""
        found = np.zeros((self.bins.count, *energies.shape[1:]))
        np.add.at(found, [self.bins.of(t) for t in self.probes.call_timesteps], energies)
        return found

    def over_bins(self, spec: TensorSpec) -> TensorSpec | BinnedSpec:
        """The same format in each timestep bin, with scales of its own."""
        return spec if self.bins.count == 1 else BinnedSpec.of(self.bins, [spec] * self.bins.count)

    @contextmanager
    def quantized(
        self,
        name: str,
        *,
        weights: TensorSpec | None = None,
        acts: TensorSpec | BinnedSpec | None = None,
        only: int | None = None,
    ) -> Iterator[Handle]:
        """Quantize one layer of the model inside a ``with`` block.

        Args:
            name: of the layer.
            weights, acts: formats; None leaves the tensor alone.
            only: number of the timestep bin whose samples give ``acts`` its static scales; None for all.

        Raises:
            FpsimError: the layer cannot take the format.
        """
        policy = Policy((Rule(match=glob.escape(name), weights=weights, acts=acts),))
        split = {name: self.split[name]} if name in self.split else {}
        try:
            samples = self._samples(name, acts, only) if acts else None
            handle = quantize_(self.model.denoiser, policy, samples, backend=self.backend, split=split)
        except FpsimError as error:
            raise FpsimError(
                f"layer {name!r} cannot take {weights or acts} ({error}); --skip {name!r} or drop the format"
            ) from error
        with handle:
            yield handle

    def _samples(self, name: str, spec: TensorSpec | BinnedSpec, only: int | None) -> Mapping[str, LayerSample]:
        """What entered a layer and its halves, at the timesteps of a bin if there is one."""
        if only is None or isinstance(spec, BinnedSpec) or self.bins.count == 1 or not needs_sample(spec):
            return self.samples
        whole = BinnedSpec.of(self.bins, [spec] * self.bins.count)
        names = (name, *(halves(name, self.split[name]) if name in self.split else ()))
        return {each: sample_in(self.samples[each], whole, only, each) for each in names}


def identity(spec: TensorSpec | None, bins: TimestepBins | None = None) -> str:
    """Return a key of a format with its scales, and of its timestep bins, that differs where any fact of them does."""
    text = policy_toml.dumps(Policy((Rule(match="*", weights=spec, acts=None),))) + str(bins and bins.edges)
    return f"{spec or 'full precision'} {hashlib.sha256(text.encode()).hexdigest()[:12]}"
