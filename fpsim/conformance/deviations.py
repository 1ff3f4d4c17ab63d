"""Documented deviations of other libraries: facts in ``deviations.toml``, each with a checkable kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.classify import CLASSES
from fpsim.conformance.grid import Floats
from fpsim.conformance.kinds import Kind, predicted
from fpsim.conformance.trials import Trial
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.conversion import Conversion
from fpsim.number.names import format as named

_KEYS = {"backend", "versions", "formats", "classes", "kind", "overflow", "what", "source"}
_RANGE = re.compile(r"(>=|<)(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A documented fact about a library.

    Args:
        backend: name of the adapter.
        versions: of the library, such as ``>=2.12`` or ``>=2.4,<2.12``.
        formats: catalogue names; ``*`` is all that the library has.
        classes: of the numbers that it concerns.
        kind: what happens, exactly.
        overflow: under which overflow policies that is a deviation; empty for all.
        what: the fact in words.
        source: where it is documented or discussed.
    """

    backend: str
    versions: str
    formats: tuple[str, ...]
    classes: tuple[str, ...]
    kind: Kind
    overflow: tuple[str, ...] = ()
    what: str
    source: str

    def concerns(self, backend: str, version: str, fmt: ElementFormat, how: Conversion) -> bool:
        """Whether the fact holds for a library's version, a format and a conversion."""
        return (
            self.backend == backend
            and within(version, self.versions)
            and ("*" in self.formats or any(named(name) == fmt for name in self.formats))
            and (not self.overflow or how.overflow in self.overflow)
        )


def within(version: str, versions: str) -> bool:
    """Whether a version lies in a range.

    >>> within("2.13.0+cpu", ">=2.12"), within("2.9.1", ">=2.4,<2.9")
    (True, False)

    Raises:
        FpsimError: the range cannot be read.
    """
    own = _numbers(version)
    for part in versions.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise FpsimError(f"version range {versions!r} cannot be read; write '>=2.12' or '>=2.4,<2.12'")
        if (own >= _numbers(match[2])) is not (match[1] == ">="):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


@lru_cache(maxsize=1)
def documented() -> tuple[Deviation, ...]:
    """Return the facts of ``deviations.toml``."""
    text = files("fpsim.conformance").joinpath("deviations.toml").read_text(encoding="utf-8")
    return tuple(_deviation(entry) for entry in tomllib.loads(text)["deviation"])


def _deviation(entry: dict[str, Any]) -> Deviation:
    unknown = sorted({*entry} - _KEYS) + sorted({*entry.get("classes", ())} - {*CLASSES})
    if unknown:
        raise FpsimError(f"deviations.toml: {unknown[0]!r} is neither a key nor a class of numbers")
    lists = {key: tuple(entry.get(key, ())) for key in ("formats", "classes", "overflow")}
    return Deviation(**{**entry, **lists, "kind": Kind(entry["kind"])})


def explained(
    facts: Iterable[Deviation],
    trial: Trial,
    fmt: ElementFormat,
    how: Conversion,
    got: Floats,
    wrong: NDArray[np.bool_],
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return which mismatches are what documented facts say: a label and a mask for each combination of facts.

    Args:
        facts: that concern the library, format and conversion.
        trial: the numbers.
        fmt: what they were rounded to.
        how: what they are compared with.
        got: what the library gave.
        wrong: where that is not what the oracle says.
    """
    found, left = [], wrong.copy()
    if trial.zero_point is not None:
        return []
    narrow = trial.x.dtype == np.float32
    listed = {fact.kind: fact for fact in facts if not (narrow and fact.kind is Kind.THROUGH_FLOAT32)}
    for together in _subsets(list(listed.values())):
        if not left.any():
            break
        allowed = np.isin(trial.classes, [CLASSES.index(name) for fact in together for name in fact.classes])
        kinds = [fact.kind for fact in together]
        same = left & allowed & agree(got, predicted(kinds, trial.x, fmt, trial.scale, how))
        if same.any():
            found.append((" + ".join(kinds), same))
            left &= ~same
    return found


def _subsets(facts: Sequence[Deviation]) -> list[tuple[Deviation, ...]]:
    """One fact, two, three, four: more never apply to one number."""
    return [group for size in (1, 2, 3, 4) for group in combinations(facts, size)]


def agree(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Where two arrays agree bit for bit, any NaN being any other."""
    pattern = f"u{a.dtype.itemsize}"
    same = np.ascontiguousarray(a).view(pattern) == np.ascontiguousarray(b.astype(a.dtype)).view(pattern)
    return np.asarray(same | (np.isnan(a) & np.isnan(b)))
