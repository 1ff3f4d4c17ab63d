"""What an allocation of formats is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fpsim.errors import FpsimError
from fpsim.methods.allocation_data import IMAGES, TIMESTEPS
from fpsim.model.load import LoadedModel
from fpsim.quant.policy import TensorSpec
from fpsim.sample.spec import SampleSpec
from fpsim.version import __version__

KINDS = ("bpw", "bytes", "bpa", "bops", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A budget as a user gives it.

    Args:
        kind: ``bpw`` (bits a weight, scales counted), ``bytes`` (of all allocated weights, packed), ``bpa`` (bits an
            activation), ``bops`` (bit-operations of a sample and call of the denoiser) or ``latency`` (seconds of a
            call of the denoiser).
        value: in that unit.
        text: what the user wrote.
        device: whose latency.
    """

    kind: str
    value: float
    text: str
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationRequest:
    """A whole allocation, apart from its model.

    Args:
        weights: candidate formats of the weights by what the user called them; None keeps float32.
        acts: candidate formats of the layers' inputs: none leaves them alone, one is for all layers, several are
            chosen from.
        limits: the budgets, all of which hold.
        measure: a name of :data:`fpsim.methods.importance.registry.MEASURES`.
        settings: options of the measure that the user gave.
        spec: how the model is sampled.
        images, timesteps: of the probes.
        bins: timestep bins of activations.
        split: a mode of :func:`fpsim.model.split.find_splits`.
        skip: globs of layers that are left alone.
        only: formats of ``weights`` by glob: layers that match have one of them; of several globs all hold.
        only_acts: the same of inputs.
        share: globs; layers of one parent module that match one share their formats.
        front: points of the Pareto front of the first budget; 0 for none.
        gap, seconds: of the solver.
        dtype, device: where and in what the model runs.
        backend: who rounds.

    Raises:
        FpsimError: no format, no budget, two of the same kind, or counts below 1.
    """

    weights: Mapping[str, TensorSpec | None]
    acts: Mapping[str, TensorSpec | None]
    limits: tuple[Limit, ...]
    measure: str
    spec: SampleSpec
    settings: Mapping[str, Any] = field(default_factory=dict)
    images: int = IMAGES
    timesteps: int = TIMESTEPS
    bins: int = 1
    split: str = "none"
    skip: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only_acts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    share: tuple[str, ...] = ()
    front: int = 0
    gap: float = 1e-4
    seconds: float = 30.0
    dtype: str = "float32"
    device: str = "cpu"
    backend: str | None = None

    def __post_init__(self) -> None:
        if not self.weights:
            raise FpsimError("there is no format to choose from; give --formats, such as int2,int4,int8")
        if not self.limits:
            raise FpsimError("there is no budget; give --budget, such as 4.5bpw or 12MB")
        kinds = [(limit.kind, limit.device) for limit in self.limits]
        twice = next((limit for limit in self.limits if kinds.count((limit.kind, limit.device)) > 1), None)
        if twice is not None:
            raise FpsimError(f"--budget {twice.text!r}: another budget limits the same; give one of them")
        if self.bins > 1 and len(self.acts) > 1 and None in self.acts.values():
            raise FpsimError("'none' cannot be one of several formats over the timestep; leave it out of --acts")
        for option, only, given in (("formats", self.only, self.weights), ("acts", self.only_acts, self.acts)):
            _check_only(option, only, given)
        for name, value in (("--calibration-images", self.images), ("--timesteps", self.timesteps)):
            if value < 1:
                raise FpsimError(f"{name} {value}: at least 1 is needed")
        if self.front and self.front < 2:
            raise FpsimError(f"--front {self.front}: a front has at least 2 points")

    @property
    def chosen_acts(self) -> tuple[TensorSpec | None, ...]:
        """The activation formats, if there is a choice."""
        return tuple(self.acts.values()) if len(self.acts) > 1 else ()

    def measured(self, model: LoadedModel) -> dict[str, Any]:
        """Return what the measured numbers depend on, budgets and formats aside, as JSON values."""
        return {
            "fpsim": __version__,
            "model": {"name": model.name, "sha256": model.sha256, "kind": model.kind},
            "sampling": asdict(self.spec),
            "probes": {"images": self.images, "timesteps": self.timesteps},
            "split": self.split,
            "dtype": self.dtype,
            "device": self.device,
            "backend": self.backend,
        }


def _check_only(option: str, only: Mapping[str, tuple[str, ...]], given: Mapping[str, Any]) -> None:
    """Refuse to restrict layers to what there is no choice of."""
    own = "--only" if option == "formats" else "--only-acts"
    if only and option == "acts" and len(given) < 2:
        raise FpsimError(f"{own} {next(iter(only))!r}: inputs' formats are not chosen; give several by --acts")
    for glob, names in only.items():
        unknown = next((name for name in names if name not in given), None)
        if unknown is not None:
            raise FpsimError(f"{own} {glob!r}: {unknown!r} is not among --{option} {','.join(given)}; add it there")
