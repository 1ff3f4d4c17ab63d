"""KID of the main rows of `mixed_precision.py` against the full-precision images of the same noise, set by set."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import called
from mixed_images import Lab
from mixed_rows import Row, of, ranking, rival, spread
from mixed_settings import BUDGETS, FAMILIES, Point

from fpsim.sample.npz import write_npz

#: FID needs more images than Inception has features.
FEATURES = 2048
#: Seeds of images of other noise: what the same model is from itself.
OTHER = 1000
FULL = Point(group="full", name="full precision, other noise")


def matches(found: list[Row]) -> list[tuple[Row, list[Row]]]:
    """The best measure's row at each budget, and the uniform rows that it is to beat: see :mod:`mixed_rows`."""
    family = next(name for name in ("formats", *FAMILIES) if ranking(found, name))
    best = ranking(found, family)[0][0]
    ours = {row.point.budget: row for row in of(found, family) if row.point.name == best}
    return [(ours[budget], _rivals(found, ours[budget])) for budget in BUDGETS if budget in ours]


def _rivals(found: list[Row], ours: Row) -> list[Row]:
    sized = [each for each in (rival(found, ours, integer=kind) for kind in (True, False)) if each]
    return [*sized, *(row for row in of(found, "ends") if row.bytes >= ours.bytes and row.bits < ours.bits + 0.2)]


def scored_points(found: list[Row]) -> list[Point]:
    """Full precision with other noise, the best measure and its rivals, ORM at the same budgets, uniform FP8."""
    points = [FULL]
    for ours, rivals in matches(found):
        orm = Point(group=ours.point.group, name="orm", budget=ours.point.budget)
        points += [ours.point, *(each.point for each in rivals), *(row.point for row in found if row.point == orm)]
    full = [row.point for row in of(found, "uniform") if row.point.name in ("int8", "e4m3")]
    return list(dict.fromkeys([*points, *full]))


def scores_table(lab: Lab, found: list[Row], features: Path) -> Iterator[str]:
    """A line a point, as soon as all its sets are finished, then who is nearer."""
    folder, count = lab.folder / f"scored-{lab.how.scored}", lab.how.scored
    folder.mkdir(exist_ok=True)
    metrics = ["kid", *(["fid"] if count > FEATURES else [])]
    yield f"{len(lab.how.seeds)} sets of {count} images, {features.name}; mean ± standard deviation over the sets"
    yield f"{'weights':<32}{'bits':>6}" + "".join(f"{name:>18}" for name in ("KID x 1000", "FID")[: len(metrics)])
    bits = {row.point: f"{row.bits:6.2f}" for row in found}
    done: dict[Point, dict[str, list[float]]] = {}
    for point in scored_points(found):
        if not lab.fresh and not all(_out(folder, point, seed).is_file() for seed in lab.how.seeds):
            continue
        sets = [_scored(lab, point, folder, seed, [str(features), ",".join(metrics)]) for seed in lab.how.seeds]
        done[point] = {name: [1000 ** (name == "kid") * each[name] for each in sets] for name in metrics}
        cells = "".join(f"{spread(done[point][name]):>18}" for name in metrics)
        yield f"{point.name if point is FULL else point.label:<32}{bits.get(point, ''):>6}{cells}"
    for ours, rivals in matches(found):
        for each in rivals:
            if ours.point in done and each.point in done:
                yield _nearer(ours, each, done[ours.point][metrics[-1]], done[each.point][metrics[-1]], metrics[-1])


def _nearer(ours: Row, theirs: Row, mine: list[float], other: list[float], metric: str) -> str:
    margins = [b - a for a, b in zip(mine, other, strict=True)]
    won = sum(margin > 0 for margin in margins)
    held = "nearer" if won == len(margins) else "farther" if won == 0 else "undecided"
    return (
        f"  {ours.point.label} ({ours.bits:.2f}) against uniform {theirs.point.label} ({theirs.bits:.2f}): "
        f"{metric.upper()} smaller by {spread(margins).strip()}, in {won} of {len(margins)} sets: {held}"
    )


def _scored(lab: Lab, point: Point, folder: Path, seed: int, how: list[str]) -> dict[str, float]:
    out = _out(folder, point, seed)
    if not out.is_file():
        reference, images = _set(lab, None, folder, seed), _set(lab, point, folder, seed)
        words = ["score", str(images), str(reference), "--features", how[0], "--metric", how[1]]
        print(f"scoring {out.stem}", file=sys.stderr, flush=True)
        called([*words, "--cache", str(folder / "features"), "--out", str(out)])
    found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["scores"]
    return {row["metric"]: float(row["value"]) for row in found}


def _set(lab: Lab, point: Point | None, folder: Path, seed: int) -> Path:
    path = folder / (f"full-{seed}.npz" if point is None else f"{_out(folder, point, seed).stem}.npz")
    if not path.is_file():
        noise = OTHER + seed if point is FULL else seed
        images = lab.images(None if point is FULL else point, noise, lab.how.scored)
        write_npz(path, {"arr_0": images})
    return path


def _out(folder: Path, point: Point, seed: int) -> Path:
    name = "other-noise" if point is FULL else f"{point.group}-{point.label}".replace(", ", "-").replace(" ", "-")
    return folder / f"{name.replace(':', '-')}-{seed}.json"
