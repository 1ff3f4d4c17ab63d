"""What ``fpsim compare`` shows, as data: one row a format, and one result a format and tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.cli.compare_data import Tensor
from fpsim.cli.headline import label as short_label
from fpsim.cli.options import Resolved
from fpsim.cli.values import exact_text, json_value, working_width
from fpsim.measure.tensor import mse, sqnr_db, sqnr_of_energies
from fpsim.number import BlockFormat
from fpsim.number.capability import Capability, capability
from fpsim.number.label import label
from fpsim.quant.compare import fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A tensor in a format at the best scale; ``clips_at`` is the scale times the largest value."""

    tensor: str
    values: int
    scale: float | None
    zero_point: float | None
    clips_at: float | None
    sqnr_db: float
    saturated: int
    zeroed: int
    signal: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A format, what it can represent, and what it made of each tensor."""

    resolved: Resolved
    able: Capability
    results: tuple[Result, ...]

    @property
    def sqnr_db(self) -> float:
        """Of all tensors together."""
        if len(self.results) == 1:
            return self.results[0].sqnr_db
        return sqnr_of_energies(sum(r.signal for r in self.results), sum(r.noise for r in self.results))

    def part(self, count: str) -> float:
        """Return the part of all values that are ``saturated`` or ``zeroed``."""
        return float(sum(getattr(r, count) for r in self.results) / sum(r.values for r in self.results))


def rows(formats: Sequence[Resolved], data: Iterable[Tensor], samples: int, seed: int) -> list[Row]:
    """Return a row a format; the tensors are gone through once.

    Raises:
        FpsimError: a format beyond float64; as :func:`fpsim.quant.compare.fitted` and the data.
    """
    for fmt in (resolved.format for resolved in formats):
        working_width(fmt.element if isinstance(fmt, BlockFormat) else fmt)  # refuses what float64 cannot compute
    able = [capability(resolved.format) for resolved in formats]
    results: list[list[Result]] = [[] for _ in formats]
    for tensor in data:
        for resolved, facts, found in zip(formats, able, results, strict=True):
            found.append(_result(tensor, resolved, facts, samples, seed))
    return [
        Row(resolved=resolved, able=facts, results=tuple(found))
        for resolved, facts, found in zip(formats, able, results, strict=True)
    ]


def _result(tensor: Tensor, resolved: Resolved, able: Capability, samples: int, seed: int) -> Result:
    found = fitted(tensor.values, resolved.format, samples=samples, seed=seed, name=tensor.name)
    reference, size = found.reference, found.reference.size
    return Result(
        tensor=tensor.name,
        values=size,
        scale=found.scale,
        zero_point=found.zero_point,
        clips_at=None if found.scale is None or found.zero_point is not None else found.scale * float(able.max),
        sqnr_db=sqnr_db(reference, found.values),
        saturated=found.saturated,
        zeroed=found.zeroed,
        signal=mse(reference, np.broadcast_to(0.0, reference.shape)) * size,
        noise=mse(reference, found.values) * size,
    )


def record(row: Row) -> dict[str, Any]:
    """Return a row as one flat record; exact numbers are fractions as texts, what does not exist is None."""
    able = row.able
    fractions = ("min_subnormal", "min_normal", "min_positive", "max")
    plain = ("bits", "exponent_bits", "mantissa_bits", "bias", "precision", "digits")
    codes = ("codes", "unit_codes", "wasted", "inf", "nan", "negative_zero", "unused")
    single = row.results[0] if len(row.results) == 1 else None
    return {
        "format": short_label(row.resolved),
        "resolved": label(row.resolved.format),
        **{key: getattr(able, key) for key in plain},
        **{key: None if getattr(able, key) is None else exact_text(getattr(able, key)) for key in fractions},
        "binades": able.binades,
        "decibels": able.decibels,
        **{key: getattr(able, key) for key in codes},
        "sqnr_db": json_value(row.sqnr_db),
        "scale": single.scale if single else None,
        "zero_point": single.zero_point if single else None,
        "clips_at": single.clips_at if single else None,
        "saturated": row.part("saturated"),
        "zeroed": row.part("zeroed"),
    }


def tensor_record(row: Row, result: Result) -> dict[str, Any]:
    """Return the result of one tensor as a flat record."""
    return {
        "tensor": result.tensor,
        "values": result.values,
        "format": short_label(row.resolved),
        "sqnr_db": json_value(result.sqnr_db),
        "scale": result.scale,
        "zero_point": result.zero_point,
        "clips_at": result.clips_at,
        "saturated": result.saturated / result.values,
        "zeroed": result.zeroed / result.values,
    }
