"""What ``fpsim score`` does: read the sets, refuse unlike ones, compute, print, and check thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fpsim.cli.render import json_text, show
from fpsim.cli.score_report import document, human, machine
from fpsim.errors import FpsimError
from fpsim.features import lpips as lpips_file
from fpsim.features import network as network_file
from fpsim.features import statistics as statistics_file
from fpsim.features.comparable import check_counts, check_sizes, pairing_problem, remarks
from fpsim.features.images import ImageSet, read
from fpsim.features.lpips import Lpips
from fpsim.features.metrics import METRICS, Metric, Score, Threshold, selection, threshold
from fpsim.features.network import FeatureNetwork
from fpsim.features.scorer import Scorer
from fpsim.features.statistics import ReferenceStatistics
from fpsim.report.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is compared, with what, by which metrics."""

    images: ImageSet
    reference: ImageSet | None
    statistics: ReferenceStatistics | None
    floor: ImageSet | None
    network: FeatureNetwork | None
    lpips: Lpips | None
    metrics: tuple[Metric, ...]
    thresholds: tuple[Threshold, ...]


def execute(options: Mapping[str, Any], output: str) -> bool:
    """Score, print, and say whether every threshold is met.

    Raises:
        FpsimError: any option is wrong, or the sets do not compare.
    """
    sides = _sides(options)
    _check(sides, allow=options["allow_unequal_n"])
    scorer = Scorer(
        sides.reference,
        statistics=sides.statistics,
        network=sides.network,
        lpips=sides.lpips,
        spatial=any(metric.needs == "spatial" for metric in sides.metrics),
        cache=Path(options["cache"]) if options["cache"] else None,
        seed=options["seed"],
        allow_singular=options["allow_singular"],
    )
    scores, left = _all_scores(scorer, sides, choose=options["metrics"] is None)
    if options["save_statistics"]:
        _save(scorer, sides, Path(options["save_statistics"]))
    about = _about(sides, options, left)
    if options["out"]:
        write_atomically(Path(options["out"]), json_text(document(about, scores, per_image=True)).encode())
    show(output, lambda: human(about, scores), lambda: machine(scores), lambda: document(about, scores))
    return _all_met(sides.thresholds, scores)


def _sides(options: Mapping[str, Any]) -> Sides:
    limits = tuple(threshold(text) for text in options["thresholds"])

    def images(name: str | None) -> ImageSet | None:
        return None if name is None else read(name).first(options["limit"])

    scored, reference, floor = images(options["images"]), images(options["reference"]), images(options["floor"])
    if scored is None:
        raise FpsimError("there are no images to score; name A")
    statistics = statistics_file.read(Path(options["statistics"])) if options["statistics"] else None
    metrics = selection(
        options["metrics"],
        features=bool(options["features"]),
        lpips=bool(options["lpips"]),
        paired=reference is not None and pairing_problem(scored, reference) is None,
        images=reference is not None,
    )
    missing = {limit.figure for limit in limits} - {figure for metric in metrics for figure in metric.figures}
    if missing:
        name = next(m.name for m in METRICS.values() if set(m.figures) & missing)
        raise FpsimError(f"--require asks for {min(missing)}, which is not computed; add it: --metric …,{name}")
    network = (
        network_file.load(options["features"], options["resize"], options["device"]) if options["features"] else None
    )
    lpips = lpips_file.load(options["lpips"], options["lpips_size"]) if options["lpips"] else None
    return Sides(images=scored, reference=reference, statistics=statistics, floor=floor, network=network, lpips=lpips,
                 metrics=metrics, thresholds=limits)  # fmt: skip


def _check(sides: Sides, *, allow: bool) -> None:
    """Refuse sets that do not compare, before any feature is computed."""
    if sides.statistics is not None and sides.network is not None:
        statistics_file.check_network(sides.statistics, sides.network.record)
    for other in (sides.reference, sides.floor):
        if other is not None:
            check_sizes(sides.images, other)
    count = len(sides.images.images)
    for metric in sides.metrics:
        if metric.paired and sides.reference is not None:
            problem = pairing_problem(sides.images, sides.reference)
            if problem:
                raise FpsimError(f"{metric.name} compares image by image, from the same noise, but {problem}")
        if metric.equal_counts:
            check_counts(metric.name, count, _reference_count(sides), allow=allow)
            if sides.floor is not None:
                check_counts(f"the floor of {metric.name}", len(sides.floor.images), count, allow=allow)


def _reference_count(sides: Sides) -> int | None:
    if sides.reference is not None:
        return len(sides.reference.images)
    return None if sides.statistics is None else sides.statistics.pooled.count


def _all_scores(scorer: Scorer, sides: Sides, *, choose: bool) -> tuple[list[Score], list[str]]:
    """The scores, and what was left out: FID of too few images, where the user named no metrics."""
    scores: list[Score] = []
    left: list[str] = []
    for metric in sides.metrics:
        wanted = any(limit.figure in metric.figures for limit in sides.thresholds)
        try:
            scores += _scores(scorer, metric, sides)
        except FpsimError as error:
            if metric.name != "fid" or not choose or wanted or len(sides.metrics) == 1:
                raise
            left.append(f"fid is left out; {error}")
    return scores, left


def _scores(scorer: Scorer, metric: Metric, sides: Sides) -> list[Score]:
    figures = scorer.figures(metric, sides.images)
    floors: Sequence[float | None] = [None] * len(figures)
    if sides.floor is not None and not (metric.paired and _unlike(sides.floor, sides.reference)):
        floors = [found.value for found in scorer.figures(metric, sides.floor)]
    return [
        Score(
            figure=name,
            better=metric.better,
            value=found.value,
            error=found.error,
            images=len(sides.images.images),
            reference_images=_reference_count(sides),
            floor=floor,
            per_image=found.per_image,
        )
        for name, found, floor in zip(metric.figures, figures, floors, strict=True)
    ]


def _unlike(floor: ImageSet, reference: ImageSet | None) -> bool:
    """A floor of another seed has no image-by-image figures; one of unknown origin neither."""
    return reference is None or floor.run is None or pairing_problem(floor, reference) is not None


def _save(scorer: Scorer, sides: Sides, path: Path) -> None:
    if sides.reference is None or sides.network is None:
        raise FpsimError("--save-statistics keeps those of B's features; give B and --features FILE")
    spatial = scorer.gaussian(sides.reference, spatial=True) if scorer.spatial else None
    statistics_file.write(path, scorer.gaussian(sides.reference), spatial, sides.network.record)


def _about(sides: Sides, options: Mapping[str, Any], left: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on, as JSON values."""
    notes = list(left)
    if sides.reference is not None:
        kinds = {metric.paired for metric in sides.metrics}
        notes += remarks(sides.images, sides.reference, paired=True in kinds, unpaired=False in kinds)
    if sides.statistics is not None and sides.statistics.network is None:
        notes.append(f"{sides.statistics.name} does not say which network and how many images it is of")
    if options["allow_unequal_n"] or options["allow_singular"]:
        flags = [name for name in ("allow_unequal_n", "allow_singular") if options[name]]
        notes.append(f"--{' --'.join(flags).replace('_', '-')}: figures may be biased by the numbers of images")
    reference = sides.reference.name if sides.reference is not None else options["statistics"]
    return {
        "images": {"name": sides.images.name, "run": sides.images.run},
        "reference": {"name": reference, "run": sides.reference.run if sides.reference is not None else None},
        "floor": None if sides.floor is None else {"name": sides.floor.name, "run": sides.floor.run},
        "network": None if sides.network is None else sides.network.record.as_dict(),
        "lpips": None if sides.lpips is None else sides.lpips.record.as_dict(),
        "limit": options["limit"],
        "seed": options["seed"],
        "notes": notes,
    }


def _all_met(thresholds: Sequence[Threshold], scores: Sequence[Score]) -> bool:
    values = {score.figure: score.value for score in scores}
    missed = [limit for limit in thresholds if not limit.met(values[limit.figure])]
    for limit in missed:
        click.echo(f"missed: {limit} ({limit.figure} is {values[limit.figure]:.6g})", err=True)
    return not missed
