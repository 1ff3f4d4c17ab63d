"""A calibration of ``fpsim cost`` from timed operations in several types."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from measure_kernels_calls import Row

from fpsim.cost.calibration_file import dumps, loads
from fpsim.cost.device import Device, Figure, Peak
from fpsim.cost.device_file import find
from fpsim.cost.fitting import fit, predict
from fpsim.cost.latency import ideal
from fpsim.cost.observations import Observation, Prepared
from fpsim.cost.parameters import Parameters, Spread
from fpsim.cost.runtime import Setting
from fpsim.cost.support import Support, support
from fpsim.cost.timing import timed
from fpsim.cost.work import is_winograd, works
from fpsim.errors import FpsimError
from fpsim.number.names import format as named_format

#: The formats of weights and activations that a narrow type stands for.
_NARROW = {"fp8": "e4m3", "int8": "int8"}
#: Watts where the catalogue does not say.
_TDP = 100.0
#: Bytes that are copied to find the bandwidth: more than any cache holds.
_COPIED = 1 << 28


def calibration(
    rows: Sequence[Row], on: str, name: str, about: dict[str, str], *, known: str | None = None
) -> tuple[str, float]:
    """Return the TOML text of a calibration, and its mean absolute error in percent over the rows of the fit.

    Args:
        rows: timed operations.
        on: ``cpu`` or ``cuda``.
        name: of the device in the file.
        about: what the machine calls itself.
        known: the catalogue's device, or None to describe the machine.

    Raises:
        FpsimError: an unknown device, or rows without products.
    """
    base = "fp32" if on == "cpu" else "bf16"
    used = [row for row in rows if row.dtype == base or row.dtype in _NARROW]
    if not any(row.dtype == base and row.operation.macs for row in used):
        raise FpsimError(f"no product was timed in {base}; give more --seconds")
    device = find(known) if known else described(used, on, name)
    found, error = _fitted([_prepared(row, device, base) for row in used], used)
    source = f"{about['device']}, torch {about['torch']}, {len(used)} operations of {about['models']}, {about['date']}"
    text = dumps(
        replace(found, source=source),
        comments=("Measured by experiments/measure_kernels.py; for fpsim cost --calibration.",),
        device="" if known else _table(device, source),
    )
    loads(text, "calibration")  # what cannot be read back is never written
    return text, error


def _fitted(observations: list[Prepared], rows: Sequence[Row]) -> tuple[Parameters, float]:
    """The parameters that explain the rows best, and their mean absolute error in percent."""
    times = np.array([row.count * row.seconds for row in rows])
    weights = 0.2 + 0.8 * times / times.mean()  # what takes long matters most, but every class counts
    found = fit(observations, weights=list(weights))
    errors = np.abs([predict(row, found) / row.row.seconds - 1 for row in observations])
    error = float(100 * np.average(errors, weights=weights))
    wide = min(1.1 + 2 * error / 100, 3.0)
    spread = Spread(seen=wide, unseen=max(wide, 2), foreign=3.0)
    return replace(found, level="measured", mape=error, spread=spread), error


def described(rows: Sequence[Row], on: str, name: str) -> Device:
    """Return the machine as a device whose peaks are the best rates of each type, Winograd's apart."""
    best: dict[str, float] = {}
    for dtype in dict.fromkeys(row.dtype for row in rows):
        products = [row for row in rows if row.dtype == dtype and row.operation.macs]
        plain = [row for row in products if not is_winograd(row.operation)] or products
        if plain:
            best[dtype] = max(row.operation.flops / row.seconds for row in plain)
    others = [row.operation.flops / row.seconds for row in rows if not row.operation.macs]
    best.setdefault("fp32", min(max(others, default=math.inf), *best.values()))
    memory, processors = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), torch.get_num_threads()
    if on == "cuda":
        facts = torch.cuda.get_device_properties(0)
        memory, processors = facts.total_memory, facts.multi_processor_count
    return Device(
        name=name,
        label=name,
        kind="cpu" if on == "cpu" else "gpu",
        architecture="x86" if on == "cpu" else "other",
        memory=_figure(memory),
        bandwidth=_figure(bandwidth(on)),
        tdp=_figure(_TDP),
        processors=processors,
        peaks={dtype: Peak(dense=_figure(rate)) for dtype, rate in best.items()},
    )


def bandwidth(on: str) -> float:
    """Return the bytes a second of a large copy, read and write together."""
    source = torch.zeros(_COPIED // 4, device=on)
    target = torch.empty_like(source)
    return 2 * _COPIED / timed(lambda: target.copy_(source), on, budget=0.2)


def _figure(value: float) -> Figure:
    return Figure(value=float(value), confidence="derived", source="measured on this machine")


def _prepared(row: Row, device: Device, base: str) -> Prepared:
    setting = Setting(dtype=base, runtime="compiled")  # repeated calls of one kernel hide their launches
    how = _support(row.dtype, device, base)
    done = [work for work in works([row.operation], lambda _: how, setting) if work.kind != "quantize"]
    observation = Observation(
        id=row.op, device=device.name, model="", weights="", acts="", images=1, cfg=False, setting=setting,
        whole=False, steps=1, seconds=row.seconds, source="",
    )  # fmt: skip
    return Prepared(row=observation, times=ideal(done, device), computes=(how.compute,))


def _support(dtype: str, device: Device, base: str) -> Support:
    if dtype not in _NARROW:
        return support(None, None, device, base)
    fmt = named_format(_NARROW[dtype])
    return support(fmt, fmt, device, base)


def _table(device: Device, source: str) -> str:
    peaks = ", ".join(f"{key} = {peak.dense.value / 1e12:.5g}" for key, peak in device.peaks.items())
    return "\n".join(
        (
            f'[device."{device.name}"]',
            f'kind = "{device.kind}"',
            f'architecture = "{device.architecture}"',
            f'source = "{source}"',
            'confidence = "derived"',
            f"processors = {device.processors}",
            f"memory_gb = {device.memory.value / 1e9:.5g}",
            f"bandwidth_gb_s = {device.bandwidth.value / 1e9:.5g}",
            f'tdp_w = {{ value = {device.tdp.value:g}, source = "assumed", confidence = "unverified" }}',
            f"peaks = {{ {peaks} }}",
        )
    )
