"""One table of a devices file as a Device: every key checked, every figure with a source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from fpsim.cost.device import ARCHITECTURES, COMPUTE_TYPES, CONFIDENCES, KINDS, Device, Figure, Peak
from fpsim.errors import FpsimError

#: Keys that hold a figure: the field of Device, what one unit is there, and the greatest number that makes sense.
_FIGURES = {
    "memory_gb": ("memory", 1e9, 1e5),
    "bandwidth_gb_s": ("bandwidth", 1e9, 1e6),
    "l2_mib": ("l2", 2.0**20, 1e5),
    "tdp_w": ("tdp", 1.0, 1e5),
}
#: Of any key's unit; far below what anybody would build, and far above what overflows in a quotient.
_LEAST = 1e-6
_TERA, _MOST_TERA, _MOST_MHZ, _MOST_PROCESSORS = 1e12, 1e7, 1e5, 10**6
_TEXTS = {"label": None, "kind": KINDS, "architecture": ARCHITECTURES, "mode": None}
_KEYS = (*_TEXTS, *_FIGURES, "inherit", "aliases", "source", "confidence", "processors", "clock_mhz", "peaks", "notes")
_NEEDED = ("architecture", "processors", "memory_gb", "bandwidth_gb_s", "tdp_w", "peaks")
_FALLBACKS = ("fp32", "fp16", "bf16")


class TableError(FpsimError):
    """A key of a device table is wrong; ``path`` says which."""

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        super().__init__(f"key {'.'.join(path)!r}: {problem}" if path else problem)
        self.path = path


def device(name: str, table: Mapping[str, Any], base: Device | None, file: str) -> Device:
    """Return the device that a table describes.

    Args:
        name: its id.
        table: the keys of the TOML table.
        base: the device that it inherits from.
        file: the source of figures that name none.

    Raises:
        TableError: an unknown or missing key, a wrong type or value.
    """
    _check_keys(table, _KEYS, ())
    missing = [key for key in _NEEDED if key not in table] if base is None else []
    if missing:
        raise TableError((missing[0],), "is missing; give it, or inherit from a device that has it")
    fields: dict[str, Any] = {slot: getattr(base, slot) for slot in Device.__slots__} if base else {"kind": "gpu"}
    if "peaks" in table:  # the base's clock belongs to the base's rates
        fields["clock"] = None
    fields |= {"name": name, "label": name, **_texts(table)}
    table = {"source": file, "confidence": "unverified", **table}
    _source(table, (), table)
    for key, (slot, unit, most) in _FIGURES.items():
        if key in table:
            fields[slot] = _figure(table[key], table, (key,), unit, most)
    if "processors" in table:
        fields["processors"] = _count(table["processors"], ("processors",))
    if "clock_mhz" in table:
        fields["clock"] = _number(table["clock_mhz"], ("clock_mhz",), _MOST_MHZ) * 1e6
    if "notes" in table:
        fields["notes"] = texts(table["notes"], ("notes",))
    fields["peaks"] = _peaks(table.get("peaks", {}), table, base.peaks if base else {})
    return Device(**fields)


def shown(value: Any) -> str:
    """Return a value as an error quotes it, in one line that is not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or tables in tables
        return "a value of excessive length"
    return text if len(text) <= 60 else f"{text[:57]}..."


def texts(value: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list of strings.

    Raises:
        TableError: it is no such list.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) and item.isprintable() for item in value):
        raise TableError(path, f'{shown(value)} is not a list of texts; write ["one", "two"]')
    return tuple(value)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], path: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise TableError((*path, key), f"is unknown; {hint}")


def _texts(table: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, choices in _TEXTS.items():
        if key in table:
            found[key] = _text(table[key], (key,))
            if choices and found[key] not in choices:
                raise TableError((key,), f"{found[key]!r} is not one of {', '.join(choices)}")
    return found


def _text(value: Any, path: tuple[str, ...]) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise TableError(path, f"{shown(value)} is not a text of one line")
    return value


def _count(value: Any, path: tuple[str, ...]) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_PROCESSORS:
        raise TableError(path, f"{shown(value)} is not a whole number from 1 to {_MOST_PROCESSORS:,}")
    return value


def _number(value: Any, path: tuple[str, ...], most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise TableError(path, f"{shown(value)} is not a number")
    if not _LEAST <= value <= most:
        raise TableError(
            path, f"{shown(value)} is not in the range {_LEAST:g} to {most:g} of the key's unit; check the unit"
        )
    return float(value)


def _figure(value: Any, table: Mapping[str, Any], path: tuple[str, ...], unit: float, most: float) -> Figure:
    """A number, or a table of a number with its own source; what it lacks is the enclosing table's."""
    own = value if isinstance(value, dict) else {"value": value}
    _check_keys(own, ("value", "source", "confidence"), path)
    if "value" not in own:
        raise TableError((*path, "value"), 'is missing; write a number or { value = 80, source = "..." }')
    number = _number(own["value"], path, most)
    return Figure(value=number * unit, **_source(own, path, table))


def _source(own: Mapping[str, Any], path: tuple[str, ...], table: Mapping[str, Any]) -> dict[str, str]:
    """Where a figure is from and how well it is known: its own words, or those of the table around it."""
    found = {key: _text(own.get(key, table[key]), (*path, key)) for key in ("source", "confidence")}
    if found["confidence"] not in CONFIDENCES:
        raise TableError((*path, "confidence"), f"{found['confidence']!r} is not one of {', '.join(CONFIDENCES)}")
    return found


def _peaks(given: Any, table: Mapping[str, Any], base: Mapping[str, Peak]) -> dict[str, Peak]:
    if not isinstance(given, dict):
        raise TableError(("peaks",), f"{shown(given)} is not a table; write [NAME.peaks] and below it fp16 = 312")
    _check_keys(given, COMPUTE_TYPES, ("peaks",))
    own = {key: _peak(value, table, ("peaks", key)) for key, value in given.items() if value is not False}
    left = {key: peak for key, peak in {**base, **own}.items() if given.get(key) is not False}
    peaks = {key: left[key] for key in COMPUTE_TYPES if key in left}
    if not any(key in peaks for key in _FALLBACKS):
        raise TableError(("peaks",), f"has none of {', '.join(_FALLBACKS)}, to which other formats could be decoded")
    return peaks


def _peak(value: Any, table: Mapping[str, Any], path: tuple[str, ...]) -> Peak:
    """A dense rate, or dense and sparse ones with their source."""
    own = value if isinstance(value, dict) else {"dense": value}
    _check_keys(own, ("dense", "sparse", "source", "confidence"), path)
    if "dense" not in own:
        raise TableError((*path, "dense"), "is missing; datasheets' largest figures are sparse, the dense one is half")
    defaults = _source(own, path, table)
    dense = _figure(own["dense"], defaults, (*path, "dense") if own is value else path, _TERA, _MOST_TERA)
    if "sparse" not in own:
        return Peak(dense=dense)
    sparse = _figure(own["sparse"], defaults, (*path, "sparse"), _TERA, _MOST_TERA)
    if sparse.value < dense.value:
        raise TableError((*path, "sparse"), "is less than the dense rate; are the two swapped?")
    return Peak(dense=dense, sparse=sparse)
