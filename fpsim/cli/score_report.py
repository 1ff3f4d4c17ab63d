"""The results of ``fpsim score`` as a table, as CSV and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.cli.render import Column, Table
from fpsim.cli.values import json_value
from fpsim.features.metrics import Score
from fpsim.version import __version__

_NONE = "-"
_UNITS = {"psnr": "dB"}
#: KID is small: tables give its thousandfold.
_SCALES = {"kid": (1000.0, "x 1e-3")}


def human(about: Mapping[str, Any], scores: Sequence[Score]) -> Table:
    """The figures with their numbers of images, and what they depend on as comments."""
    heads = ("metric", "value", "+-", "unit", "better", "N", "N of B", *(("floor",) if about["floor"] else ()))
    columns = tuple(Column(name=head, right=head not in ("metric", "unit", "better")) for head in heads)
    return Table(
        columns=columns, rows=[_cells(score)[: len(heads)] for score in scores], comments=_comments(about, scores)
    )


def _comments(about: Mapping[str, Any], scores: Sequence[Score]) -> tuple[str, ...]:
    lines = [f"A        {about['images']['name']}", f"B        {about['reference']['name']}"]
    if about["floor"]:
        lines.append(f"floor    {about['floor']['name']} against B")
    for key in ("network", "lpips"):
        record = about[key]
        if record is not None:
            what = f"{record['name']}, sha256 {record['sha256'][:16]}, {record['architecture']}"
            lines.append(f"{key:9}{what}, resize {record['resize']}")
    if about["limit"]:
        lines.append(f"limit    the first {about['limit']} images of each set")
    if any(score.figure == "fid-inf" for score in scores):
        lines.append(f"seed     {about['seed']}, of fid-inf's subsets")
    return (*lines, *(f"note: {note}" for note in about["notes"]))


def _cells(score: Score) -> tuple[str, ...]:
    scale, unit = _SCALES.get(score.figure, (1.0, _UNITS.get(score.figure, "")))
    return (
        score.figure,
        _number(score.value, scale),
        _number(score.error, scale),
        unit,
        score.better,
        str(score.images),
        "unknown" if score.reference_images is None else str(score.reference_images),
        _number(score.floor, scale),
    )


def _number(value: float | None, scale: float) -> str:
    if value is None:
        return _NONE
    return f"{scale * value:.4f}" if math.isfinite(value) else str(value)


def machine(scores: Sequence[Score]) -> Table:
    """One row a figure, all digits."""
    names = ("metric", "value", "error", "better", "images", "reference_images", "floor")
    rows = [["" if value is None else str(value) for value in list(_record(score).values())] for score in scores]
    return Table(columns=tuple(Column(name=name) for name in names), rows=rows)


def document(about: Mapping[str, Any], scores: Sequence[Score], *, per_image: bool = False) -> dict[str, Any]:
    """Everything, for JSON; infinities are the strings ``inf`` and ``-inf``.

    Args:
        about: what the figures depend on.
        scores: the figures.
        per_image: with the values of single images.
    """
    records = []
    for score in scores:
        record = _record(score)
        if per_image and score.per_image is not None:
            record["per_image"] = [json_value(value) for value in score.per_image]
        records.append(record)
    return {"fpsim": __version__, **about, "scores": records}


def _record(score: Score) -> dict[str, Any]:
    return {
        "metric": score.figure,
        "value": json_value(score.value),
        "error": score.error,
        "better": score.better,
        "images": score.images,
        "reference_images": score.reference_images,
        "floor": None if score.floor is None else json_value(score.floor),
    }
