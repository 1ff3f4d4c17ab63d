"""The comment lines over a table: what the name resolved to."""

from __future__ import annotations

from fractions import Fraction

from fpsim.cli.facts import bias_split, minus, not_finite
from fpsim.cli.options import Resolved
from fpsim.cli.values import as_float, code_text, short_text, value_text
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat


def label(resolved: Resolved) -> str:
    """Return the format in one word or few: its name and what was changed, such as ``e2m1 bias=3``."""
    fmt, standard = resolved.format, resolved.standard
    changes = [
        f"{key}={getattr(fmt, key)}".lower()
        for key in ("bias", "specials", "subnormals")
        if isinstance(fmt, FloatFormat) and getattr(fmt, key) != getattr(standard, key)
    ]
    return " ".join([fmt.name, *changes])


def headline(resolved: Resolved, fmt: ElementFormat, width: int) -> tuple[str, ...]:
    """Return the lines that say what a name resolved to, without their ``#``.

    Args:
        resolved: the name that was asked for.
        fmt: the element format that it stands for.
        width: the working width of the values, 32 or 64.
    """
    local = resolved.asked.rpartition("#")[2]
    name = fmt.name if local == fmt.name else f"{local} = {fmt.name}"
    source = fmt.source or "no source given"
    if isinstance(fmt, IntFormat):
        return (f"{name}  {fmt.bits} bits  {_int_range(fmt)}", source)
    if isinstance(fmt, CodebookFormat):
        return (f"{name}  {fmt.bits} bits  codebook of {len(fmt.values)} values", source)
    standard = resolved.standard if isinstance(resolved.standard, FloatFormat) else fmt
    lines = [_float_facts(name, fmt, standard, width)]
    if not isinstance(fmt.bias, int):
        lines += _scale_lines(fmt, width)
    return (*lines, "; ".join([source, *_changes(fmt, standard)]))


def _float_facts(name: str, fmt: FloatFormat, standard: FloatFormat, width: int) -> str:
    scale = Fraction(fmt.scale(width))
    bias = f"bias {fmt.bias}" + (f" (standard {standard.bias})" if fmt.bias != standard.bias else "")
    if scale == 1:
        largest = short_text(fmt.max)
    else:
        largest = value_text(as_float(fmt, scale * fmt.max, width), rounded=width == 32)
    flags = [not_finite(fmt)]
    flags += ["unsigned"] * (not fmt.signed) + ["no zero"] * (not fmt.zero)
    return "  ".join(
        (
            name,
            bias,
            f"{fmt.bits} bits",
            f"precision {fmt.precision}",
            f"emin {fmt.emin}",
            f"emax {fmt.emax}",
            f"max {largest}",
            ", ".join(flags),
        )
    )


def _scale_lines(fmt: FloatFormat, width: int) -> tuple[str, str]:
    whole, rest = bias_split(fmt)
    scale = value_text(fmt.scale(width), rounded=width == 32)
    return (
        f"bias {fmt.bias} = {whole} + {rest}: grid bias {whole} * scale 2^-{rest} = {scale} (float{width})",
        "value and exact are scale * grid; emin, emax, exp and significand are the grid's",
    )


def _changes(fmt: FloatFormat, standard: FloatFormat) -> list[str]:
    changes = []
    if fmt.bias != standard.bias:
        about = "" if isinstance(fmt.bias, int) else ", to the scale's rounding"
        changes.append(f"bias changed: values are the standard ones times 2^{minus(standard.bias, fmt.bias)}{about}")
    if fmt.specials != standard.specials:
        changes.append(f"specials changed: {fmt.specials} (standard {standard.specials})")
    if fmt.zero and not fmt.subnormals:
        changes.append("no subnormals: exponent field 0 holds only zeros")
    return changes


def _int_range(fmt: IntFormat) -> str:
    text = f"{short_text(fmt.lo * fmt.unit)} to {short_text(fmt.max)}"
    if fmt.fraction_bits:
        text += f" in steps of {short_text(fmt.unit)}"
    if fmt.signed and not fmt.full:
        unused = 1 << (fmt.bits - 1)
        text += f", symmetric: code {code_text(unused, fmt.bits)} ({short_text(-unused * fmt.unit)}) is not used"
    return text
