"""What follows from a format, as a flat record: the JSON of ``formats`` and the head of ``table``."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from fpsim.cli.values import code_text, exact_scale, exact_text
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, Format, IntFormat, ScaleRule

_RULES = {
    ScaleRule.FLOOR: "2^(floor(log2 amax) - emax of the element)",
    ScaleRule.CEIL: "2^(ceil(log2 amax) - emax of the element)",
    ScaleRule.EVEN: "as floor, after rounding amax half up to the element's mantissa width",
    ScaleRule.RCEIL: "2^ceil(log2(amax / max of the element))",
    ScaleRule.MAX: "amax / max of the element, rounded to the scale format",
}


def facts(fmt: Format) -> dict[str, Any]:
    """Return all facts of a format, ready for JSON; exact numbers are fraction strings."""
    if isinstance(fmt, FloatFormat):
        return _float(fmt)
    if isinstance(fmt, IntFormat):
        return _int(fmt)
    if isinstance(fmt, CodebookFormat):
        return _codebook(fmt)
    return _block(fmt)


def _float(fmt: FloatFormat) -> dict[str, Any]:
    scale = exact_scale(fmt)
    least = fmt.min_subnormal
    return {
        "name": fmt.name,
        "kind": "float",
        "bits": fmt.bits,
        "exponent_bits": fmt.exponent_bits,
        "mantissa_bits": fmt.mantissa_bits,
        "bias": fmt.bias,
        "grid_bias": fmt.grid.bias,
        "scale": float(scale),
        "signed": fmt.signed,
        "specials": str(fmt.specials),
        "subnormals": fmt.subnormals,
        "zero": fmt.zero,
        "negative_zero": fmt.has_negative_zero,
        "precision": fmt.precision,
        "emin": fmt.emin,
        "emax": fmt.emax,
        "max": exact_text(scale * fmt.max),
        "min_normal": exact_text(scale * fmt.min_normal),
        "min_subnormal": None if least is None else exact_text(scale * least),
        "inf_codes": code_ranges(fmt, inf_codes(fmt)) or None,
        "nan_codes": code_ranges(fmt, nan_codes(fmt)) or None,
        "source": fmt.source,
    }


def _int(fmt: IntFormat) -> dict[str, Any]:
    return {
        "name": fmt.name,
        "kind": "int",
        "bits": fmt.bits,
        "signed": fmt.signed,
        "full": fmt.full or not fmt.signed,
        "fraction_bits": fmt.fraction_bits,
        "levels": fmt.hi - fmt.lo + 1,
        "min": exact_text(fmt.lo * fmt.unit),
        "max": exact_text(fmt.max),
        "step": exact_text(fmt.unit),
        "source": fmt.source,
    }


def _codebook(fmt: CodebookFormat) -> dict[str, Any]:
    return {
        "name": fmt.name,
        "kind": "codebook",
        "bits": fmt.bits,
        "levels": len(fmt.values),
        "min": fmt.values[0],
        "max": fmt.values[-1],
        "values": list(fmt.values),
        "source": fmt.source,
    }


def _block(fmt: BlockFormat) -> dict[str, Any]:
    return {
        "name": fmt.name,
        "kind": "block",
        "bits": fmt.bits,
        "element": fmt.element.name,
        "element_bits": fmt.element.bits,
        "block": fmt.block,
        "scale": fmt.scale.name,
        "scale_bits": fmt.scale.bits,
        "rule": str(fmt.rule),
        "rule_means": _RULES[fmt.rule],
        "tensor_scale": fmt.tensor_scale,
        "source": fmt.source,
    }


def inf_codes(fmt: FloatFormat) -> list[range]:
    """Return the codes of Inf as ranges, the positive ones first."""
    return [] if fmt.inf_code is None else _both_signs(fmt, range(fmt.inf_code, fmt.inf_code + 1))


def nan_codes(fmt: FloatFormat) -> list[range]:
    """Return the codes of NaN as ranges, the positive ones first."""
    if fmt.nan_code is None:
        return []
    if fmt.nan_is_negative_zero:
        return [range(fmt.nan_code, fmt.nan_code + 1)]
    first = fmt.nan_code if fmt.inf_code is None else fmt.inf_code + 1
    return _both_signs(fmt, range(first, fmt.magnitude_mask + 1))


def _both_signs(fmt: FloatFormat, codes: range) -> list[range]:
    negative = range(codes.start | fmt.sign_bit, codes.stop + fmt.sign_bit)
    return [codes, negative] if fmt.signed else [codes]


def code_ranges(fmt: FloatFormat, ranges: list[range]) -> str:
    """Return code ranges as text, such as ``0x7d-0x7f 0xfd-0xff``."""
    ends = [[code_text(code, fmt.bits) for code in {r.start: 0, r.stop - 1: 0}] for r in ranges]
    return " ".join("-".join(pair) for pair in ends)


def not_finite(fmt: FloatFormat) -> str:
    """Return in words which codes are no finite numbers.

    >>> not_finite(FloatFormat(name="e2m1", exponent_bits=2, mantissa_bits=1, bias=1))
    'no Inf, no NaN'
    """
    infinite, nan = code_ranges(fmt, inf_codes(fmt)), code_ranges(fmt, nan_codes(fmt))
    words = [f"Inf {infinite}" if infinite else "no Inf", f"NaN {nan}" if nan else "no NaN"]
    if fmt.nan_is_negative_zero:
        words.append("no -0")
    return ", ".join(words)


def bias_split(fmt: FloatFormat) -> tuple[str, str]:
    """Return a real bias as its integer part and its fraction, such as ``("2", "0.7")`` for 2.7."""
    whole = math.floor(fmt.bias)
    return str(whole), minus(fmt.bias, whole)


def minus(a: float, b: float) -> str:
    """Return a − b of the decimal numbers as they are written: ``-1.7`` for 1 and 2.7, where floats give -1.7000…2."""
    return str(Decimal(repr(a)) - Decimal(repr(b))).removesuffix(".0")
