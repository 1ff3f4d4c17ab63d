"""The bins of the timestep in which the samples of a denoiser's current call lie."""

from __future__ import annotations

from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.model.timestep import Clock
from fpsim.quant.binned import BinnedSpec


class CurrentBins:
    """Tells for a tensor inside a denoiser which bin each of its samples lies in.

    Args:
        spec: the bins.
        clock: of the denoiser.
        name: of the tensor, for errors.
    """

    def __init__(self, spec: BinnedSpec, clock: Clock, name: str) -> None:
        self.spec, self.clock, self.name = spec, clock, name
        self._known = dict[float, int]()

    def __call__(self, x: Tensor) -> list[int]:
        """Return the number of the bin of all samples of ``x``, or one number a sample where they differ.

        Raises:
            FpsimError: the denoiser is not running; its samples lie in different bins and ``x`` has others; no bin
                holds a timestep.
        """
        numbers = [self._number(timestep) for timestep in self.clock.timesteps]
        if not numbers:
            raise FpsimError(
                f"{self.name} has timestep bins, but runs outside a call of the model; call the whole model"
            )
        if len(set(numbers)) == 1:
            return numbers[:1]
        if len(numbers) != len(x):
            raise FpsimError(
                f"{self.name} has {len(x)} samples, but the call has {len(numbers)} timesteps in different timestep "
                "bins; call the model with one timestep a sample"
            )
        return numbers

    def _number(self, timestep: float) -> int:
        number = self._known.get(timestep)
        if number is None:
            number = self._known[timestep] = self.spec.number(timestep)
        return number
