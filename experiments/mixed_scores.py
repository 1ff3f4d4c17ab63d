"""KID of the main rows of `mixed_precision.py` against the full-precision images of the same noise."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from common import called
from mixed_images import Lab
from mixed_rows import Row, ranking
from mixed_settings import FAMILIES, Point

from fpsim.sample.npz import write_npz

#: FID needs more images than Inception has features.
FEATURES = 2048
#: Seed of images of other noise: what the same model is from itself.
OTHER = 1000
FULL = Point(group="full", name="full precision, other noise")


def scored_points(found: list[Row]) -> list[Point]:
    """Full precision with other noise, uniform INT4 and FP4, and the best measure and ORM at nearly their size."""
    family = next(name for name in ("formats", *FAMILIES) if ranking(found, name))
    best = ranking(found, family)[0][0]
    mixed = [(name, budget) for budget in (4.0, 4.5) for name in dict.fromkeys((best, "orm"))]
    points = [Point(group="uniform", name=name) for name in ("int4", "e2m1")]
    points += [Point(group=family, name=name, budget=budget) for name, budget in mixed]
    return [FULL, *(point for point in points if any(row.point == point for row in found))]


def scores_table(lab: Lab, found: list[Row], features: Path) -> Iterator[str]:
    """A line a point, as soon as it is finished."""
    folder, count = lab.folder / f"scored-{lab.how.scored}", lab.how.scored
    folder.mkdir(exist_ok=True)
    metrics = ["kid", *(["fid"] if count > FEATURES else [])]
    yield f"{count} images, {features.name}; in brackets the standard error"
    yield f"{'weights':<32}" + "".join(f"{name:>22}" for name in ("KID x 1000", "FID")[: len(metrics)])
    for point in scored_points(found):
        if not lab.fresh and not (folder / f"{_name(point)}.json").is_file():
            continue
        values = _scored(lab, point, folder, [str(features), ",".join(metrics)])
        cells = [f"{1000 * value:.2f} ({1000 * error:.2f})" if name == "kid" else f"{value:.2f}"
                 for name, value, error in values]  # fmt: skip
        yield f"{point.name if point is FULL else point.label:<32}" + "".join(f"{cell:>22}" for cell in cells)


def _scored(lab: Lab, point: Point, folder: Path, how: list[str]) -> list[tuple[str, float, float]]:
    out = folder / f"{_name(point)}.json"
    if not out.is_file():
        reference, images = _set(lab, None, folder), _set(lab, point, folder)
        words = ["score", str(images), str(reference), "--features", how[0], "--metric", how[1]]
        print(f"scoring {_name(point)}", file=sys.stderr, flush=True)
        called([*words, "--cache", str(folder / "features"), "--out", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))["scores"]
    return [(row["metric"], float(row["value"]), float(row.get("error") or 0)) for row in found]


def _set(lab: Lab, point: Point | None, folder: Path) -> Path:
    path = folder / ("full.npz" if point is None else f"{_name(point)}.npz")
    if not path.is_file():
        seed = OTHER if point is FULL else 0
        images = lab.images(None if point is FULL else point, seed, lab.how.scored)
        write_npz(path, {"arr_0": images})
    return path


def _name(point: Point) -> str:
    return "other-noise" if point is FULL else f"{point.group}-{point.name}-{point.budget:g}"
