"""Finished points of `mixed_precision.py` as rows, and what follows from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mixed_images import Lab, mean_psnr, psnr
from mixed_settings import BUDGETS, FAMILIES, Point, tiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A point in all seeds.

    Args:
        point: what it is.
        bits: a weight, scales counted, mean over seeds.
        bytes: packed bytes of all weights, the largest of the seeds.
        psnr: of the mean squared error over images, in dB, by seed.
        mean: mean over images of their PSNR, by seed.
        counts: layers in each format, of the first seed.
    """

    point: Point
    bits: float
    bytes: int
    psnr: tuple[float, ...]
    mean: tuple[float, ...]
    counts: dict[str, int]

    @property
    def level(self) -> float:
        """Its PSNR."""
        return statistics.mean(self.psnr)


def rows(lab: Lab) -> list[Row]:
    """Every point that is finished for all seeds, each once."""
    found: dict[Point, Row] = {}
    for point in (point for points in tiers(lab.how) for point in points):
        errors = [lab.errors(point, seed) for seed in lab.how.seeds]
        done = [each for each in errors if each is not None]
        if len(done) == len(errors):
            chosen = [lab.measures.chosen(point, seed) for seed in lab.how.seeds]
            found[point] = Row(
                point=point,
                bits=8 * statistics.mean(each.bytes for each in chosen) / lab.measures.weights,
                bytes=max(each.bytes for each in chosen),
                psnr=tuple(map(psnr, done)),
                mean=tuple(map(mean_psnr, done)),
                counts=chosen[0].counts,
            )
    return list(found.values())


def of(found: Iterable[Row], *groups: str) -> list[Row]:
    """The rows of some groups."""
    return [row for row in found if row.point.group in groups]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    error = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):5.2f} ± {error:.2f}"


def apart(ours: Row, theirs: Row) -> tuple[float, ...]:
    """How far a row is above another one, seed by seed."""
    return tuple(a - b for a, b in zip(ours.psnr, theirs.psnr, strict=True))


def rival(found: Iterable[Row], ours: Row, *, integer: bool) -> Row | None:
    """The smallest uniform point that is not smaller than a row, the better one of two of the same size."""
    uniform = [
        row for row in of(found, "uniform") if row.point.name.startswith("int") == integer and row.bytes >= ours.bytes
    ]
    return min(uniform, key=lambda row: (row.bytes, -row.level)) if uniform else None


def ranking(found: Iterable[Row], family: str) -> list[tuple[str, float]]:
    """Measures that have all budgets by their mean PSNR over them, the best first."""
    levels: dict[str, list[float]] = {}
    for row in of(found, family):
        if row.point.budget in BUDGETS:
            levels.setdefault(row.point.name, []).append(row.level)
    most = max(map(len, levels.values()), default=0)
    means = [(name, statistics.mean(each)) for name, each in levels.items() if len(each) == most]
    return sorted(means, key=lambda pair: -pair[1])


def verdicts(found: list[Row]) -> Iterator[str]:
    """What holds and what does not, in sentences."""
    for family in FAMILIES:
        ranked = ranking(found, family)
        if ranked:
            listed = ", ".join(f"{name} {level:.2f}" for name, level in ranked)
            place = [name for name, _ in ranked].index("orm") + 1
            yield f"{family}: mean PSNR over the budgets: {listed}."
            yield f"  The best measure is {ranked[0][0]}; orm is number {place} of {len(ranked)}."
            for row in sorted(of(found, family), key=lambda row: row.point.budget):
                if row.point.name == ranked[0][0] and row.point.budget in BUDGETS:
                    yield from _against_uniform(found, row)
            yield from _against_ends(found, of(found, family), ranked[0][0])
    yield from _paired(found, "sqnr", "orm")
    yield from _paired(found, "random", "orm")
    yield from _like_fp8(found)


def _against_uniform(found: list[Row], ours: Row) -> Iterator[str]:
    for integer in (True, False):
        theirs = rival(found, ours, integer=integer)
        if theirs is not None:
            yield from _against(ours, theirs)


def _against_ends(found: list[Row], family: list[Row], best: str) -> Iterator[str]:
    """The largest policy of a measure that is not larger than uniform formats with wide first and last layers."""
    for theirs in of(found, "ends"):
        smaller = [row for row in family if row.point.name == best and row.bytes <= theirs.bytes]
        if smaller:
            yield from _against(max(smaller, key=lambda row: row.bytes), theirs)


def _against(ours: Row, theirs: Row) -> Iterator[str]:
    margins = apart(ours, theirs)
    won = sum(margin > 0 for margin in margins)
    held = "lower error" if won == len(margins) else "higher error" if won == 0 else "undecided"
    sizes = f"{ours.bits:.2f} bits ({ours.level:.2f} dB) against uniform {theirs.point.label} at {theirs.bits:.2f}"
    images = spread([a - b for a, b in zip(ours.mean, theirs.mean, strict=True)]).strip()
    yield (
        f"  {ours.point.name} at {sizes} ({theirs.level:.2f} dB): {spread(margins).strip()} dB "
        f"(mean of images {images}),\n    better in {won} of {len(margins)} seeds: {held}"
    )


def _paired(found: list[Row], name: str, rival_name: str) -> Iterator[str]:
    """A measure against another one, budget by budget."""
    for family in FAMILIES:
        by = {(row.point.name, row.point.budget): row for row in of(found, family)}
        said = [
            f"{budget:g} bits {statistics.mean(apart(row, by[rival_name, budget])):+.2f}"
            for (ours, budget), row in sorted(by.items(), key=lambda item: item[0][1])
            if ours == name and (rival_name, budget) in by
        ]
        if said:
            yield f"{family}: {name} - {rival_name} in dB: {', '.join(said)}."


def _like_fp8(found: list[Row]) -> Iterator[str]:
    full = next((row for row in of(found, "uniform") if row.point.name == "e4m3"), None)
    if full is None:
        yield "Uniform FP8 is not there."
        return
    target = f"uniform FP8's {full.level:.2f} dB at {full.bits:.2f} bits"
    mixed = of(found, *FAMILIES)
    for how, enough in (
        ("", [row for row in mixed if row.level >= full.level]),
        (" in every set", [row for row in mixed if min(apart(row, full)) >= 0]),
    ):
        if not enough:
            yield f"No mixed policy reaches {target}{how}."
            continue
        least = min(enough, key=lambda row: row.bytes)
        won = sum(margin >= 0 for margin in apart(least, full))
        yield (
            f"The smallest mixed policy that reaches {target}{how}: {least.point.label} ({least.point.group}), "
            f"{least.bytes:,} bytes, {least.bits:.2f} bits, {least.level:.2f} dB, in {won} of {len(least.psnr)} seeds."
        )
