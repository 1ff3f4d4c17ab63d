"""Budgets on the command line."""

from __future__ import annotations

import math
import re

from fpsim.errors import FpsimError
from fpsim.methods.allocation_request import Limit

_NUMBER = r"(?P<value>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)"
_PREFIX = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "p": 10**15,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
}
_BUDGET = re.compile(rf"{_NUMBER}(?:(?P<bits>bpw|bpa)|(?P<size>[kmgt]|[kmg]i|)b|(?P<work>[kmgtp]|)bops)", re.IGNORECASE)
_LATENCY = re.compile(rf"(?P<device>[^\s:]+):{_NUMBER}(?P<unit>s|ms|us)", re.IGNORECASE)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_SAID = "4.5bpw (bits a weight), 12MB, 12MiB, 6bpa (bits an activation), 800Gbops or b200:8ms (a device's time)"


def read_budget(text: str) -> Limit:
    """Return the budget of a text.

    Args:
        text: ``4.5bpw`` (bits a weight with its scales), ``12MB``, ``900kB``, ``12MiB`` (packed weights), ``6bpa``
            (bits an activation), ``800Gbops`` (bit-operations of a sample and call of the denoiser) or ``b200:8ms``
            (predicted time of a call of the denoiser for one image on a device of ``fpsim cost``).

    Raises:
        FpsimError: anything else, or no positive number.

    >>> read_budget("12MB").value, read_budget("1.5MiB").value, read_budget("4.5bpw").kind, read_budget("8Gbops").kind
    (12000000.0, 1572864.0, 'bpw', 'bops')
    """
    timed = _LATENCY.fullmatch(text.strip())
    if timed is not None:
        seconds = float(timed["value"]) * _SECONDS[timed["unit"].lower()]
        return Limit(kind="latency", value=_positive(seconds, text), text=text, device=timed["device"])
    match = _BUDGET.fullmatch(text.strip())
    if match is None:
        raise FpsimError(f"--budget {text!r} is none of {_SAID}")
    value = float(match["value"])
    if match["bits"]:
        kind = match["bits"].lower()
    else:
        kind = "bytes" if match["size"] is not None else "bops"
        value *= _PREFIX[(match["size"] or match["work"] or "").lower()]
    return Limit(kind=kind, value=_positive(value, text), text=text)


def _positive(value: float, text: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise FpsimError(f"--budget {text!r}: give a positive number")
    return value
