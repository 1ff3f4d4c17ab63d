"""What a device does with formats: multiplies them as they are, or keeps them in memory and decodes them."""

from __future__ import annotations

from dataclasses import dataclass

from fpsim.cost.device import Device
from fpsim.cost.operand import FULL, Operand, is_held, operand
from fpsim.cost.support_note import note
from fpsim.number import FloatFormat, Format

#: Narrow floating-point types, in the order of their rates; Blackwell multiplies any two of them with each other.
_NARROW = ("fp8", "fp6", "fp4")
#: Types to which a kernel could widen narrower formats without losing a value.
_WIDER = ("int4", "int8", "fp8")
#: What stands in for a type of full precision that a device lacks, best first.
_STAND_INS = {
    "fp16": ("fp16", "bf16", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How a device computes products of weights and activations.

    Attributes:
        level: ``native``: both are multiplied as they are in memory; ``stored``: at least one is decoded to
            ``compute`` first.
        compute: the type that is multiplied, a key of the device's peaks.
        weight_bits: bits of a weight in memory, scales of blocks included.
        act_bits: the same of an activation.
        decode_weights: whether weights are decoded on the way to the matrix unit.
        decode_acts: the same of activations.
        exact: whether ``compute`` holds all values of both formats.
        faster: a compute type with a higher rate that would hold all values of both if a kernel widened them to it,
            "" if there is none.
        note: one sentence for outputs.
    """

    level: str
    compute: str
    weight_bits: float
    act_bits: float
    decode_weights: bool
    decode_acts: bool
    exact: bool
    faster: str
    note: str

    @property
    def decode(self) -> bool:
        """Whether anything is decoded."""
        return self.decode_weights or self.decode_acts


def support(weights: Format | None, acts: Format | None, device: Device, dtype: str = "fp16") -> Support:
    """Return what a device does with a pair of formats.

    A format counts as a type of the hardware if it has the type's width and its values, before its own scale, are all
    values of the type up to one power of two. Both operands must be such types that the device multiplies with each
    other. Where activations are such a type and it holds the weights' values as well, weights are widened to it on the
    way, as mixed-input kernels do (e2m1 by e4m3 on Hopper); everything else is decoded to ``dtype``, or to what stands
    in for it.

    Args:
        weights: format of the weights; None is full precision.
        acts: format of the activations; None is full precision.
        device: the device.
        dtype: full precision: ``fp32``, ``tf32``, ``fp16`` or ``bf16``.

    Raises:
        FpsimError: ``dtype`` is none of these.

    >>> from fpsim.cost.device_file import find
    >>> from fpsim.number.names import format
    >>> found = support(format("e2m1"), format("e4m3"), find("orin-agx"))
    >>> found.level, found.compute, found.weight_bits
    ('stored', 'fp16', 4.0)
    """
    w, a = operand(weights, dtype), operand(acts, dtype)
    native = _native(w, a, device)
    compute = native or _widened(w, a, device) or _decoded_to(w, a, device, dtype)
    decode_weights, decode_acts = (not native and _is_decoded(side, compute) for side in (w, a))
    exact = bool(native) or all(side.element is None or is_held(compute, side.element) for side in (w, a))
    faster = _faster(w, a, device, compute)
    return Support(
        level="stored" if decode_weights or decode_acts else "native",
        compute=compute,
        weight_bits=w.bits,
        act_bits=a.bits,
        decode_weights=decode_weights,
        decode_acts=decode_acts,
        exact=exact,
        faster=faster,
        note=note((w, a), (decode_weights, decode_acts), device, compute=compute, exact=exact, faster=faster),
    )


def _native(w: Operand, a: Operand, device: Device) -> str:
    """The compute type that multiplies both as they are, or ""."""
    common = [key for key in device.peaks if key in w.types and key in a.types]
    alike = [key for key in common if key not in ("fp6", "fp4")]
    scales = {w.scales, a.scales}
    if alike and scales == {"none"}:
        return max(alike, key=lambda key: _rate(device, key))
    narrow = [key for key in _NARROW if key in device.peaks]
    if not _scales_blocks(device) or not all(side.types.intersection(narrow) for side in (w, a)):
        return ""
    if "fp4" in common and len(scales) == 1 and scales <= {"mx", "nv"}:
        return "fp4"
    return narrow[0] if scales <= {"none", "mx"} else ""  # a plain operand gets block scales of 1


def _widened(w: Operand, a: Operand, device: Device) -> str:
    """The type of the activations to which a kernel widens the weights, or "": at a rate above the stand-in's only."""
    key = _faster(w, a, device, _decoded_to(w, a, device, "fp16"))
    return key if key in a.types else ""


def _scales_blocks(device: Device) -> bool:
    """Whether the matrix unit applies scales of blocks itself and mixes widths of floats."""
    return device.architecture.startswith("blackwell") or device.architecture == "other"


def _decoded_to(w: Operand, a: Operand, device: Device, dtype: str) -> str:
    """The first stand-in for full precision that the device has, or that of its width that holds both formats."""
    there = [key for key in (*_STAND_INS[dtype], "fp32", "bf16", "fp16") if key in device.peaks]
    wide = [key for key in there if FULL[key] == FULL[dtype]]
    return next((key for key in wide if is_held(key, w.element) and is_held(key, a.element)), there[0])


def _is_decoded(side: Operand, compute: str) -> bool:
    """Whether an operand differs from the compute type; another full precision of the same width replaces it."""
    if side.element is None:
        return FULL[compute] != side.bits
    return compute not in side.types or side.scales != "none"


def _faster(w: Operand, a: Operand, device: Device, compute: str) -> str:
    """The fastest type above ``compute`` to which both could be widened; floats stay floats."""
    if compute not in FULL or any(side.element is None or side.scales != "none" for side in (w, a)):
        return ""
    floats = any(isinstance(side.element, FloatFormat) for side in (w, a))
    wider = [key for key in _WIDER if key in device.peaks and not (floats and key.startswith("int"))]
    held = [key for key in wider if is_held(key, w.element) and is_held(key, a.element)]
    best = max(held, key=lambda key: _rate(device, key), default="")
    return best if best and _rate(device, best) > _rate(device, compute) else ""


def _rate(device: Device, compute: str) -> float:
    return device.peaks[compute].dense.value
