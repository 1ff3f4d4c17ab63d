"""Published measurements: rows of a CSV file, each a time of a model on a device, and what the model needs for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fpsim.cost.device_file import find
from fpsim.cost.latency import Ideal
from fpsim.cost.runtime import Setting
from fpsim.cost.workload import grouped, load, parts
from fpsim.errors import FpsimError
from fpsim.quant.policy import Policy

COLUMNS = (
    *("id", "device", "model", "dtype", "weights", "acts", "images", "cfg", "attention", "runtime", "stack", "what"),
    *("steps", "seconds", "source", "note"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A measurement.

    Attributes:
        id: of the row.
        device: id of a device.
        model: name of a model.
        weights, acts: formats of the denoiser's layers, "" for full precision.
        images: of the batch.
        cfg: whether guidance doubled the samples.
        setting: runtime, attention and working type.
        whole: whether text encoders and decoder are in the time, besides the denoiser.
        steps: of the denoiser.
        seconds: measured, of all steps of the batch.
        source: where it was published.
    """

    id: str
    device: str
    model: str
    weights: str
    acts: str
    images: int
    cfg: bool
    setting: Setting
    whole: bool
    steps: int
    seconds: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An observation with the ideal times of its work; ``computes`` are the compute types of its layers."""

    row: Observation
    times: Ideal
    computes: tuple[str, ...]


def read(text: str, file: str) -> tuple[Observation, ...]:
    """Return the rows of a CSV text.

    Args:
        text: with the header :data:`COLUMNS`.
        file: what errors call it.

    Raises:
        FpsimError: another header, or a value that cannot be read; names the line.
    """
    lines = csv.reader(io.StringIO(text))
    if tuple(next(lines, ())) != COLUMNS:
        raise FpsimError(f"{file}: its header is not {','.join(COLUMNS)}; add the missing columns")
    rows = []
    for number, line in enumerate(lines, 2):
        try:
            rows.append(_row(dict(zip(COLUMNS, line, strict=True))))
        except (ValueError, KeyError) as error:
            raise FpsimError(f"{file}:{number}: {error}") from None
    return tuple(rows)


def prepare(rows: Iterable[Observation], files: Sequence[str] = ()) -> tuple[Prepared, ...]:
    """Return observations with their work, tracing each model once.

    Raises:
        FpsimError: an unknown device, model or format.
    """
    return tuple(_prepared(row, files) for row in rows)


def _prepared(row: Observation, files: Sequence[str]) -> Prepared:
    policy = Policy.uniform(weights=row.weights or None, acts=row.acts or None) if row.weights or row.acts else None
    device = find(row.device, files)
    found = parts(load(row.model), device, row.setting, policy=policy, images=row.images, cfg=row.cfg, steps=row.steps)
    kept = found if row.whole else found[:1]
    computes = {work.compute for part in kept for work in part.works if work.compute}
    return Prepared(row=row, times=grouped(kept), computes=tuple(sorted(computes)))


def _row(cells: dict[str, str]) -> Observation:
    if cells["cfg"] not in ("yes", "no") or cells["what"] not in ("denoiser", "pipeline"):
        raise ValueError("cfg is yes or no, what is denoiser or pipeline")
    setting = Setting(
        runtime=cells["runtime"], attention=cells["attention"], dtype=cells["dtype"], stack=cells["stack"] or "torch-2"
    )
    return Observation(
        **{name: cells[name] for name in ("id", "device", "model", "weights", "acts", "source")},
        images=int(cells["images"]),
        cfg=cells["cfg"] == "yes",
        setting=setting,
        whole=cells["what"] == "pipeline",
        steps=int(cells["steps"]),
        seconds=float(cells["seconds"]),
    )
