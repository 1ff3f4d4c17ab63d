"""Fit the parameters of calibrated latencies to measured times: few rows, so every parameter has a starting value.

Least squares of logarithms: the ratio of predicted and measured time in units of :data:`NOISE`, damped for outliers,
and how far each parameter is from its starting value in units of that value's spread. A device's own factor starts
at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpsim.cost.latency import Array, bounds, seconds
from fpsim.cost.observations import Prepared
from fpsim.cost.parameters import NAMES, STARTS, Parameters, largest, starting

#: Spread of the logarithm of measured over predicted time within the fit, and of a device's own factor.
NOISE, DEVICE = 0.08, 0.2
#: Residuals beyond so many units of noise count linearly.
_DAMPED = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which numbers of the optimizer's vector are which parameters and devices."""

    names: tuple[str, ...]
    devices: tuple[str, ...]

    def unpack(self, x: Array, base: Parameters) -> Parameters:
        """Return parameters from logarithms."""
        values = {name: min(math.exp(value), largest(name)) for name, value in zip(self.names, x, strict=False)}
        factors = {device: math.exp(value) for device, value in zip(self.devices, x[len(self.names) :], strict=True)}
        return base.replaced(values, factors)


def predict(row: Prepared, parameters: Parameters, *, own: bool = True) -> float:
    """Return the time of an observation, in seconds, never below its bound.

    Args:
        row: the observation.
        parameters: a calibration.
        own: whether the device's own factor counts, where there is one.
    """
    factor = parameters.devices.get(row.row.device, 1.0) if own else 1.0
    each = np.maximum(seconds(row.times, parameters, row.row.setting) * factor, bounds(row.times))
    return float((each * row.times.counts).sum())


def fit(
    rows: Sequence[Prepared],
    base: Parameters | None = None,
    *,
    weights: Sequence[float] | None = None,
    factors: bool = True,
) -> Parameters:
    """Return the parameters that explain measured times best.

    Args:
        rows: observations; those of one device share a factor.
        base: starting values and what the result keeps of them.
        weights: of the rows' squared errors; None for 1 each.
        factors: whether each device has a factor of its own.

    Returns:
        Parameters without MAPE and spread, which need rows that were left out.
    """
    from scipy.optimize import least_squares

    base = base or starting()
    layout = Layout(names=_used(rows), devices=tuple(sorted({row.row.device for row in rows})) if factors else ())
    starts = np.log([base.values[name] for name in layout.names])
    spreads = np.array([STARTS[name][1] for name in layout.names])

    roots = np.sqrt(np.ones(len(rows)) if weights is None else np.asarray(weights, float))

    def residuals(x: Array) -> Array:
        parameters = layout.unpack(x, base)
        logs = np.log([predict(row, parameters) / row.row.seconds for row in rows]) / NOISE
        far = (x[: len(starts)] - starts) / spreads
        return np.concatenate([roots * _damped(logs), far, x[len(starts) :] / DEVICE])

    start = np.concatenate([starts, np.zeros(len(layout.devices))])
    found = layout.unpack(_solve(least_squares, residuals, start), base)
    computes = tuple(sorted({name for row in rows for name in row.computes}))
    return replace(found, computes=computes)


def _solve(least_squares: Callable[..., Mapping[str, Array]], residuals: Callable[[Array], Array], x: Array) -> Array:
    return least_squares(residuals, x, x_scale=0.1, ftol=1e-6, xtol=1e-6)["x"]


def _used(rows: Sequence[Prepared]) -> tuple[str, ...]:
    """Return the parameters that the rows depend on, in their order."""
    used = set()
    for row in rows:
        used |= {NAMES[i] for i in (*row.times.rate, *row.times.narrow) if i >= 0}
        used |= {"cpu.t0", "cpu.bandwidth", "cpu.prepare"} if row.times.cpu else {"t0", "bandwidth"}
        used |= {"pointwise"}
        if row.row.setting.fusion.launches:
            used.add("cpu.launch" if row.times.cpu else f"launch.{row.row.setting.stack}")
    return tuple(name for name in NAMES if name in used)


def _damped(units: Array) -> Array:
    """Return residuals whose squares grow linearly beyond :data:`_DAMPED` units."""
    scale: Array = np.sqrt(1 + (units / _DAMPED) ** 2)
    return np.sign(units) * _DAMPED * np.sqrt(2 * (scale - 1))
