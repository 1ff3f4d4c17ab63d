"""A device: what it can do, in rates and sizes, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Kinds of devices.
KINDS = ("gpu", "cpu")
#: Architectures, by what their matrix units multiply.
ARCHITECTURES = (
    "volta",
    "turing",
    "ampere",
    "ada",
    "hopper",
    "blackwell-sm100",
    "blackwell-sm120",
    "x86",
    "other",
)
#: Types that a device may multiply natively, widest first.
COMPUTE_TYPES = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp6", "fp4", "int8", "int4")
#: How well a figure is known, best first.
CONFIDENCES = ("vendor", "secondary", "derived", "unverified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number from somewhere.

    Attributes:
        value: in the unit that its place says.
        confidence: ``vendor`` (the vendor's text was read), ``secondary`` (a text that cites it), ``derived`` (by a
            formula from other figures) or ``unverified``.
        source: where it is from.
    """

    value: float
    confidence: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Operations per second of one compute type, a multiply–accumulate counted as two.

    Attributes:
        dense: of dense matrices; the only one that estimates use.
        sparse: with 2:4 structured sparsity, if there is such a mode.
    """

    dense: Figure
    sparse: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU, a module or a CPU.

    Attributes:
        name: its id, such as ``h100-sxm``.
        label: what people call it.
        kind: ``gpu`` or ``cpu``.
        architecture: one of ``ARCHITECTURES``; ``other`` multiplies what its peaks list, block scales included.
        memory: bytes that a process can use.
        bandwidth: bytes per second, read and write together.
        l2: bytes of the last-level cache; None if unknown.
        tdp: watts.
        processors: streaming multiprocessors, or cores.
        clock: Hz at which the peaks hold; None if unknown.
        peaks: compute type (one of ``COMPUTE_TYPES``) to its rates. A type that is missing is not computed natively.
        mode: power mode that the figures belong to, "" if there is one only.
    """

    name: str
    label: str
    kind: str
    architecture: str
    memory: Figure
    bandwidth: Figure
    tdp: Figure
    processors: int
    peaks: Mapping[str, Peak]
    l2: Figure | None = None
    clock: float | None = None
    mode: str = ""
    notes: tuple[str, ...] = field(default=())
