"""The metrics of ``fpsim score`` by name, and what each needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric as the user names it.

    Attributes:
        name: such as ``fid``.
        figures: the figures that it gives, such as ``precision`` and ``recall``.
        better: ``lower`` or ``higher``.
        paired: whether image i is compared with reference i, so that both must come from the same noise.
        needs: ``""``, ``features``, ``spatial`` or ``lpips``: what the user must name a file for.
        equal_counts: whether the figure depends on the number of images, so that only equal numbers compare.
    """

    name: str
    figures: tuple[str, ...]
    better: str
    paired: bool = False
    needs: str = ""
    equal_counts: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="psnr", figures=("psnr",), better="higher", paired=True),
        Metric(name="ssim", figures=("ssim",), better="higher", paired=True),
        Metric(name="lpips", figures=("lpips",), better="lower", paired=True, needs="lpips"),
        Metric(name="fid", figures=("fid",), better="lower", needs="features", equal_counts=True),
        Metric(name="sfid", figures=("sfid",), better="lower", needs="spatial", equal_counts=True),
        Metric(name="kid", figures=("kid",), better="lower", needs="features"),
        Metric(name="fid-inf", figures=("fid-inf",), better="lower", needs="features"),
        Metric(name="pr", figures=("precision", "recall"), better="higher", needs="features", equal_counts=True),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure.

    Attributes:
        figure: such as ``fid`` or ``recall``.
        better: ``lower`` or ``higher``.
        value: the figure; PSNR is infinite where all images are identical.
        error: its standard error, where the metric has one.
        images: how many images were scored.
        reference_images: how many the reference has; None if its statistics do not say.
        floor: the same figure of another set of the reference's own model: what no change costs.
        per_image: the values of the single images of a paired metric.
    """

    figure: str
    better: str
    value: float
    error: float | None
    images: int
    reference_images: int | None
    floor: float | None = None
    per_image: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A figure that has to be reached, such as ``fid<=5``."""

    figure: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.figure}{self.sign}{self.limit:g}"

    def met(self, value: float) -> bool:
        """Whether a value reaches it; NaN never does."""
        return value <= self.limit if self.sign == "<=" else value >= self.limit


def threshold(text: str) -> Threshold:
    """Read a threshold.

    Args:
        text: a figure, ``<=`` or ``>=``, and a number.

    Raises:
        FpsimError: another form, or no such figure.

    >>> threshold("fid<=5").met(5.0)
    True
    """
    sign = "<=" if "<=" in text else ">="
    figure, found, number = (part.strip() for part in text.partition(sign))
    try:
        limit = float(number) if found else math.nan
    except ValueError:
        limit = math.nan
    known = [figure for metric in METRICS.values() for figure in metric.figures]
    if math.isnan(limit) or figure not in known:
        raise FpsimError(
            f"{text!r} is no threshold; write FIGURE<=NUMBER or FIGURE>=NUMBER with one of {', '.join(known)}"
        )
    return Threshold(figure=figure, sign=sign, limit=limit)


def selection(text: str | None, *, features: bool, lpips: bool, paired: bool, images: bool) -> tuple[Metric, ...]:
    """The metrics to compute.

    Args:
        text: names with commas between; None for all that can be had, but for the slow ``sfid`` and ``fid-inf``.
        features: whether a feature network is named.
        lpips: whether an LPIPS file is named.
        paired: whether the sets can be compared image by image.
        images: whether the reference is given as images, and not as statistics alone.

    Raises:
        FpsimError: no such metric, or one that needs what is not given.
    """
    given = {"": True, "features": features, "spatial": features, "lpips": lpips}

    def possible(metric: Metric) -> bool:
        return given[metric.needs] and (images or metric.name == "fid") and (paired or not metric.paired)

    if text is None:
        usual = [metric for metric in METRICS.values() if metric.name not in ("sfid", "fid-inf") and possible(metric)]
        if not usual:
            raise FpsimError("these sets have no metric without a feature network; name one: --features FILE")
        return tuple(usual)
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise FpsimError(f"there is no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    for name in names:
        needs = METRICS[name].needs
        if not given[needs]:
            option = "--lpips" if needs == "lpips" else "--features"
            raise FpsimError(f"metric {name} needs a network; name its file: {option} FILE")
        if not images and name not in ("fid", "sfid", "fid-inf"):
            raise FpsimError(f"metric {name} needs the reference's images, not its statistics; give B")
    return tuple(METRICS[name] for name in names)
