"""What an estimate says: frozen, with everything that decided it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fpsim.cost.device import Device
from fpsim.cost.energy import Energy
from fpsim.cost.formats import Use
from fpsim.cost.memory import Memory
from fpsim.cost.operations import KINDS
from fpsim.cost.runtime import Setting
from fpsim.cost.work import CLASSES, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One operation's work of the denoiser, with its time.

    Attributes:
        work: what it asks of the device.
        seconds: predicted.
        bound: its speed of light, in seconds.
        limit: ``compute``, ``memory`` or ``launch``.
    """

    work: Work
    seconds: float
    bound: float
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A class or layer of the denoiser, one step.

    Attributes:
        name: of the class or layer.
        kind: its class; the first one of a layer.
        seconds, bound: predicted, and the speed of light.
        share: of the predicted time.
        flops, bytes: computed and moved.
        kernels: launched.
        limit: what most of its time waits for.
    """

    name: str
    kind: str
    seconds: float
    bound: float
    share: float
    flops: float
    bytes: float
    kernels: int
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a batch of images costs on a device.

    Attributes:
        model: its name.
        device: the device.
        setting: runtime, attention, quantize operations and working type.
        images: of the batch.
        samples: of the denoiser: twice the images with classifier-free guidance.
        steps: of the denoiser.
        level: of ``latency_s``: ``calibrated`` or ``measured``.
        latency_s: of one step of the denoiser for the batch.
        low, high: its interval.
        bound: speed of light of a step, in seconds: no prediction.
        total_s: of the batch with text encoders, all steps and decoder; its interval has the same factors.
        mape: mean absolute error of the calibration on rows that were left out, percent.
        familiar: whether the device was in the fit.
        memory: what is in memory at its peak.
        largest: the largest batch that fits, 0 for none.
        energy: of the whole batch.
        timed: the denoiser's operations.
        uses: pairs of formats, and how the device computes each.
        notes: what to know, a sentence each.
    """

    model: str
    device: Device
    setting: Setting
    images: int
    samples: int
    steps: int
    level: str
    latency_s: float
    low: float
    high: float
    bound: float
    total_s: float
    mape: float
    familiar: bool
    memory: Memory
    largest: int
    energy: Energy
    timed: tuple[Timed, ...]
    uses: tuple[Use, ...]
    notes: tuple[str, ...]

    @property
    def peak_bytes(self) -> float:
        """Peak memory."""
        return self.memory.total

    @property
    def fits(self) -> bool:
        """Whether the batch fits into the device's memory."""
        return self.peak_bytes <= self.device.memory.value

    @property
    def images_per_s(self) -> float:
        """Images a second, everything included."""
        return self.images / self.total_s

    @property
    def steps_per_s(self) -> float:
        """Denoising steps of the batch a second."""
        return 1 / self.latency_s

    @property
    def limit(self) -> str:
        """What most of a step waits for."""
        return _limit(self.timed)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The classes of operations."""
        return self.by("class")

    def by(self, what: str) -> tuple[Row, ...]:
        """Return rows by ``class``, in the order of stacked plots, or by ``layer``, in execution order."""
        groups: dict[str, list[Timed]] = {kind: [] for kind in CLASSES} if what == "class" else {}
        for item in self.timed:
            name = item.work.kind if what == "class" else item.work.layer or "(model)"
            groups.setdefault(name, []).append(item)
        return tuple(_row(name, items, self.latency_s) for name, items in groups.items() if items)


def _row(name: str, items: list[Timed], total: float) -> Row:
    seconds = sum(item.seconds for item in items)
    kinds = [kind for kind in KINDS if any(item.work.kind == kind for item in items)]
    return Row(
        name=name,
        kind=kinds[0] if kinds else items[0].work.kind,
        seconds=seconds,
        bound=sum(item.bound for item in items),
        share=seconds / total,
        flops=sum(item.work.flops for item in items),
        bytes=sum(item.work.bytes for item in items),
        kernels=sum(item.work.kernels for item in items),
        limit=_limit(items),
    )


def _limit(items: Iterable[Timed]) -> str:
    sums: dict[str, float] = {}
    for item in items:
        sums[item.limit] = sums.get(item.limit, 0.0) + item.seconds
    return max(sums, key=lambda name: sums[name])
