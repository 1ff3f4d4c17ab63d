"""LLVM instructions of the roundings, for scalars and for SIMD vectors alike.

Numba promotes 32-bit integer arithmetic to 64 bits, which halves the SIMD width, and does not vectorise
loops of 16 or 32 elements. So the few instructions that matter are emitted directly; every function takes
an ``IRBuilder`` and values of a float type or a vector of it, and the compiler does the rest.
"""

from __future__ import annotations

from llvmlite import ir

F32, F64, I32, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
#: float type -> (integer type of the same width, exponent mask, sign mask, mantissa bits)
LAYOUT = {
    F32: (I32, 0x7F800000, 0x80000000, 23),
    F64: (I64, 0x7FF0000000000000, 0x8000000000000000, 52),
}


def element(value: ir.Value) -> ir.Type:
    """Element type of a scalar or vector value."""
    return value.type.element if isinstance(value.type, ir.VectorType) else value.type


def integer_type(value: ir.Value) -> ir.Type:
    """The integer type, scalar or vector, of the same shape and width as a float value."""
    integer = LAYOUT[element(value)][0]
    return ir.VectorType(integer, value.type.count) if isinstance(value.type, ir.VectorType) else integer


def constant(type_: ir.Type, number: float | int) -> ir.Constant:
    """A constant of a scalar type, or the same in each lane of a vector type."""
    if isinstance(type_, ir.VectorType):
        return ir.Constant(type_, [number] * type_.count)
    return ir.Constant(type_, number)


def splat(builder: ir.IRBuilder, scalar: ir.Value, count: int) -> ir.Value:
    """A vector with the scalar in each lane."""
    vector = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(vector, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, vector, ir.Constant(ir.VectorType(I32, count), [0] * count))


def load(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """The vector at a pointer, which is aligned no better than an element: blocks start anywhere."""
    value = builder.load(pointer)
    value.align = _alignment(value)
    return value


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
    """Write a vector to a pointer as in :func:`load`."""
    builder.store(value, pointer).align = _alignment(value)


def _alignment(value: ir.Value) -> int:
    kind = element(value)
    return int(kind.width) // 8 if isinstance(kind, ir.IntType) else 4 if kind == F32 else 8


def bits(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The bit pattern of a float."""
    return builder.bitcast(x, integer_type(x))


def magnitude(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """|x| by clearing the sign bit."""
    mask = constant(integer_type(x), LAYOUT[element(x)][2] - 1)
    return builder.bitcast(builder.and_(bits(builder, x), mask), x.type)


def clamped(builder: ir.IRBuilder, a: ir.Value, maximum: ir.Value) -> ir.Value:
    """``maximum`` where ``a`` is greater, else ``a``; NaN stays."""
    return builder.select(builder.fcmp_ordered(">", a, maximum), maximum, a)


def signed_like(builder: ir.IRBuilder, a: ir.Value, x: ir.Value) -> ir.Value:
    """``a`` with the sign of ``x`` (``a`` has none)."""
    mask = constant(integer_type(x), LAYOUT[element(x)][2])
    sign = builder.and_(bits(builder, x), mask)
    return builder.bitcast(builder.or_(bits(builder, a), sign), x.type)


def magic_sum(builder: ir.IRBuilder, a: ir.Value, emin_field: ir.Value, shift: ir.Value) -> tuple[ir.Value, ir.Value]:
    """``(c, a + c)`` with c = 2^(max(exponent of a, emin) + shift); both arguments are in the exponent's place."""
    field = builder.and_(bits(builder, a), constant(integer_type(a), LAYOUT[element(a)][1]))
    field = builder.select(builder.icmp_signed("<", field, emin_field), emin_field, field)
    c = builder.bitcast(builder.add(field, shift), a.type)
    return c, builder.fadd(a, c)


def round_magic(builder, x, maximum, emin_field, shift):
    """The magic formulation: clamp, add, subtract, sign."""
    a = clamped(builder, magnitude(builder, x), maximum)
    c, total = magic_sum(builder, a, emin_field, shift)
    return signed_like(builder, builder.fsub(total, c), x)


def round_integer(builder, x, maximum, min_normal, small, drop, parity):
    """The integer formulation: round half to even on the bit pattern, the magic sum below ``min_normal``."""
    a = clamped(builder, magnitude(builder, x), maximum)
    pattern = bits(builder, a)
    zero, one = constant(pattern.type, 0), constant(pattern.type, 1)
    unit = builder.shl(one, drop)
    half = builder.lshr(unit, one)  # 0 where nothing is dropped, and then the last bit must not count either
    last = builder.and_(builder.xor(builder.lshr(pattern, drop), parity), one)
    nudge = builder.select(builder.icmp_signed("==", half, zero), zero, builder.sub(builder.add(half, last), one))
    rounded = builder.and_(builder.add(pattern, nudge), builder.sub(zero, unit))
    below = builder.fsub(builder.fadd(a, small), small)
    # NaN compares false and takes the sum's branch, where it stays NaN.
    is_normal = builder.fcmp_ordered(">=", a, min_normal)
    return signed_like(builder, builder.select(is_normal, builder.bitcast(rounded, a.type), below), x)


def round_linear(builder, x, lo, hi):
    """Clamp to [lo, hi], then round to an integer by the magic number 1.5 · 2^mantissa_bits; −0 becomes +0."""
    low = builder.select(builder.fcmp_ordered("<", x, lo), lo, x)
    a = builder.select(builder.fcmp_ordered(">", low, hi), hi, low)
    magic = constant(x.type, 1.5 * 2.0 ** LAYOUT[element(x)][3])
    return builder.fsub(builder.fadd(a, magic), magic)
