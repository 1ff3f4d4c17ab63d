"""One phrase that says which format a name stands for."""

from __future__ import annotations

from fpsim.number import BlockFormat, CodebookFormat, Format, IntFormat


def label(fmt: Format) -> str:
    """Return the name with the facts that names alone leave open: bias, specials and largest value, or the range.

    >>> from fpsim.number.names import format
    >>> label(format("e4m3")), label(format("int8"))
    ('e4m3 (bias 7, fn, max 448)', 'int8 (-127 to 127)')
    """
    if isinstance(fmt, BlockFormat):
        scale = f"{fmt.scale.name}-{fmt.rule}" + (" and a float32 scale per tensor" if fmt.tensor_scale else "")
        return f"{fmt.name} ({label(fmt.element)} in blocks of {fmt.block}, scale {scale})"
    if isinstance(fmt, IntFormat):
        unit = "" if fmt.unit == 1 else f" times {fmt.unit}"
        return f"{fmt.name} ({fmt.lo} to {fmt.hi}{unit})"
    if isinstance(fmt, CodebookFormat):
        return f"{fmt.name} ({len(fmt.values)} values, {fmt.values[0]:g} to {fmt.values[-1]:g})"
    largest = float(fmt.max) * fmt.scale()
    kind = "all finite" if fmt.specials == "none" else str(fmt.specials)
    flags = "" if fmt.subnormals or not fmt.zero else ", no subnormals"
    return f"{fmt.name} (bias {fmt.bias:g}, {kind}{flags}, max {largest:g})"
