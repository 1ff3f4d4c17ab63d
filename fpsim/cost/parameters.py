"""The parameters of calibrated latencies: efficiencies, times of kernels and of launches, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fpsim.cost.runtime import STACKS

#: Shares of a peak that products reach, by unit and class. Winograd's may exceed 1: the algorithm needs fewer
#: multiplications than are counted. Other convolutions in FP32 are matrix products and count as ``linear``.
#: ``cpu.prepare`` is the share of the bandwidth at which a CPU transforms Winograd's weights, every time.
EFFICIENCIES = (
    *("tensor.conv", "tensor.linear", "tensor.attention"),
    *("vector.winograd", "vector.linear", "vector.attention"),
    *("cpu.winograd", "cpu.linear", "cpu.attention"),
    "pointwise",
    *("narrow8", "narrow4"),
    *("bandwidth", "cpu.bandwidth", "cpu.prepare"),
)
#: Seconds: of a kernel on top of its work, and of the framework that launches it, during which a GPU works and a CPU
#: does not.
TIMES = ("t0", "cpu.t0", "cpu.launch", *(f"launch.{stack}" for stack in STACKS))
NAMES = (*EFFICIENCIES, *TIMES)
#: Counted multiplications for each one of F(4×4, 3×3) Winograd: no efficiency may exceed it.
WINOGRAD = 4.0
#: Operations of the vector units that decode an element.
DECODE = 4

#: Starting values and their spread (of the logarithm), from measurements of single kernels where there are any.
STARTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "tensor.conv": (0.45, 0.5),
        "tensor.linear": (0.7, 0.25),
        "tensor.attention": (0.35, 0.5),
        "vector.winograd": (0.92, 0.5),
        "vector.linear": (0.8, 0.25),
        "vector.attention": (0.4, 0.5),
        "cpu.winograd": (0.5, 0.5),
        "cpu.linear": (0.5, 0.5),
        "cpu.attention": (0.25, 0.5),
        "pointwise": (0.5, 0.3),
        "narrow8": (0.8, 0.25),
        "narrow4": (0.57, 0.25),
        "bandwidth": (0.7, 0.2),
        "cpu.bandwidth": (0.6, 0.3),
        "cpu.prepare": (0.1, 0.7),
        "t0": (5e-6, 0.5),
        "cpu.t0": (5e-6, 0.5),
        "cpu.launch": (20e-6, 0.5),
        "launch.torch-2": (20e-6, 0.4),
        "launch.torch-1": (40e-6, 0.6),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Half widths of intervals, as factors: a prediction p lies between p / factor and p · factor.

    Attributes:
        seen: for devices of the fit.
        unseen: for other devices.
        foreign: for what is unlike everything in the fit: CPUs, and compute types that nobody measured.
    """

    seen: float
    unseen: float
    foreign: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A calibration.

    Attributes:
        level: ``calibrated`` (fitted to published measurements) or ``measured`` (on the user's machine).
        values: every name of :data:`NAMES`.
        devices: factor of time for each device of the fit.
        computes: compute types that the fit has seen.
        mape: mean absolute error in percent, of rows left out in turn.
        spread: of the intervals.
        source: how it was made.
    """

    level: str
    values: Mapping[str, float]
    devices: Mapping[str, float] = field(default_factory=dict)
    computes: tuple[str, ...] = ()
    mape: float = math.nan
    spread: Spread = field(default_factory=lambda: Spread(seen=1.41, unseen=1.73, foreign=1.73))
    source: str = ""

    def replaced(self, values: Mapping[str, float], devices: Mapping[str, float] | None = None) -> Parameters:
        """Return the same with other values."""
        return replace(self, values={**self.values, **values}, devices=self.devices if devices is None else devices)


def starting() -> Parameters:
    """Return the starting values, fitted to nothing."""
    return Parameters(level="calibrated", values={name: STARTS[name][0] for name in NAMES}, source="starting values")


def largest(name: str) -> float:
    """Return the largest value that a parameter may have."""
    if name in TIMES:
        return math.inf
    return WINOGRAD if name.endswith(".winograd") else 1.0
