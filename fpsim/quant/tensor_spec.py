"""How one kind of tensor is quantized: a format with its scales."""

from __future__ import annotations

from dataclasses import dataclass

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.label import label
from fpsim.number.names import format as resolve
from fpsim.quant import granularity as views
from fpsim.quant.biases import check_biases
from fpsim.quant.blocks import with_scales


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """How one kind of tensor is quantized: a format with its scales.

    Args:
        format: a format.
        granularity: ``tensor``, ``channel`` or ``block:N``; block formats have their own.
        scale: a rule of :mod:`fpsim.quant.scales`, or of blocks such as ``e8m0-floor``.
        biases: exponent biases, one an output channel, of a float format per ``channel`` with scale ``none``; they
            stand for the format's own bias. A search finds them.

    Raises:
        FpsimError: parts that do not fit each other.
    """

    format: Format
    granularity: str
    scale: str
    biases: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        with_scales(self.format, views.parse(self.granularity), self.scale)
        if self.biases is not None:
            check_biases(self.biases, self.format, self.granularity, self.scale)

    @property
    def stored(self) -> Format:
        """The format that is stored: a block format where blocks have scales in a format of their own."""
        return with_scales(self.format, views.parse(self.granularity), self.scale)

    def __str__(self) -> str:
        if isinstance(self.format, BlockFormat):
            return label(self.format)
        if self.biases is not None:
            return f"{self.format.name}, per channel, biases {min(self.biases):.4g} to {max(self.biases):.4g}"
        where = "per " + self.granularity.replace(":", " of ")
        return f"{label(self.format)}, " + ("no scale" if self.scale == "none" else f"{where}, {self.scale} scale")


def spec(fmt: str | Format | None, granularity: str, scale: str) -> TensorSpec | None:
    """Return a TensorSpec, or None for None and ``none``.

    Raises:
        FpsimError: unknown format, granularity or rule; a rule of blocks (``e8m0-floor``) on another granularity.
    """
    if fmt is None or fmt == "none":
        return None
    return TensorSpec(format=resolve(fmt), granularity=granularity, scale=scale)


def refuse_channels() -> None:
    """Refuse activations per channel."""
    raise FpsimError("activations per channel do not fold into a matrix product; choose tensor or block:N")
