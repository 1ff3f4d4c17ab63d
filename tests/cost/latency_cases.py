"""Operations and devices made by hand, small enough to compute their times on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fpsim.cost.device import Device
from fpsim.cost.device_file import find
from fpsim.cost.latency import bounds, ideal, seconds
from fpsim.cost.operations import Operation
from fpsim.cost.parameters import Parameters, starting
from fpsim.cost.runtime import Setting
from fpsim.cost.support import Support, support
from fpsim.cost.work import works
from fpsim.number.names import format as named


def measured_machine(values: str = "") -> str:
    """The calibration of a small machine that was measured, with lines of values of its own."""
    return f"""level = "measured"
[values]
{values}
[devices]
mine = 1.0
[device.mine]
kind = "cpu"
architecture = "x86"
processors = 2
memory_gb = 16
bandwidth_gb_s = 30
tdp_w = 65
peaks = {{ fp32 = 0.1 }}
"""


def linear(rows: int, out: int = 4096, depth: int = 4096) -> Operation:
    macs = rows * out * depth
    return Operation(
        layer="linear",
        op="aten.addmm",
        kind="linear",
        macs=macs,
        flops=2 * macs,
        weights=out * depth,
        inputs=rows * depth,
        outputs=rows * out,
        gemm=(1, rows, out, depth),
    )


def attention(heads: int = 8, rows: int = 4096, depth: int = 40) -> Operation:
    size, scores = heads * rows * depth, heads * rows * rows
    return Operation(
        layer="attn",
        op="aten.sdpa",
        kind="attention",
        macs=2 * scores * depth,
        flops=4 * scores * depth,
        inputs=3 * size,
        outputs=size,
        gemm=(heads, rows, rows, depth),
        scores=scores,
    )


def conv(side: int, channels: int, size: int = 3) -> Operation:
    rows, depth = side * side, channels * size * size
    macs = rows * channels * depth
    return Operation(
        layer="conv",
        op="aten.convolution",
        kind="conv",
        macs=macs,
        flops=2 * macs,
        weights=channels * depth,
        inputs=rows * channels,
        outputs=rows * channels,
        gemm=(1, rows, channels, depth),
    )


def silu(elements: int) -> Operation:
    return Operation(
        layer="act", op="aten.silu", kind="activation", flops=4 * elements, inputs=elements, outputs=elements
    )


def held(weights: str | None, acts: str | None, device: Device, dtype: str = "fp16") -> Support:
    return support(weights and named(weights), acts and named(acts), device, dtype)  # type: ignore[arg-type]


def time(
    operation: Operation,
    device: str | Device,
    formats: tuple[str | None, str | None] = (None, None),
    setting: Setting | None = None,
    parameters: Parameters | None = None,
) -> float:
    """Calibrated seconds of one operation and what quantizes its inputs."""
    setting, where = setting or Setting(runtime="compiled"), find(device) if isinstance(device, str) else device
    done = works([operation], lambda _: held(*formats, where, setting.dtype), setting)
    return float(seconds(ideal(done, where), parameters or starting(), setting).sum())


def bound(operation: Operation, device: str, formats: tuple[str | None, str | None] = (None, None)) -> float:
    where, setting = find(device), Setting()
    done = works([operation], lambda _: held(*formats, where), setting)
    return float(bounds(ideal(done, where)).sum())


def without_sparsity(device: Device) -> Device:
    return replace(device, peaks={key: replace(peak, sparse=None) for key, peak in device.peaks.items()})


def sparser(device: Device) -> Device:
    """The same with absurd sparse rates, which nothing may use."""
    return replace(
        device,
        peaks={
            key: replace(peak, sparse=replace(peak.dense, value=1000 * peak.dense.value))
            for key, peak in device.peaks.items()
        },
    )


__all__ = ["attention", "bound", "conv", "held", "linear", "np", "silu", "sparser", "time", "without_sparsity"]
