"""Conversion policies by the name of the library or hardware that they reproduce: ``formats/presets.toml``."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from fpsim.errors import FpsimError
from fpsim.number import Format
from fpsim.number.catalogue import builtin, folder
from fpsim.number.conversion import Conversion
from fpsim.number.label import label

#: What may follow a short name that stands for several presets, as in ``torch>=2.12`` and ``cuda-satfinite``.
_JOINTS = ("<", ">", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a library or a machine does with one format.

    Args:
        name: of the preset, such as ``torch>=2.12``.
        conversion: rounding mode, overflow and NaN policy.
        through: ``float32`` where float64 is rounded to it first; None where it is rounded once.
        source: the library or document, with its version.
        note: what else one should know, and how it was compared.
    """

    name: str
    conversion: Conversion
    through: Literal["float32"] | None
    source: str
    note: str


def preset(name: str, fmt: Format) -> Preset:
    """Return a preset's policies for a format.

    Args:
        name: one of :func:`presets`; case and spaces do not matter.
        fmt: an element format that equals one of those that the preset holds for.

    Raises:
        FpsimError: no such preset, a name that stands for several, or a format that it says nothing about.

    >>> from fpsim.number.names import format
    >>> str(preset("torch>=2.12", format("e4m3")).conversion), str(preset("torch<2.12", format("e4m3")).conversion)
    ('ties-to-even, saturate', 'ties-to-even, special')
    """
    key = _known(name)
    entry = _entries()[key]
    for group in entry["holds"]:
        if any(builtin()[known].format == fmt for known in group["formats"]):
            policies = {k: v for k, v in group.items() if k != "formats"}
            return Preset(
                name=key,
                conversion=Conversion(**policies),
                through=entry.get("through"),
                source=entry["source"],
                note=entry["note"],
            )
    others = presets(fmt)
    hint = f"; for it there are {', '.join(others)}" if others else ""
    raise FpsimError(f"preset {key!r} says nothing about {label(fmt)}; it holds for {', '.join(formats_of(key))}{hint}")


def presets(fmt: Format | None = None) -> tuple[str, ...]:
    """Return the names of the presets: all, or those that hold for a format."""
    if fmt is None:
        return tuple(_entries())
    return tuple(name for name in _entries() if any(builtin()[known].format == fmt for known in formats_of(name)))


def formats_of(name: str) -> tuple[str, ...]:
    """Return the catalogue names of the formats that a preset holds for.

    Raises:
        FpsimError: no such preset, or a name that stands for several.
    """
    return tuple(fmt for group in _entries()[_known(name)]["holds"] for fmt in group["formats"])


def _known(name: str) -> str:
    key, names = "".join(str(name).lower().split()), tuple(_entries())
    if key in names:
        return key
    several = [known for known in names if known.startswith(tuple(key + joint for joint in _JOINTS))]
    if several:
        raise FpsimError(f"preset {name!r} does not say which; choose {' or '.join(several)}")
    near = difflib.get_close_matches(key, names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise FpsimError(f"preset {name!r} is not available; there are {', '.join(names)}.{hint}")


@lru_cache(maxsize=1)
def _entries() -> dict[str, dict[str, Any]]:
    return tomllib.loads((folder() / "presets.toml").read_text(encoding="utf-8"))


__all__ = ["Preset", "formats_of", "preset", "presets"]
