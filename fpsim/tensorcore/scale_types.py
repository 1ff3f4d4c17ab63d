"""Block formats behind the names of operand types."""

from __future__ import annotations

from fpsim.number import BlockFormat, FloatFormat
from fpsim.number.names import format as named_format


def _block(name: str) -> BlockFormat:
    fmt = named_format(name)
    assert isinstance(fmt, BlockFormat)
    return fmt


def block_of(name: str) -> int:
    """Return how many elements of a type share a scale."""
    return _block(name).block


def scale_format(name: str) -> FloatFormat:
    """Return the format of a type's scales."""
    return _block(name).scale
