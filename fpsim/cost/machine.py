"""Calibrate to the machine at hand: time the operations of models, and fit the parameters to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch

from fpsim.cost.device import Device, Figure, Peak
from fpsim.cost.fitting import fit, predict
from fpsim.cost.kernels import kernel
from fpsim.cost.latency import Array, ideal
from fpsim.cost.launches import launch_time
from fpsim.cost.observations import Observation, Prepared
from fpsim.cost.operations import Operation
from fpsim.cost.parameters import Parameters, Spread
from fpsim.cost.runtime import Setting
from fpsim.cost.support import support
from fpsim.cost.timing import timed
from fpsim.cost.validation import FOREIGN
from fpsim.cost.work import is_winograd, works
from fpsim.cost.workload import load
from fpsim.errors import FpsimError

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: Bytes that are copied to find the bandwidth: more than any cache holds.
_COPIED = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """An operation of a model with its time.

    Attributes:
        operation: one of those that are alike.
        counts: how many there are in one step of each model.
        seconds: of one.
    """

    operation: Operation
    counts: tuple[int, ...]
    seconds: float


def time_operations(models: Sequence[str], on: str, dtype: str, budget: float) -> tuple[Timing, ...]:
    """Time the distinct operations of models at one sample, those of most work first.

    Args:
        models: names.
        on: ``cpu`` or ``cuda``.
        dtype: working type.
        budget: seconds; operations for which there is no time left are left out.

    Raises:
        FpsimError: unknown model, or none of its operations can be timed.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    order = tuple(distinct(models))
    found: list[Timing] = []
    end = time.perf_counter() + budget
    for operation, counts in order:
        if found and time.perf_counter() > end:
            break
        call = kernel(operation, on, TYPES[dtype])
        if call is not None:
            least = 3 if operation.macs < 1 << 32 else 2
            found.append(Timing(operation=operation, counts=counts, seconds=timed(call, on, budget=0.05, least=least)))
    if not found:
        raise FpsimError(
            f"{', '.join(models)}: no operation can be timed; choose a model with convolutions or linear layers"
        )
    return tuple(found)


def distinct(models: Sequence[str]) -> Iterator[tuple[Operation, tuple[int, ...]]]:
    """Yield the operations that differ in more than their layer, with their number in each model, the largest first."""
    counts: dict[Operation, list[int]] = {}
    for place, name in enumerate(models):
        for operation in load(name).traces[0].denoiser.operations:
            counts.setdefault(replace(operation, layer=""), [0] * len(models))[place] += 1
    rank: dict[str, int] = {}
    order = []
    for operation in sorted(counts, key=lambda op: -(op.flops + op.inputs + op.outputs)):
        rank[operation.kind] = rank.get(operation.kind, -1) + 1
        order.append((rank[operation.kind], operation))
    for _, operation in sorted(order, key=lambda item: item[0]):
        yield operation, tuple(counts[operation])


def bandwidth(on: str) -> float:
    """Return the bytes a second of a large copy, read and write together."""
    source = torch.zeros(_COPIED // 4, device=on)
    target = torch.empty_like(source)
    return 2 * _COPIED / timed(lambda: target.copy_(source), on, budget=0.5)


def as_device(
    name: str, on: str, dtype: str, found: Sequence[Timing], speed: float, tdp: float, memory: float
) -> Device:
    """Return the machine as a device whose peaks are the best rates that were measured.

    Args:
        name: its id.
        on: ``cpu`` or ``cuda``.
        dtype: working type.
        found: timed operations.
        speed: bytes a second.
        tdp: watts.
        memory: bytes.
    """
    products = [item for item in found if item.operation.macs]
    plain = [item for item in products if not is_winograd(item.operation)] or products
    rate = max(item.operation.flops / item.seconds for item in plain)
    vector = max((item.operation.flops / item.seconds for item in found if not item.operation.macs), default=rate)
    peaks = {dtype: rate} | ({} if dtype == "fp32" else {"fp32": min(vector, rate)})
    return Device(
        name=name,
        label=name,
        kind="cpu" if on == "cpu" else "gpu",
        architecture="x86" if on == "cpu" else "other",
        memory=_figure(memory),
        bandwidth=_figure(speed),
        tdp=_figure(tdp),
        processors=torch.get_num_threads()
        if on == "cpu"
        else torch.cuda.get_device_properties(0).multi_processor_count,
        peaks={key: Peak(dense=_figure(value)) for key, value in peaks.items()},
    )


def fitted(device: Device, dtype: str, found: Sequence[Timing], source: str) -> Parameters:
    """Return the parameters that explain the timings best, with their error and intervals.

    Args:
        device: as :func:`as_device` made it.
        dtype: working type.
        found: timed operations.
        source: what was measured, for outputs.
    """
    setting = Setting(dtype=dtype, runtime="compiled" if device.kind == "cpu" else "eager")
    plain = support(None, None, device, dtype)
    rows = []
    for item in found:
        done = list(works([item.operation], lambda _: plain, Setting(dtype=dtype)))
        rows.append(Prepared(row=_row(device, setting, item), times=ideal(done, device), computes=(plain.compute,)))
    weights = _weights(found)
    parameters = fit(rows, weights=list(weights), factors=False)
    errors = np.array([predict(row, parameters) / row.row.seconds - 1 for row in rows])
    launch = launch_time(device, parameters, setting, TYPES[dtype])
    parameters = parameters.replaced({"cpu.launch" if device.kind == "cpu" else "launch.torch-2": launch})
    wide = min(FOREIGN, 1.2 + fmean(np.abs(errors) * weights / weights.mean()))
    return replace(
        parameters,
        level="measured",
        devices={device.name: 1.0},
        mape=float(100 * fmean(np.abs(errors) * weights / weights.mean())),
        spread=Spread(seen=float(wide), unseen=FOREIGN, foreign=FOREIGN),
        source=source,
    )


def _row(device: Device, setting: Setting, item: Timing) -> Observation:
    return Observation(
        id=item.operation.op,
        device=device.name,
        model="",
        weights="",
        acts="",
        images=1,
        cfg=False,
        setting=setting,
        whole=False,
        steps=1,
        seconds=item.seconds,
        source="",
    )


def _weights(found: Sequence[Timing]) -> Array:
    """Return weights of mean 1: an operation's share of each model's time, and a little for every operation."""
    times = np.array([item.counts for item in found], float) * np.array([[item.seconds] for item in found])
    shares = (times / times.sum(axis=0).clip(1e-12)).mean(axis=1)
    weights: Array = 0.2 + 0.8 * shares / shares.mean()
    return weights


def _figure(value: float) -> Figure:
    return Figure(value=value, confidence="derived", source="measured on this machine")
