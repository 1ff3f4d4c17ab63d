"""The roundings as functions that Numba code can call: on scalars, and on tiles of 16 lanes for blocks."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fpsim.codec import numba_emit as emit

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


@intrinsic
def tile_amax(typingctx, array, index, tiles):
    """Largest magnitude of ``16 · tiles`` elements of a C-contiguous array from flat ``index``; NaN is ignored."""

    def codegen(context, builder, signature, args):
        type_ = context.get_value_type(array.dtype)
        vector = ir.VectorType(type_, LANES)
        best = cgutils.alloca_once_value(builder, emit.constant(vector, 0.0))
        with cgutils.for_range(builder, args[2]) as loop:
            value = emit.magnitude(builder, _load(builder, _tile(context, builder, array, args[0], args[1], loop.index)))
            old = builder.load(best)
            builder.store(builder.select(builder.fcmp_ordered(">", value, old), value, old), best)
        bits = emit.bits(builder, builder.load(best))  # magnitudes order as their bit patterns do
        integer = bits.type.element
        name = f"llvm.vector.reduce.umax.v{LANES}i{integer.width}"
        reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(integer, [bits.type]), name)
        return builder.bitcast(builder.call(reduce, [bits]), type_)

    return array.dtype(array, types.intp, types.intp), codegen


@intrinsic
def tile_round_magic(typingctx, array, out, index, tiles, scale, maximum, emin_field, shift, zero):
    """Round ``16 · tiles`` elements from flat ``index``: ``s · round(x / s) + zero`` by the magic formulation."""
    scalar, integer = array.dtype, _int_of(array.dtype)

    def codegen(context, builder, signature, args):
        factor, maximum, emin_field, shift, zero = (emit.splat(builder, value, LANES) for value in args[4:])

        def body(x):
            g = emit.round_magic(builder, builder.fdiv(x, factor), maximum, emin_field, shift)
            return builder.fadd(builder.fmul(g, factor), zero)

        return _map_tiles(context, builder, signature, args, body)

    return types.void(array, out, types.intp, types.intp, scalar, scalar, integer, integer, scalar), codegen


@intrinsic
def tile_round_linear(typingctx, array, out, index, tiles, scale, lo, hi):
    """Round ``16 · tiles`` elements from flat ``index`` to ``s · rint(clamp(x / s, lo, hi))``."""
    scalar = array.dtype

    def codegen(context, builder, signature, args):
        factor, lo, hi = (emit.splat(builder, value, LANES) for value in args[4:])

        def body(x):
            return builder.fmul(emit.round_linear(builder, builder.fdiv(x, factor), lo, hi), factor)

        return _map_tiles(context, builder, signature, args, body)

    return types.void(array, out, types.intp, types.intp, scalar, scalar, scalar), codegen


def _map_tiles(context, builder, signature, args, body):
    """Apply ``body`` to each tile of ``args[0]``, storing into ``args[1]``."""
    array, out = signature.args[:2]
    with cgutils.for_range(builder, args[3]) as loop:
        value = body(_load(builder, _tile(context, builder, array, args[0], args[2], loop.index)))
        store = builder.store(value, _tile(context, builder, out, args[1], args[2], loop.index))
        store.align = _size(value)
    return context.get_dummy_value()


def _tile(context, builder, array_type, array, start, number):
    """Pointer to 16 elements from ``start + 16 · number`` of a C-contiguous array, as a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.add(start, builder.mul(number, ir.Constant(number.type, LANES)))
    vector = ir.VectorType(context.get_value_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _load(builder, pointer):
    value = builder.load(pointer)
    value.align = _size(value)  # blocks start anywhere: no more than the element's own alignment
    return value


def _size(value):
    return 4 if emit.element(value) == emit.F32 else 8


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
