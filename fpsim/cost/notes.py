"""What the reader of an estimate has to know, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpsim.cost.device import Device
from fpsim.cost.formats import Use
from fpsim.cost.parameters import Parameters


def notes(device: Device, parameters: Parameters, pairs: Sequence[Use], wide: float) -> tuple[str, ...]:
    """Return the notes of a device.

    Args:
        device: the device.
        parameters: the calibration.
        pairs: of formats, and how the device computes each.
        wide: factor of the interval.
    """
    return (*_formats(pairs), _level(device, parameters, pairs, wide), *_power(device))


def _formats(pairs: Sequence[Use]) -> list[str]:
    many = len({use.support.note for use in pairs}) > 1
    found = dict.fromkeys(use.support.note for use in pairs)
    counts = {note: sum(use.layers for use in pairs if use.support.note == note) for note in found}
    return [f"{note} ({counts[note]} layers)" if many else note for note in found]


def _level(device: Device, parameters: Parameters, pairs: Sequence[Use], wide: float) -> str:
    missing = math.isnan(parameters.mape)
    if parameters.level == "measured":
        error = "" if missing else f" (MAPE {parameters.mape:.0f} % of single operations)"
        return f"{device.name}: fitted to operations measured on it{error}: interval ÷ and × {wide:.2f}"
    error = "" if missing else f" (MAPE {parameters.mape:.0f} % on rows left out)"
    seen = "was in the fit" if device.name in parameters.devices else "was not in the fit"
    computes = {use.support.compute for use in pairs} - set(parameters.computes)
    if device.kind == "cpu":
        seen += ", nor was any CPU: 'fpsim cost calibrate' measures yours"
    elif computes:
        seen += f", nor was {', '.join(sorted(computes))} on any device"
    return f"{device.name}: calibrated to published measurements{error}; it {seen}: interval ÷ and × {wide:.2f}"


def _power(device: Device) -> list[str]:
    return [f"{device.name}: power mode {device.mode}"] if device.mode else []
