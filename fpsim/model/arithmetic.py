"""Which arithmetic computes the products of quantized layers: torch's own FP32, or a tensor core's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fpsim.errors import FpsimError
from fpsim.tensorcore.architecture import architectures

#: What torch itself computes.
FP32 = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """A tensor core that multiplies the operands of quantized layers.

    Args:
        arch: an architecture of :func:`fpsim.tensorcore.architecture.architectures`.
        promote_every: elements of K after which a sum is added to one in FP32; None keeps it in the instruction.
        operand_type: the type of all operands; None chooses the narrowest that holds a layer's formats.

    Raises:
        FpsimError: an unknown architecture, or an interval that is no positive number.
    """

    arch: str
    promote_every: int | None = None
    operand_type: str | None = None

    def __post_init__(self) -> None:
        if self.arch not in architectures():
            raise FpsimError(f"arithmetic {self.arch!r} is not one of {FP32}, {', '.join(architectures())}")
        if self.promote_every is not None and self.promote_every < 1:
            raise FpsimError(f"--promote-every {self.promote_every}: give a positive number of elements, such as 128")

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON values, without those that are not set."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        said = [self.arch]
        said += [f"{self.operand_type} operands"] if self.operand_type else []
        said += [f"promoted to FP32 every {self.promote_every} elements"] if self.promote_every else []
        return ", ".join(said)


def named(
    arithmetic: str | Arithmetic | None, *, promote_every: int | None = None, operand_type: str | None = None
) -> Arithmetic | None:
    """Return the arithmetic of a name; None for FP32, which torch computes.

    Args:
        arithmetic: ``fp32``, an architecture, or an arithmetic.
        promote_every, operand_type: as :class:`Arithmetic` has them.

    Raises:
        FpsimError: an unknown name, or settings of a tensor core for FP32.

    >>> str(named("hopper", promote_every=128))
    'hopper, promoted to FP32 every 128 elements'
    """
    if isinstance(arithmetic, Arithmetic):
        return arithmetic
    if arithmetic is None or arithmetic == FP32:
        for option, value in (("promote-every", promote_every), ("operand-type", operand_type)):
            if value is not None:
                raise FpsimError(f"--{option} {value} is for tensor cores; add --arithmetic, such as hopper")
        return None
    return Arithmetic(arch=arithmetic, promote_every=promote_every, operand_type=operand_type)
