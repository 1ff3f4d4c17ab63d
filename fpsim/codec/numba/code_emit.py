"""LLVM instructions between numbers and codes, for scalars and for SIMD vectors alike.

Every function takes an ``IRBuilder`` and values of a float type or a vector of it, as in
:mod:`fpsim.codec.numba.emit`; constants are scalars, or splat to the vector's lanes. Codes leave as integers of the
float's width, so that no step is promoted to 64 bits. Each instruction counts: the loops run at memory speed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from fpsim.codec.numba import emit


def is_nan(builder, t):
    """One bit a lane."""
    return builder.fcmp_unordered("uno", t, t)


def short(builder, t, maximum, emin_field, shift, drop):
    """The magic sum's code where only its low bits are kept: the magic number's own are 0 but for what ``shift`` adds.

    ``shift`` also carries the offset between the exponent fields, in units of the code.
    """
    a = emit.clamped(builder, emit.magnitude(builder, t), maximum)
    c, total = emit.magic_sum(builder, a, emin_field, shift)
    return builder.add(builder.lshr(emit.bits(builder, c), drop), emit.bits(builder, total))


def magic(builder, t, maximum, emin_field, shift, base, drop):
    """The magic sum's code: binades above emin (``base`` is the magic number's pattern there), then units."""
    a = emit.clamped(builder, emit.magnitude(builder, t), maximum)
    c, total = emit.magic_sum(builder, a, emin_field, shift)
    pattern = emit.bits(builder, c)
    binades = builder.lshr(builder.sub(pattern, base), drop)
    return builder.add(binades, builder.sub(emit.bits(builder, total), pattern))


def grid(builder, g, emin_field, drop, hidden, below_shift, min_normal, small, inf_code):
    """The code of a number on the grid, or of Inf.

    ``hidden`` is the code of ``min_normal``; adding ``small`` leaves the subnormals' units in the last bits.
    """
    a = emit.magnitude(builder, g)
    normal = builder.add(builder.lshr(builder.sub(emit.bits(builder, a), emin_field), drop), hidden)
    below = builder.sub(emit.bits(builder, builder.fadd(a, small)), emit.bits(builder, small))
    code = builder.select(builder.fcmp_ordered(">=", a, min_normal), normal, builder.shl(below, below_shift))
    infinite = builder.fcmp_ordered("==", a, emit.constant(a.type, float("inf")))
    return builder.select(infinite, inf_code, code)


def integer(builder, t, maximum, parity, *constants):
    """Round on the bit pattern, then read the code; ``constants`` as in :func:`grid`."""
    drop, min_normal, small = constants[1], constants[4], constants[5]
    return grid(builder, emit.round_integer(builder, t, maximum, min_normal, small, drop, parity), *constants)


def linear(builder, t, lo, hi, offset, mask):
    """Round to an integer by the magic number, whose last bits then hold it; add ``offset``."""
    low = builder.select(builder.fcmp_ordered("<", t, lo), lo, t)
    a = builder.select(builder.fcmp_ordered(">", low, hi), hi, low)
    number = emit.constant(t.type, 1.5 * 2.0 ** emit.LAYOUT[emit.element(t)][3])
    units = builder.sub(emit.bits(builder, builder.fadd(a, number)), emit.bits(builder, number))
    return builder.and_(builder.add(units, offset), mask)


ENCODERS: dict[str, Any] = {"short": short, "magic": magic, "grid": grid, "integer": integer, "linear": linear}


def signed(builder, code, t, signs, constants):
    """A magnitude code with the sign of ``t``.

    ``signs`` is ``none``, ``zero`` (−0 has a code), ``no-zero`` (it has not); with ``-nan``, NaN becomes the last
    constant. The others are the sign bit's distance from the top, the sign bit, and the code's mask.
    """
    if signs == "none":
        return code
    sign_shift, sign_bit, mask, nan_code = constants
    sign = builder.and_(builder.lshr(emit.bits(builder, t), sign_shift), sign_bit)
    if signs.startswith("no-zero"):
        zero = emit.constant(code.type, 0)
        sign = builder.select(builder.icmp_signed("==", builder.and_(code, mask), zero), zero, sign)
    code = builder.or_(code, sign)
    return builder.select(is_nan(builder, t), nan_code, code) if signs.endswith("-nan") else code


def encode(builder, t, kind, signs, constants):
    """The code of ``t``; the last four constants are those of :func:`signed`, unless ``signs`` is ``none``."""
    own = constants if signs == "none" else constants[:-4]
    return signed(builder, ENCODERS[kind](builder, t, *own), t, signs, constants[-4:])


def float_value(
    builder, code, real, magnitude_mask, hidden, drop, base, unit, max_code, inf_code, nan_code, sign_shift, sign_bit
):
    """The grid value of a float's code: normal ones by their bit pattern, subnormal ones as multiples of ``unit``.

    ``nan_code`` is a NaN besides the codes above ``max_code``; −1 stands for no code.
    """
    m = builder.and_(code, magnitude_mask)
    normal = builder.bitcast(builder.add(builder.shl(m, drop), base), real)
    below = builder.fmul(builder.sitofp(m, real), unit)
    value = builder.select(builder.icmp_signed(">=", m, hidden), normal, below)
    special = builder.or_(builder.icmp_signed(">", m, max_code), builder.icmp_signed("==", code, nan_code))
    value = builder.select(special, emit.constant(real, float("nan")), value)
    infinite = builder.icmp_signed("==", m, inf_code)
    value = builder.select(infinite, emit.constant(real, float("inf")), value)
    negative = builder.shl(builder.and_(code, sign_bit), sign_shift)
    return builder.bitcast(builder.or_(emit.bits(builder, value), negative), real)


def integer_value(builder, code, real, sign_shift, zero_point):
    """The integer of a code less ``zero_point``; ``sign_shift`` brings its sign bit to the top (0 without one)."""
    value = builder.sitofp(builder.ashr(builder.shl(code, sign_shift), sign_shift), real)
    return builder.fsub(value, zero_point)


DECODERS: dict[str, Any] = {"float": float_value, "integer": integer_value}


def decode(builder, code, kind, real, constants):
    """The grid value of a code that is as wide as ``real``, a float type or a vector of it."""
    return DECODERS[kind](builder, code, real, *constants)


def widened(builder, code, integer_type):
    """A code as an integer of the float's width."""
    wide = ir.VectorType(integer_type, code.type.count) if isinstance(code.type, ir.VectorType) else integer_type
    return code if code.type == wide else builder.zext(code, wide)


def narrowed(builder, code, integer_type):
    """The low bits of a code, as an integer of the array's type."""
    narrow = ir.VectorType(integer_type, code.type.count) if isinstance(code.type, ir.VectorType) else integer_type
    if _width(code) < integer_type.width:
        return builder.zext(code, narrow)
    return code if code.type == narrow else builder.trunc(code, narrow)


def _width(code):
    """Bits of an integer, or of a vector's lanes."""
    return code.type.element.width if isinstance(code.type, ir.VectorType) else code.type.width
