"""What `mixed_precision.py` compares: sizes of runs, formats to choose from, and points, the most telling first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Formats of weights that an allocation chooses from: MPQ-Diff's kind of choice, and formats.
FAMILIES = {
    "widths": ("int2", "int3", "int4", "int5", "int6", "int7", "int8"),
    "formats": ("int2", "int3", "e2m1", "int4", "e2m3", "e3m2", "int6", "e4m3", "int8"),
    "from int4": ("int4", "int5", "int6", "int7", "int8"),
}
#: Cheap ones first, so that a run that was interrupted has most of its points.
MEASURES = ("orm", "orm-error", "random", "mse", "fisher", "output-mse", "sqnr", "sensitivity")
#: So many of them take seconds; the others run the model once for every layer and format.
CHEAP = 5
#: Without the widths at which a layer collapses: a measure that sees bits alone cannot choose those.
NARROW, NARROW_MEASURES = "from int4", ("orm", "random", "output-mse")
#: Which measures draw the front beside the common budgets.
FRONT_MEASURES = ("mse", "fisher", "output-mse")
BUDGETS, FRONT_BUDGETS = (4.0, 4.5, 6.0), (3.5, 5.0, 5.5, 6.5, 7.0)
#: Inputs of every layer, for all points but those that compare inputs: 8 bits, static scales per tensor.
ACTS = "int8"
INTEGERS = ("int2", "int3", "int4", "int5", "int6", "int7", "int8")
FLOATS = ("e2m0", "e2m1", "e2m2", "e2m3", "e3m2", "e4m3")
#: Uniform formats of the size of a 4.5-bit budget: scales of blocks cost half a bit.
BLOCKED = (("int4", "block:64"), ("e2m1", "block:64"))
#: Formats that bring blocks and scales of their own.
BLOCK_FORMATS = ("nvfp4", "mxfp4", "mxfp6-e2m3")
#: The rule of thumb: first and last layer and the timestep's embedding stay at 8 bits, the others are alike.
ENDS, ENDS_FORMAT, ENDS_FORMATS = ("conv_in", "conv_out", "time_embedding.*"), "int8", ("int4", "e2m1", "int6", "e2m3")


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """Sizes of everything.

    Args:
        images, steps, batch: of each run.
        seeds: of the noise; each is a whole set of images.
        probes: images by which orthogonality, gradients and squared errors are measured.
        outputs: images by which one quantized layer's effect on the denoiser's output is measured.
        trajectories: images of the ground truth, which samples each of them for each layer and format.
        timesteps: at which the first two are measured.
        scored: images of a set for KID.
    """

    images: int = 64
    steps: int = 20
    batch: int = 16
    seeds: tuple[int, ...] = (0, 1, 2)
    probes: int = 32
    outputs: int = 8
    trajectories: int = 4
    timesteps: int = 8
    scored: int = 256
    smoke: bool = False


SMOKE = How(
    images=2, steps=2, batch=2, seeds=(0,), probes=3, outputs=1, trajectories=1, timesteps=2, scored=4, smoke=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A quantized model.

    Args:
        group: uniform, ends (uniform but for :data:`ENDS`), a family of :data:`FAMILIES`, bins or split.
        name: of the weights' format, or of the measure.
        budget: bits a weight with scales, of a family's points.
        granularity: of the weights.
        acts: format of the inputs; None leaves them alone.
        bins: of the timestep.
        split: a mode of :func:`fpsim.model.split.find_splits`.
    """

    group: str
    name: str
    budget: float = 0.0
    granularity: str = "channel"
    acts: str | None = ACTS
    bins: int = 1
    split: str = "none"

    @property
    def mixed(self) -> bool:
        """Whether layers have formats of their own."""
        return self.group in FAMILIES

    @property
    def label(self) -> str:
        """Its name in tables."""
        if self.mixed:
            return f"{self.name}, {self.budget:g} bits"
        if self.group == "ends":
            return f"{self.name}, ends {ENDS_FORMAT}"
        return f"{self.name} {self.granularity}" if self.granularity.startswith("block") else self.name


def tiers(how: How) -> Iterator[list[Point]]:
    """Groups of points that belong together: a group is finished for all seeds before the next one begins."""
    if how.smoke:
        yield [Point(group="uniform", name=name) for name in ("int4", "e4m3")]
        yield [_mixed(NARROW, name, 4.5) for name in ("orm", "random")]
        yield [*bins(("int6",), (1, 2)), *splits(("int4",))]
        return
    first = [Point(group="uniform", name=name) for name in ("int4", "e2m1", "int8", "e4m3", "int6", "e2m3")]
    yield first + [Point(group="uniform", name=name, granularity=where) for name, where in BLOCKED]
    for names in (MEASURES[:CHEAP], MEASURES[CHEAP:]):
        yield [_mixed("formats", name, budget) for name in names for budget in BUDGETS]
    yield [*bins(("int6", "int8", "e4m3"), (1, 8)), *splits(("int4", "int3"))]
    yield [Point(group="uniform", name=name) for name in ("int3", "int5", "e2m0", "e2m2", "e3m2", "int2", "int7")]
    yield [Point(group="uniform", name=name, granularity="tensor") for name in BLOCK_FORMATS]
    yield [Point(group="ends", name=name) for name in ENDS_FORMATS]
    yield [_mixed(NARROW, name, budget) for name in NARROW_MEASURES for budget in BUDGETS[1:]]
    yield [_mixed("formats", name, 3.0) for name in MEASURES]
    yield [_mixed("widths", name, budget) for name in MEASURES for budget in (*BUDGETS, 3.0)]
    yield [_mixed("formats", name, budget) for name in FRONT_MEASURES for budget in FRONT_BUDGETS]


def bins(formats: tuple[str, ...], counts: tuple[int, ...]) -> list[Point]:
    """Inputs alone, in one format, with scales for all timesteps or for each bin."""
    return [Point(group="bins", name="none", acts=name, bins=count) for name in formats for count in counts]


def splits(formats: tuple[str, ...]) -> list[Point]:
    """Uniform points with one and with two scales where a U-Net concatenates."""
    return [Point(group="split", name=name, split=mode) for name in formats for mode in ("none", "shortcut")]


def _mixed(family: str, name: str, budget: float) -> Point:
    return Point(group=family, name=name, budget=budget)


def identity(how: How) -> dict[str, Any]:
    """What decides every number, apart from the model and the code."""
    return {
        "images": how.images,
        "steps": how.steps,
        "batch": how.batch,
        "probes": [how.probes, how.outputs, how.trajectories, how.timesteps],
        "formats": {name: list(formats) for name, formats in FAMILIES.items()},
    }
