"""Latency: the roofline of every operation, as a bound and with calibrated efficiencies.

An operation of F operations and B bytes takes ``max(F / (peak · ec), B / (bandwidth · eb)) + t0`` a kernel, plus what
decoding stored codes takes; where the CPU launches kernels one by one, no less than a launch each, or on a CPU a launch
more. The bound has ec = eb = 1 and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.cost.device import Device
from fpsim.cost.parameters import DECODE, NAMES, WINOGRAD, Parameters
from fpsim.cost.runtime import Setting
from fpsim.cost.work import Work

Array = NDArray[np.float64]
#: Compute types of the ordinary arithmetic units of a GPU.
VECTOR = frozenset(("fp64", "fp32"))
_WINOGRADS = [place for place, name in enumerate(NAMES) if name.endswith(".winograd")]
_NARROW8, _NARROW4 = frozenset(("fp8", "int8", "fp6")), frozenset(("fp4", "int4"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ideal:
    """Work on a device, in seconds at full rates; one entry a work.

    Attributes:
        compute: of the arithmetic, at the dense peak.
        memory: of the traffic, at the full bandwidth.
        decode: of decoding, at the vector units' peak.
        prepare: of reading the weights that a CPU transforms first, at the full bandwidth.
        kernels: launched.
        rate: the efficiency of the arithmetic, an index of :data:`fpsim.cost.parameters.NAMES`.
        narrow: a further efficiency of narrow types, −1 for none.
        counts: how often each occurs.
        cpu: whether the device is a CPU.
    """

    compute: Array
    memory: Array
    decode: Array
    prepare: Array
    kernels: Array
    rate: NDArray[np.intp]
    narrow: NDArray[np.intp]
    counts: Array
    cpu: bool


def ideal(works: Iterable[Work], device: Device) -> Ideal:
    """Return what works take on a device at full rates.

    Args:
        works: any number.
        device: its dense peaks count, never the sparse ones.
    """
    items = list(works)
    bandwidth, cpu = device.bandwidth.value, device.kind == "cpu"
    vector = device.peaks["fp32"].dense.value if "fp32" in device.peaks else np.inf
    peaks = [device.peaks[work.compute].dense.value if work.compute else vector for work in items]
    names = [_names(work, cpu) for work in items]
    return Ideal(
        compute=np.array([work.flops for work in items], float) / np.array(peaks, float),
        memory=np.array([work.bytes for work in items], float) / bandwidth,
        decode=np.array([work.decode for work in items], float) * DECODE / vector,
        prepare=np.array([work.prepared * cpu for work in items], float) / bandwidth,
        kernels=np.array([work.kernels for work in items], float),
        rate=np.array([NAMES.index(rate) for rate, _ in names], dtype=np.intp),
        narrow=np.array([NAMES.index(narrow) if narrow else -1 for _, narrow in names], dtype=np.intp),
        counts=np.ones(len(items)),
        cpu=cpu,
    )


def bounds(times: Ideal) -> Array:
    """Return the speed of light of each work, in seconds: a bound, no prediction."""
    compute = times.compute / np.where(np.isin(times.rate, _WINOGRADS), WINOGRAD, 1.0)
    return np.maximum(compute, times.memory)


def seconds(times: Ideal, parameters: Parameters, setting: Setting) -> Array:
    """Return the time of each work with calibrated efficiencies, in seconds.

    Args:
        times: at full rates.
        parameters: a calibration.
        setting: whether and how the CPU launches kernels.
    """
    compute, memory, before = _terms(times, parameters)
    t0 = parameters.values["cpu.t0" if times.cpu else "t0"]
    total = np.maximum(compute, memory) + before + t0 * times.kernels
    if not setting.fusion.launches:
        return total
    if times.cpu:
        return total + parameters.values["cpu.launch"] * times.kernels
    return np.maximum(total, parameters.values[f"launch.{setting.stack}"] * times.kernels)


def limits(times: Ideal, parameters: Parameters, setting: Setting) -> list[str]:
    """Return what each work waits for: ``compute`` (with decoding), ``memory``, or ``launch`` and kernel overhead."""
    compute, memory, before = _terms(times, parameters)
    work = np.maximum(compute, memory) + before
    overhead = seconds(times, parameters, setting) - work
    names = np.where(compute + before >= memory, "compute", "memory")
    return [str(name) for name in np.where(overhead > work, "launch", names)]


def _terms(times: Ideal, parameters: Parameters) -> tuple[Array, Array, Array]:
    """Return the seconds of arithmetic, of traffic, and of what comes before: decoding and preparing weights."""
    values = np.array([*(parameters.values[name] for name in NAMES), 1.0])
    bandwidth = parameters.values["cpu.bandwidth" if times.cpu else "bandwidth"]
    compute = times.compute / (values[times.rate] * values[times.narrow])
    before = times.decode / parameters.values["pointwise"] + times.prepare / parameters.values["cpu.prepare"]
    return compute, times.memory / bandwidth, before


def _names(work: Work, cpu: bool) -> tuple[str, str]:
    """Return the names of a work's efficiencies."""
    if not work.compute:
        return "pointwise", ""
    kind = "linear" if work.algorithm == "library" else work.kind
    if cpu or work.compute in VECTOR:
        if kind == "conv":
            kind = work.algorithm or "linear"
        return f"{'cpu' if cpu else 'vector'}.{kind}", ""
    narrow = "narrow8" if work.compute in _NARROW8 else "narrow4" if work.compute in _NARROW4 else ""
    return f"tensor.{kind}", narrow
