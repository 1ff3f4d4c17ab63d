"""Estimates as tables: one row a device and batch, and what the reader has to know under it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from fpsim.cli.render import Column, Table
from fpsim.cost.energy import ENERGY_SOURCE
from fpsim.cost.result import Estimate

_HUMAN = ("device", "batch", "step ms", "interval", "bound ms", "img/s", "peak GB", "waits for")
_OPTIONAL = ("steps/s", "J/img", "most")
_LEFT = ("device", "waits for", "level")
_WIDTH = 80


def human(found: Sequence[Estimate]) -> Table:
    """Return the compact table; a batch that does not fit says so."""
    mixed = len({item.level for item in found}) > 1
    names = (*_HUMAN, *(("level",) if mixed else ()))
    rows = [_cells(item, mixed) for item in found]
    columns = [Column(name=name, right=name not in _LEFT) for name in names]
    columns += [Column(name=name, right=True, optional=True) for name in _OPTIONAL]
    return Table(columns=tuple(columns), rows=rows, comments=headline(found))


def headline(found: Sequence[Estimate]) -> tuple[str, ...]:
    """Return the lines over a table: what was estimated, and what its numbers are."""
    first = found[0]
    setting = first.setting
    guided = "with" if first.samples > first.images else "without"
    dtypes = "/".join(dict.fromkeys(item.setting.dtype for item in found))
    formats = ", ".join(f"{use.weights or 'full'}/{use.acts or 'full'}" for use in first.uses[:3])
    levels = " or ".join(dict.fromkeys(item.level for item in found))
    return (
        f"{first.model}, {first.steps} steps {guided} guidance, {dtypes}, weights/inputs {formats}"
        + (" and others" if len(first.uses) > 3 else ""),
        f"{setting.runtime}: {setting.fusion.says.partition(';')[0]}; {setting.attention} attention",
        f"a step of the batch, {levels}; the bound is the speed of light, no prediction",
    )


def under(found: Sequence[Estimate], output: str) -> str:
    """Return the notes under a table, wrapped, each once."""
    lines = list(dict.fromkeys(note for item in found for note in item.notes))
    lines += [
        f"{item.device.name}: a batch of {item.images} does not fit, by "
        f"{(item.peak_bytes - item.device.memory.value) / 1e9:.1f} GB; the largest that fits is {item.largest}"
        for item in found
        if not item.fits
    ]
    if output == "markdown":
        return "".join(f"\n{line}\n" for line in lines)
    wrapped = (textwrap.wrap(line, _WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
    return "".join(f"# {part}\n" for parts in wrapped for part in parts)


def machine(found: Sequence[Estimate]) -> Table:
    """Return every number, a row a device and batch."""
    records = [record(item) for item in found]
    names = tuple(records[0])
    return Table(
        columns=tuple(Column(name=name) for name in names),
        rows=[["" if row[name] is None else str(row[name]) for name in names] for row in records],
    )


def document(found: Sequence[Estimate]) -> dict[str, Any]:
    """Return what JSON holds."""
    return {
        "model": found[0].model,
        "rows": [record(item) for item in found],
        "formats": [formats(item, use) for item in found for use in item.uses],
        "notes": list(dict.fromkeys(note for item in found for note in item.notes)),
        "energy_estimate_source": ENERGY_SOURCE,
    }


def record(item: Estimate) -> dict[str, Any]:
    """Return the numbers of one estimate, units in their names."""
    return {
        **identity(item),
        "level": item.level,
        "mape_percent": None if math.isnan(item.mape) else round(item.mape, 2),
        "device_in_fit": item.familiar,
        "step_s": _six(item.latency_s),
        "step_low_s": _six(item.low),
        "step_high_s": _six(item.high),
        "step_bound_s": _six(item.bound),
        "total_s": _six(item.total_s),
        "images_per_s": _six(item.images_per_s),
        "steps_per_s": _six(item.steps_per_s),
        "waits_for": item.limit,
        "peak_bytes": int(item.peak_bytes),
        "device_bytes": int(item.device.memory.value),
        "fits": item.fits,
        "largest_batch": item.largest,
        "energy_bound_j": _six(item.energy.bound),
        "energy_estimate_arithmetic_j": _six(item.energy.arithmetic),
        "energy_estimate_dram_j": _six(item.energy.dram),
        "energy_assumed_types": " ".join(item.energy.assumed),
    }


def identity(item: Estimate) -> dict[str, Any]:
    """Return what was estimated."""
    return {
        "model": item.model,
        "device": item.device.name,
        "batch": item.images,
        "cfg": item.samples > item.images,
        "steps": item.steps,
        **item.setting.record(),
    }


def formats(item: Estimate, use: Any) -> dict[str, Any]:
    """Return how a device computes a pair of formats."""
    return {
        "device": item.device.name,
        "batch": item.images,
        "weights": use.weights or item.setting.dtype,
        "acts": use.acts or item.setting.dtype,
        "layers": use.layers,
        "level": use.support.level,
        "compute": use.support.compute,
        "weight_bits": use.support.weight_bits,
        "act_bits": use.support.act_bits,
    }


def _cells(item: Estimate, mixed: bool) -> list[str]:
    cells = [
        item.device.name,
        str(item.images),
        three(1e3 * item.latency_s),
        f"{three(1e3 * item.low)}-{three(1e3 * item.high)}",
        three(1e3 * item.bound),
        three(item.images_per_s),
        three(item.peak_bytes / 1e9),
        item.limit if item.fits else "does not fit",
    ]
    cells += [item.level] if mixed else []
    return [*cells, three(item.steps_per_s), f"<{three(item.energy.bound / item.images)}", str(item.largest)]


def three(value: float) -> str:
    """Return three digits, without an exponent from 0.001 to a million."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".") if value >= 1e-3 else f"{value:.2g}"


def _six(value: float) -> float:
    return float(f"{value:.6g}")
