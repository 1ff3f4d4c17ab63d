"""The step sizes of a unit's activations while they learn, in each bin of the timestep on the bin's own samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fpsim.methods.q_diffusion_places import ActSpec, Place, ScalesOf
from fpsim.model.current_bins import CurrentBins
from fpsim.model.timestep import Clock
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.reconstruction.batch import UnitData
from fpsim.quant.reconstruction.learned_step import BinnedStep, LearnedStep
from fpsim.quant.scales import Scales


class UnitSteps:
    """The step sizes of some places.

    Args:
        places: by name.
        start: the scales that learning begins with.
        clock: of the model, where any of the places follows the timestep.

    Attributes:
        operands: what quantizes each place.
    """

    def __init__(self, places: Mapping[str, Place], start: ScalesOf, clock: Clock | None) -> None:
        self.places, self.clock = places, clock
        self.steps = {
            name: tuple(LearnedStep(fmt, each) for fmt, each in zip(place.formats, start[name], strict=True))
            for name, place in places.items()
        }
        self.operands = {name: self._operand(name, place.spec) for name, place in places.items()}

    def _operand(self, name: str, spec: ActSpec) -> LearnedStep | BinnedStep:
        steps = self.steps[name]
        if self.clock is None or not isinstance(spec, BinnedSpec):
            return steps[0]
        return BinnedStep(steps, CurrentBins(spec, self.clock, name))

    @property
    def learned(self) -> list[LearnedStep]:
        """The step sizes that learn, of all bins."""
        return [step for name, place in self.places.items() if place.learned for step in self.steps[name]]

    def own(self, data: UnitData) -> dict[LearnedStep, Tensor]:
        """Return the indices of the samples that lie in the bin of each step size."""
        found, times = dict[LearnedStep, Tensor](), () if data.timesteps is None else data.timesteps.tolist()
        for name, place in self.places.items():
            if isinstance(place.spec, BinnedSpec):
                numbers = torch.tensor([place.spec.number(timestep) for timestep in times])
                found |= {step: torch.nonzero(numbers == i)[:, 0] for i, step in enumerate(self.steps[name])}
        return found

    def begin(self, part: UnitData) -> None:
        """Let the timesteps of some samples be those of the model's call: the unit runs outside of one."""
        if self.clock is not None:
            self.clock.order = part.timesteps

    def scales(self) -> dict[str, tuple[Scales, ...]]:
        """Return the step sizes of each place as they are now."""
        return {name: _scales(steps) for name, steps in self.steps.items()}


def _scales(steps: Sequence[LearnedStep]) -> tuple[Scales, ...]:
    return tuple(step.scales() for step in steps)
