"""What the tests of support share."""

from __future__ import annotations

from fpsim.cost.device import Device
from fpsim.cost.device_file import find
from fpsim.cost.support import Support, support
from fpsim.number import Format
from fpsim.number.names import format as named


def of(weights: str | Format | None, acts: str | Format | None, device: str | Device, dtype: str = "fp16") -> Support:
    """How a device computes weights and activations of two formats."""
    w, a = (named(fmt) if isinstance(fmt, str) else fmt for fmt in (weights, acts))
    return support(w, a, find(device) if isinstance(device, str) else device, dtype)
