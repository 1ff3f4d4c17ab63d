"""The roundings as functions that Numba code can call: on scalars, and on tiles of 16 lanes for blocks."""

from __future__ import annotations

from functools import lru_cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fpsim.codec.numba import emit

LANES = 16


def _int_of(x):
    return types.int32 if x == types.float32 else types.int64


@intrinsic
def round_magic(typingctx, x, maximum, emin_field, shift):
    """``x`` on the grid by the magic formulation; arguments as in :class:`fpsim.codec.plan.MagicPlan`."""
    integer = _int_of(x)

    def codegen(context, builder, signature, args):
        return emit.round_magic(builder, *args)

    return x(x, x, integer, integer), codegen


@intrinsic
def round_integer(typingctx, x, maximum, min_normal, small, drop, parity):
    """``x`` on the grid by the integer formulation; arguments as in :class:`fpsim.codec.plan.MagicPlan`."""
    integer = _int_of(x)

    def codegen(context, builder, signature, args):
        return emit.round_integer(builder, *args)

    return x(x, x, x, x, integer, integer), codegen


@intrinsic
def round_linear(typingctx, x, lo, hi):
    """``x`` clamped to [lo, hi] and rounded to an integer, ties to even."""

    def codegen(context, builder, signature, args):
        return emit.round_linear(builder, *args)

    return x(x, x, x), codegen


@lru_cache(maxsize=64)
def top_bits(block):
    """An operation ``(array, index)``: the largest magnitude's bit pattern in ``block`` elements from flat ``index``.

    Magnitudes order as their bit patterns do, NaN above Inf; comparing integers halves the latency.
    ``block`` is a multiple of 16.
    """

    @intrinsic
    def operation(typingctx, array, index):
        def codegen(context, builder, signature, args):
            vector = ir.VectorType(emit.LAYOUT[context.get_value_type(array.dtype)][0], LANES)
            best = cgutils.alloca_once_value(builder, emit.constant(vector, 0))

            def step(number):
                value = emit.load(builder, _tile(context, builder, array, args[0], args[1], number))
                pattern = emit.bits(builder, emit.magnitude(builder, value))
                old = builder.load(best)
                builder.store(builder.select(builder.icmp_signed(">", pattern, old), pattern, old), best)

            _each_tile(builder, block // LANES, args[1].type, step)
            name = f"llvm.vector.reduce.smax.v{LANES}i{vector.element.width}"
            kind = ir.FunctionType(vector.element, [vector])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [builder.load(best)])

        return _int_of(array.dtype)(array, types.intp), codegen

    return operation


@lru_cache(maxsize=64)
def round_block(block, elements):
    """An operation ``(array, out, index, scale, inverse, *constants)`` that rounds a block from flat ``index``.

    ``elements`` is ``divide`` or ``multiply`` (magic formulation on ``x / s``, or on ``x · inverse``, which is the
    same where s is a power of two; constants: maximum, emin_field, shift, zero) or ``linear`` (lo, hi).
    """

    @intrinsic
    def operation(typingctx, array, out, index, scale, inverse, constants):
        def codegen(context, builder, signature, args):
            factor, inverse = (emit.splat(builder, value, LANES) for value in args[3:5])
            fixed = [emit.splat(builder, v, LANES) for v in cgutils.unpack_tuple(builder, args[5])]

            def rounded(x):
                if elements == "linear":
                    return builder.fmul(emit.round_linear(builder, builder.fdiv(x, factor), *fixed), factor)
                t = builder.fdiv(x, factor) if elements == "divide" else builder.fmul(x, inverse)
                g = emit.round_magic(builder, t, *fixed[:3])
                return builder.fadd(builder.fmul(g, factor), fixed[3])

            def step(number):
                value = rounded(emit.load(builder, _tile(context, builder, array, args[0], args[2], number)))
                emit.store(builder, value, _tile(context, builder, out, args[1], args[2], number))

            _each_tile(builder, block // LANES, args[2].type, step)
            return context.get_dummy_value()

        return types.void(array, out, types.intp, scale, inverse, constants), codegen

    return operation


def _each_tile(builder, tiles, index_type, step):
    """Emit ``step`` for each tile: one after the other for the usual blocks, as a loop for long ones."""
    if tiles <= 8:
        for number in range(tiles):
            step(ir.Constant(index_type, number))
        return
    with cgutils.for_range(builder, ir.Constant(index_type, tiles)) as loop:
        step(loop.index)


def _tile(context, builder, array_type, array, start, number):
    """Pointer to 16 elements from ``start + 16 · number`` of a C-contiguous array, as a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.add(start, builder.mul(number, ir.Constant(number.type, LANES)))
    vector = ir.VectorType(context.get_value_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


@intrinsic
def bits_of(typingctx, x):
    """The bit pattern of a float as a signed integer of its width."""

    def codegen(context, builder, signature, args):
        return emit.bits(builder, args[0])

    return _int_of(x)(x), codegen


@intrinsic
def float_of(typingctx, pattern):
    """The float of an int32's or int64's bit pattern."""
    narrow = pattern == types.int32

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], emit.F32 if narrow else emit.F64)

    return (types.float32 if narrow else types.float64)(pattern), codegen
