"""What the adapters share: a division, the library's own rounding, a product."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fpsim.conformance.grid import Floats
from fpsim.conformance.oracle import times
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.number.names import format as named


def by_format(types: dict[str, Any]) -> dict[ElementFormat, Any]:
    """Return a library's types by the formats that catalogue names stand for; ``e4m3-fnuz@11`` has bias 11."""
    found: dict[ElementFormat, Any] = {}
    for name, kind in types.items():
        base, _, bias = name.partition("@")
        found[named(base, bias=float(bias) if bias else None)] = kind  # type: ignore[index]
    return found


def scaled(x: Floats, scale: Floats, out: Floats, rounded: Callable[[Floats], Floats]) -> None:
    """Write ``scale · rounded(x / scale)``; the division and the product are the specification's, not the library's."""
    with np.errstate(all="ignore"):
        out[...] = times(rounded(x / scale).astype(x.dtype), scale)


def refuse(library: str, fmt: ElementFormat, formats: tuple[str, ...]) -> FpsimError:
    """The error for a format that a library lacks."""
    return FpsimError(f"{library} has no {fmt.name}; it has {', '.join(formats)}")


def refuse_zero_point(library: str, zero_point: Any) -> None:
    """Refuse zero points.

    Raises:
        FpsimError: there is one.
    """
    if zero_point is not None:
        raise FpsimError(f"{library} has no zero points; leave it out")


class CastBackend(ABC):
    """A library with one cast a type; follows :class:`fpsim.conformance.adapters.Library`.

    A subclass names itself, its version and its types by the catalogue's names, and casts.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    types: ClassVar[dict[str, Any]]
    arrays = "numpy"
    roundings, overflows, nans = ("ties-to-even",), ("saturate", "special"), ("keep",)

    def __init__(self) -> None:
        self.formats = tuple(name for name in self.types if "@" not in name)
        self._types = by_format(self.types)

    @abstractmethod
    def cast(self, t: Floats, kind: Any) -> Floats:
        """Return quotients as the library's type has them, in a type that holds them."""

    def quantize(
        self,
        x: Floats,
        fmt: ElementFormat,
        scale: Floats,
        out: Floats,
        zero_point: Any = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write the values that the cast gives; ``how`` is what they will be compared with.

        Raises:
            FpsimError: a format that the library lacks, or a zero point.
        """
        refuse_zero_point(self.name, zero_point)
        if fmt.grid not in self._types:
            raise refuse(self.name, fmt, self.formats)
        scaled(x, scale, out, lambda t: self.cast(t, self._types[fmt.grid]))
