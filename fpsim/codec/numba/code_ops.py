"""Encoding and decoding as functions that Numba code can call: one number, or a block in tiles of 16 lanes."""

from __future__ import annotations

from functools import lru_cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fpsim.codec.numba import code_emit, emit
from fpsim.codec.numba.ops import LANES


def _int_of(real):
    return types.int32 if real == types.float32 else types.int64


@lru_cache(maxsize=32)
def encode_one(kind, signs):
    """An operation ``(t, constants)``: the code, in an integer of the width of ``t``."""

    @intrinsic
    def operation(typingctx, t, constants):
        def codegen(context, builder, signature, args):
            return code_emit.encode(builder, args[0], kind, signs, cgutils.unpack_tuple(builder, args[1]))

        return _int_of(t)(t, constants), codegen

    return operation


@intrinsic
def or_nan(typingctx, flag, t):
    """``flag``, an int32, with bit 0 set if ``t`` is NaN."""

    def codegen(context, builder, signature, args):
        return builder.or_(args[0], builder.zext(code_emit.is_nan(builder, args[1]), emit.I32))

    return types.int32(types.int32, t), codegen


@intrinsic
def or_code(typingctx, seen, code):
    """``seen``, an int32, with the bits of a code of at most 32 bits."""

    def codegen(context, builder, signature, args):
        return builder.or_(args[0], code_emit.widened(builder, args[1], emit.I32))

    return types.int32(types.int32, code), codegen


@lru_cache(maxsize=16)
def decode_one(kind, narrow):
    """An operation ``(code, constants)``: the grid value in float32 (``narrow``) or float64."""
    real = types.float32 if narrow else types.float64

    @intrinsic
    def operation(typingctx, code, constants):
        def codegen(context, builder, signature, args):
            float_type = emit.F32 if narrow else emit.F64
            wide = code_emit.widened(builder, args[0], emit.LAYOUT[float_type][0])
            return code_emit.decode(builder, wide, kind, float_type, cgutils.unpack_tuple(builder, args[1]))

        return real(code, constants), codegen

    return operation


@lru_cache(maxsize=64)
def encode_block(block, kind, signs):
    """An operation ``(x, codes, index, scale, constants)`` on a block; returns an int32, not 0 if any was NaN."""

    @intrinsic
    def operation(typingctx, x, codes, index, scale, constants):
        def codegen(context, builder, signature, args):
            factor = emit.splat(builder, args[3], LANES)
            fixed = [emit.splat(builder, v, LANES) for v in cgutils.unpack_tuple(builder, args[4])]
            seen = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(LANES), 0))

            def step(place):
                t = builder.fdiv(emit.load(builder, _tile(context, builder, x, args[0], place)), factor)
                code = code_emit.encode(builder, t, kind, signs, fixed)
                if not signs.endswith("-nan"):
                    nan = builder.bitcast(code_emit.is_nan(builder, t), ir.IntType(LANES))
                    builder.store(builder.or_(builder.load(seen), nan), seen)
                target = _tile(context, builder, codes, args[1], place)
                emit.store(builder, code_emit.narrowed(builder, code, target.type.pointee.element), target)

            _each_tile(builder, block, args[2], step)
            return builder.zext(builder.load(seen), emit.I32)

        return types.int32(x, codes, types.intp, scale, constants), codegen

    return operation


@lru_cache(maxsize=64)
def decode_block(block, kind):
    """An operation ``(codes, y, index, scale, zero, constants)`` on a block; returns the bits of its codes, or-ed."""

    @intrinsic
    def operation(typingctx, codes, y, index, scale, zero, constants):
        def codegen(context, builder, signature, args):
            factor, added = (emit.splat(builder, value, LANES) for value in args[3:5])
            fixed = [emit.splat(builder, v, LANES) for v in cgutils.unpack_tuple(builder, args[5])]
            real = context.get_value_type(y.dtype)
            stored = ir.VectorType(context.get_data_type(codes.dtype), LANES)
            seen = cgutils.alloca_once_value(builder, emit.constant(stored, 0))

            def step(place):
                code = emit.load(builder, _tile(context, builder, codes, args[0], place))
                builder.store(builder.or_(builder.load(seen), code), seen)
                wide = code_emit.widened(builder, code, emit.LAYOUT[real][0])
                value = code_emit.decode(builder, wide, kind, ir.VectorType(real, LANES), fixed)
                value = builder.fadd(builder.fmul(value, factor), added)
                emit.store(builder, value, _tile(context, builder, y, args[1], place))

            _each_tile(builder, block, args[2], step)
            return code_emit.widened(builder, _any(builder, builder.load(seen)), emit.I32)

        return types.int32(codes, y, types.intp, scale, zero, constants), codegen

    return operation


def _any(builder, vector):
    name = f"llvm.vector.reduce.or.v{LANES}i{vector.type.element.width}"
    kind = ir.FunctionType(vector.type.element, [vector.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


def _each_tile(builder, block, start, step):
    """Emit ``step`` for the index of each tile: one after the other for the usual blocks, as a loop for long ones."""
    if block <= 8 * LANES:
        for place in range(0, block, LANES):
            step(builder.add(start, ir.Constant(start.type, place)))
        return
    with cgutils.for_range(builder, ir.Constant(start.type, block // LANES)) as loop:
        step(builder.add(start, builder.mul(loop.index, ir.Constant(start.type, LANES))))


def _tile(context, builder, array_type, array, place):
    """Pointer to 16 elements of a C-contiguous array from flat index ``place``, as a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(context.get_data_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())
