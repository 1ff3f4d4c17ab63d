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
from fpsim.cost.device_table import shown
from fpsim.cost.parameters import NAMES, Parameters, Spread, largest, starting
from fpsim.errors import FpsimError
from fpsim.number.user_files import parse_toml, read_text

#: The calibration to published measurements; ``experiments/cost_validation.py --write`` makes it.
BUILTIN = Path(__file__).with_name("calibration.toml")
LEVELS = ("calibrated", "measured")
#: Of a parameter that makes sense: times of nanoseconds to minutes, factors of thousandths to thousands.
_LEAST, _LARGEST, _MOST_PERCENT = 1e-12, 1e3, 1e6
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
        raise FpsimError(f"{file}: unknown key {shown(unknown[0])}; a calibration has {', '.join(_KEYS)}")
    if table.get("level") not in LEVELS:
        raise FpsimError(f"{file}: key 'level' is {shown(table.get('level'))}; it is one of {', '.join(LEVELS)}")
    for key in _TABLES:
        if not isinstance(table.get(key, {}), dict):
            raise FpsimError(f"{file}: key {key!r} is no table; write [{key}]")
    mape, computes = table.get("mape", math.nan), table.get("computes", [])
    if not _is_number(mape) or not (mape != mape or 0 <= mape <= _MOST_PERCENT):
        raise FpsimError(f"{file}: key 'mape' is {shown(mape)}; it is a number of percent")
    if not isinstance(computes, list) or not all(isinstance(name, str) for name in computes):
        raise FpsimError(f"{file}: key 'computes' is {shown(computes)}; it is a list of compute types")
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
        source=_source(table, file),
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
            raise FpsimError(f"{where}: unknown key {shown(key)}; known are {', '.join(known)}")
        most = min(largest(key if key in NAMES else "t0"), _LARGEST)
        if not _is_number(value) or not _LEAST <= value <= most:
            raise FpsimError(
                f"{where}: key {shown(key)} is {shown(value)}; it needs a number from {_LEAST:g} to {most:g}"
            )
    return {key: float(value) for key, value in table.items()}


def _own(tables: Mapping[str, Any], file: str) -> dict[str, Device]:
    found = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise FpsimError(f"{file}: [device] holds {shown(name)}, which is no table; write [device.NAME]")
        try:
            found[name] = read_device(name, table, None, file)
        except FpsimError as error:
            raise FpsimError(f"{file}: [device.{name if name.isprintable() else shown(name)}]: {error}") from None
    return found


def _source(table: Mapping[str, Any], file: str) -> str:
    source = table.get("source", file)
    if not isinstance(source, str):
        raise FpsimError(f"{file}: key 'source' is {shown(source)}; it is a text")
    return source


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
