"""One sentence about what a device does with a pair of formats."""

from __future__ import annotations

from fpsim.cost.device import Device
from fpsim.cost.holding import holds_but_largest
from fpsim.cost.operand import FULL, Operand, elements
from fpsim.number import FloatFormat


def note(
    sides: tuple[Operand, Operand],
    decoded: tuple[bool, bool],
    device: Device,
    *,
    compute: str,
    exact: bool,
    faster: str,
) -> str:
    """Return the sentence, without a full stop.

    Args:
        sides: weights and activations.
        decoded: which of them are decoded to ``compute``.
        device: the device.
        compute: the type that is multiplied.
        exact: whether it holds all values of both.
        faster: a type that would hold them too, at a higher rate.
    """
    w, a = sides
    if w.element is None and a.element is None:
        lacks = f"{device.name} has no {w.name}; it " if compute != w.name else f"{device.name} "
        return f"{lacks}computes in {compute}"
    if not any(decoded):
        return f"{device.name} multiplies {w.name} by {a.name} natively, at the {compute} rate" + _slow(device, compute)
    what = "both are" if all(decoded) else "weights are" if decoded[0] else "activations are"
    parts = [f"{device.name} does not multiply {w.name} by {a.name}: {what} stored, decoded to {compute}, at its rate"]
    if not exact:
        parts.append(f"{compute} does not hold all their values")
    if faster:
        parts.append(f"a kernel that widens them to {faster} would lose no value either")
    parts += dict.fromkeys(filter(None, (_almost(side, device) for side in sides)))
    return "; ".join(parts)


def _slow(device: Device, compute: str) -> str:
    """A warning where the native rate is below that of full precision."""
    rates = {key: device.peaks[key].dense.value for key in ("fp16", "bf16", compute) if key in device.peaks}
    best = max(rates, key=lambda key: rates[key])
    return f", which is below its {best} rate" if compute not in FULL and rates[best] > rates[compute] else ""


def _almost(side: Operand, device: Device) -> str:
    """A hint where the largest value alone keeps a format from being a type that the device multiplies."""
    element = side.element
    if not isinstance(element, FloatFormat) or side.types.intersection(device.peaks):
        return ""
    for key in ("fp8", "fp6", "fp4"):
        for hardware in elements(key) if key in device.peaks else ():
            if (
                hardware.bits == element.bits
                and isinstance(hardware, FloatFormat)
                and holds_but_largest(hardware, element)
            ):
                return f"but for its largest value, {side.name} is {hardware.name} up to scale"
    return ""
