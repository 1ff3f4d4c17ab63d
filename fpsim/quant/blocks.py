"""What an element format becomes when its values share scales in blocks."""

from __future__ import annotations

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, FloatFormat, Format, ScaleRule
from fpsim.number.names import format as resolve
from fpsim.quant.granularity import Granularity, PerBlock
from fpsim.quant.scales import RULES, is_rule


def with_scales(fmt: Format, granularity: Granularity, scale: str) -> Format:
    """Return the format that a granularity and a scale rule make of a format.

    An element format in blocks whose scales have a format of their own, such as ``e8m0-floor``, is a block format;
    a block format stays what it is, and so does an element format with scales in full precision.

    Args:
        fmt: any format.
        granularity: which values share a scale; a block format has its own.
        scale: a rule of :mod:`fpsim.quant.scales`, or a scale format and a rule of blocks.

    Raises:
        FpsimError: unknown rule, or one that does not fit the granularity or the formats.
    """
    check_rule(scale)
    if isinstance(fmt, BlockFormat):
        _check_own(fmt, granularity, scale)
    if isinstance(fmt, BlockFormat) or is_rule(scale):
        return fmt
    kind, _, rule = scale.rpartition("-")
    if not isinstance(granularity, PerBlock):
        raise FpsimError(f"scale rule {scale!r} is for blocks, not per {granularity}; use block:N or one of {RULES}")
    scale_format = resolve(kind)
    if not isinstance(scale_format, FloatFormat):
        raise FpsimError(f"scale rule {scale!r}: {kind} is no floating-point format for scales; use e8m0 or e4m3")
    return BlockFormat(
        name=f"{fmt.name} block:{granularity.size} {scale}",
        element=fmt,
        block=granularity.size,
        scale=scale_format,
        rule=ScaleRule(rule),
    )


def _check_own(fmt: BlockFormat, granularity: Granularity, scale: str) -> None:
    """A block format has blocks and scales of its own; other ones that were asked for must not vanish silently."""
    if isinstance(granularity, PerBlock) and granularity.size != fmt.block:
        raise FpsimError(f"{fmt.name} has blocks of {fmt.block}, not of {granularity.size}; drop one")
    if not is_rule(scale) and scale != f"{fmt.scale.name}-{fmt.rule}":
        raise FpsimError(f"{fmt.name} has the scale rule {fmt.scale.name}-{fmt.rule}, not {scale}; drop one of them")


def check_rule(scale: str) -> None:
    """Refuse what is no scale rule anywhere.

    Raises:
        FpsimError: unknown rule.
    """
    kind, _, rule = scale.rpartition("-")
    if not is_rule(scale) and not (kind and rule in set(ScaleRule)):
        blocks = f"a scale format and a rule such as e8m0-floor ({', '.join(ScaleRule)})"
        raise FpsimError(f"scale rule {scale!r} is not one of {RULES} or, in blocks, {blocks}")
