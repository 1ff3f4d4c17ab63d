"""Block formats: elements that share a scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fpsim.errors import FpsimError
from fpsim.number.codebook import CodebookFormat
from fpsim.number.floats import FloatFormat
from fpsim.number.ints import IntFormat


class ScaleRule(StrEnum):
    """How a block's scale follows from its largest magnitude ``amax``.

    The first four give powers of two, with ``emax`` the exponent of the element format's maximum.
    """

    #: 2^(floor(log2 amax) − emax): OCP MX v1.0, section 6.3.
    FLOOR = "floor"
    #: 2^(ceil(log2 amax) − emax).
    CEIL = "ceil"
    #: As floor, after rounding amax half up to the element's mantissa width.
    EVEN = "even"
    #: 2^ceil(log2(amax / max)): the smallest power of two that avoids saturation.
    RCEIL = "rceil"
    #: amax / max, rounded to the scale format (NVFP4).
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFormat:
    """Blocks of elements along an axis, each with one scale in a format of its own.

    Args:
        name: what outputs call it; not part of the format's identity.
        element: format of the elements.
        block: elements that share a scale; a short last block has its own.
        scale: format of the scales.
        rule: how a scale follows from its block.
        tensor_scale: whether a further float32 scale per tensor brings the block scales into range (NVFP4).
        source: standard or paper and section.

    Raises:
        FpsimError: a rule that the scale format cannot follow.
    """

    name: str = field(compare=False)
    element: FloatFormat | IntFormat | CodebookFormat
    block: int
    scale: FloatFormat
    rule: ScaleRule
    tensor_scale: bool = False
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", ScaleRule(self.rule))
        if not 2 <= self.block <= 65536:
            raise FpsimError(f"block format {self.name!r}: block {self.block}; it needs 2 to 65536 elements")
        if not isinstance(self.scale.bias, int):
            raise FpsimError(
                f"block format {self.name!r}: its scale format needs an integer bias, not {self.scale.bias}"
            )
        power_of_two = self.scale.mantissa_bits == 0
        if power_of_two is (self.rule is ScaleRule.MAX):
            raise FpsimError(
                f"block format {self.name!r}: scale rule '{self.rule}' does not fit scale format {self.scale.name!r}: "
                "floor, ceil, even and rceil need a format without mantissa bits (e8m0), max needs one with"
            )

    @property
    def bits(self) -> float:
        """Bits an element on average, block scale included (the tensor scale is left out)."""
        return self.element.bits + self.scale.bits / self.block
