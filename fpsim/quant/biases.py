"""Exponent biases of output channels, such as a search finds them, as factors of one format's values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat, Format
from fpsim.quant.scales import Scales


def factors(bias: float, biases: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    """Return 2^(bias − b) for each b: what turns the values of a format of that bias into those of bias b.

    >>> factors(7, [7, 6.5, 5]).round(6).tolist()
    [1.0, 1.414214, 4.0]
    """
    found: NDArray[np.float64] = np.exp2(float(bias) - np.asarray(biases, np.float64))
    return found


def fixed_scales(fmt: FloatFormat, biases: Sequence[float], channels: int, width: int, name: str) -> Scales:
    """Return the scales with which a format's channels have these biases: the numbers of the width nearest the factors.

    Args:
        fmt: the format, whose own bias the factors start from.
        biases: one an output channel.
        channels: how many output channels the tensor has.
        width: of the tensor's working type, 32 or 64 bits.
        name: what errors call the tensor.

    Raises:
        FpsimError: another number of channels, or a factor that is no positive normal number of the width.
    """
    if len(biases) != channels:
        raise FpsimError(
            f"{name} has {channels} output channels, but the policy has {len(biases)} biases for it; "
            "it was made for another model: search again"
        )
    with np.errstate(over="ignore", under="ignore"):
        found = factors(fmt.bias, biases).astype(f"float{width}")
    try:
        return Scales(found)
    except FpsimError as error:
        raise FpsimError(f"{name}: the policy's biases lie too far from that of {fmt.name} ({error})") from None


def check_biases(biases: Sequence[float], fmt: Format, granularity: str, scale: str) -> None:
    """Refuse biases that cannot be a tensor's.

    Raises:
        FpsimError: none, one that is no finite number, no float format, or another granularity or scale rule.
    """
    if not biases or not all(map(_is_finite, biases)):
        raise FpsimError("biases are one finite number an output channel")
    if not isinstance(fmt, FloatFormat):
        raise FpsimError(f"biases are for floats, not for {fmt.name}; drop them")
    if granularity != "channel" or scale != "none":
        raise FpsimError(
            f"biases stand for the scales of channels, so granularity is 'channel' and scale 'none', "
            f"not {granularity!r} and {scale!r}"
        )


def _is_finite(bias: float) -> bool:
    try:
        return math.isfinite(bias)
    except (OverflowError, TypeError):  # an integer beyond float64; no number
        return False
