"""Calibrations as TOML text, out and in: the published one beside this module, and those of users' machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fpsim.cost.device import Device
from fpsim.cost.device_table import device as read_device
from fpsim.cost.parameters import NAMES, Parameters, Spread, largest, starting
from fpsim.errors import FpsimError
from fpsim.number.user_files import parse_toml, read_text

#: The calibration to published measurements; ``experiments/cost_validation.py --write`` makes it.
BUILTIN = Path(__file__).with_name("calibration.toml")
LEVELS = ("calibrated", "measured")
_TABLES = ("spread", "values", "devices", "device")
_KEYS = ("level", "source", "mape", "computes", *_TABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Parameters, and the devices that the file itself describes: the machine on which they were measured."""

    parameters: Parameters
    devices: Mapping[str, Device]


def load(file: str | None = None) -> Calibration:
    """Return a calibration.

    Args:
        file: of ``fpsim cost calibrate``; None for the published one.

    Raises:
        FpsimError: the file cannot be read or is malformed; names the key.
    """
    if file is not None:
        return loads(read_text(file, "calibration file"), file)
    return _builtin()


def loads(text: str, file: str) -> Calibration:
    """Return the calibration of a TOML text.

    Args:
        text: the document.
        file: what errors call it.

    Raises:
        FpsimError: an unknown key, a missing or impossible value.
    """
    table = parse_toml(text, file)
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise FpsimError(f"{file}: unknown key {unknown[0]!r}; a calibration has {', '.join(_KEYS)}")
    if table.get("level") not in LEVELS:
        raise FpsimError(f"{file}: key 'level' is {table.get('level')!r}; it is one of {', '.join(LEVELS)}")
    for key in _TABLES:
        if not isinstance(table.get(key, {}), dict):
            raise FpsimError(f"{file}: key {key!r} is no table; write [{key}]")
    mape, computes = table.get("mape", math.nan), table.get("computes", [])
    if not isinstance(mape, int | float) or isinstance(mape, bool):
        raise FpsimError(f"{file}: key 'mape' is {mape!r}; it is a number of percent")
    if not isinstance(computes, list) or not all(isinstance(name, str) for name in computes):
        raise FpsimError(f"{file}: key 'computes' is {computes!r}; it is a list of compute types")
    values = _numbers(table.get("values", {}), f"{file}: [values]", NAMES)
    spread = _numbers(table.get("spread", {}), f"{file}: [spread]", Spread.__slots__)
    base = starting()
    parameters = Parameters(
        level=table["level"],
        values={**base.values, **values},
        devices=_numbers(table.get("devices", {}), f"{file}: [devices]", None),
        computes=tuple(computes),
        mape=float(mape),
        spread=Spread(**{name: max(1.0, spread.get(name, getattr(base.spread, name))) for name in Spread.__slots__}),
        source=str(table.get("source", file)),
    )
    return Calibration(parameters=parameters, devices=_own(table.get("device", {}), file))


def dumps(parameters: Parameters, *, comments: tuple[str, ...] = (), device: str = "") -> str:
    """Return a calibration as TOML text.

    Args:
        parameters: all that is written but the device.
        comments: lines at the top, without their ``#``.
        device: the TOML of a ``[device.NAME]`` table.
    """
    head = [f"# {line}".rstrip() for line in comments]
    known = {
        "level": parameters.level,
        "source": parameters.source,
        "mape": round(parameters.mape, 2),
        "computes": list(parameters.computes),
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in known.items()]
    for name, numbers in (
        ("spread", {key: getattr(parameters.spread, key) for key in Spread.__slots__}),
        ("values", parameters.values),
        ("devices", parameters.devices),
    ):
        lines += ["", f"[{name}]", *(f"{json.dumps(key)} = {value:.6g}" for key, value in numbers.items())]
    return "\n".join([*head, *lines, *(["", device.rstrip()] if device else [])]) + "\n"


@lru_cache(maxsize=1)
def _builtin() -> Calibration:
    return loads(BUILTIN.read_text(encoding="utf-8"), BUILTIN.name)


def _numbers(table: Mapping[str, Any], where: str, known: tuple[str, ...] | None) -> dict[str, float]:
    for key, value in table.items():
        if known is not None and key not in known:
            raise FpsimError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= largest(key if key in NAMES else "t0") or math.isinf(value):
            most = f" and at most {largest(key):g}" if key in NAMES else ""
            raise FpsimError(f"{where}: key {key!r} is {value!r}; it needs a number above 0{most}")
    return {key: float(value) for key, value in table.items()}


def _own(tables: Mapping[str, Any], file: str) -> dict[str, Device]:
    found = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise FpsimError(f"{file}: [device] holds {name!r}, which is no table; write [device.NAME]")
        try:
            found[name] = read_device(name, table, None, file)
        except FpsimError as error:
            raise FpsimError(f"{file}: [device.{name}]: {error}") from None
    return found
