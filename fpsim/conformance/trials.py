"""Cases as a backend gets them: as one row, with a scale for each row, and with zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.cases import Effort, cases, directed
from fpsim.conformance.classify import classify
from fpsim.conformance.grid import Floats
from fpsim.conformance.inputs import WIDE
from fpsim.number import ElementFormat, IntFormat

#: Powers of two and other numbers; each is rounded to the working width.
SCALES = (1.0, 2.0**-9, 3.0, 0.1, 7.3e-3, 1e3 / 3)
#: Directed cases that each scale gets.
COLUMNS = 480


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One call of a backend.

    Args:
        x: float32 or float64, ``[rows, columns]``.
        scale: ``[1, 1]`` or ``[rows, 1]``, the format's own scale included.
        zero_point: like ``scale``, or None.
        classes: of ``x``, indices into ``classify.CLASSES``.
    """

    x: Floats
    scale: Floats
    zero_point: Floats | None
    classes: NDArray[np.int8]


@lru_cache(maxsize=4)
def trials(fmt: ElementFormat, width: int, effort: Effort, seed: int) -> Sequence[Trial]:
    """Return the calls that a backend is tried with.

    Args:
        fmt: an element format of up to 16 bits.
        width: 32 or 64.
        effort: how many numbers.
        seed: of the random ones.
    """
    kind, own = WIDE[width], fmt.scale(width)
    every = cases(fmt, width, effort, seed)
    one = np.full((1, 1), own, kind.real)
    found = [Trial(x=every.x[None], scale=one, zero_point=None, classes=every.classes[None])]
    few = directed(fmt, kind)
    few = few[:: max(1, len(few) // COLUMNS)]
    scales = np.array(SCALES, kind.real)[:, None]
    x = _times(few, scales)
    found.append(Trial(x=x, scale=scales * one, zero_point=None, classes=classify(x, fmt, scales * one)))
    if isinstance(fmt, IntFormat) and not fmt.signed:
        found.append(_shifted(fmt, few, scales))
    return found


def _shifted(fmt: IntFormat, few: Floats, scales: Floats) -> Trial:
    """Numbers whose codes are the directed ones, with a zero point for each row."""
    points = np.linspace(0, fmt.hi, len(scales)).round().astype(scales.dtype)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        x = _times(few - points, scales)
        classes = classify(x / scales + points, fmt)
    return Trial(x=x, scale=scales, zero_point=points, classes=classes)


def _times(numbers: Floats, scales: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        product: Floats = numbers * scales
    return product
