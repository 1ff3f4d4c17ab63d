"""Integer operations that keep their type: Numba widens int16 and int32 to int64, which quarters the lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload


def _binary(emit):
    """An operation of two integers of one type."""

    def typed(typingctx, x, y):
        if not isinstance(x, types.Integer) or x != y:
            return None

        def codegen(context, builder, signature, args):
            return emit(builder, *args)

        return x(x, x), codegen

    return intrinsic(typed)


def _unary(emit):
    """An operation of one integer."""

    def typed(typingctx, x):
        if not isinstance(x, types.Integer):
            return None

        def codegen(context, builder, signature, args):
            return emit(builder, args[0])

        return x(x), codegen

    return intrinsic(typed)


def _call(name):
    def emit(builder, x, y):
        function = builder.module.declare_intrinsic(f"llvm.{name}", [x.type], ir.FunctionType(x.type, [x.type] * 2))
        return builder.call(function, [x, y])

    return emit


def _flagged(name):
    """LLVM's abs and ctlz: the flag 0 says that every argument has a result."""

    def emit(builder, x):
        kind = ir.FunctionType(x.type, [x.type, ir.IntType(1)])
        function = builder.module.declare_intrinsic(f"llvm.{name}", [x.type], kind)
        return builder.call(function, [x, ir.Constant(ir.IntType(1), 0)])

    return emit


add = _binary(lambda builder, x, y: builder.add(x, y))
sub = _binary(lambda builder, x, y: builder.sub(x, y))
mul = _binary(lambda builder, x, y: builder.mul(x, y))
both = _binary(lambda builder, x, y: builder.and_(x, y))
either = _binary(lambda builder, x, y: builder.or_(x, y))
xor = _binary(lambda builder, x, y: builder.xor(x, y))
#: Shifts by 0 to the type's bits less 1: to the left, of the bits to the right, and of the signed number.
shl = _binary(lambda builder, x, y: builder.shl(x, y))
shr = _binary(lambda builder, x, y: builder.lshr(x, y))
sar = _binary(lambda builder, x, y: builder.ashr(x, y))
largest = _binary(_call("smax"))
least = _binary(_call("smin"))
magnitude = _unary(_flagged("abs"))
#: Zeros before the leading one; all bits of 0.
leading_zeros = _unary(_flagged("ctlz"))


@intrinsic
def cast(typingctx, x, model):
    """``x`` in the type of ``model``, sign-extended or cut."""
    if not isinstance(x, types.Integer) or not isinstance(model, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        target = context.get_value_type(model)
        if target.width == args[0].type.width:
            return args[0]
        return (builder.sext if target.width > args[0].type.width else builder.trunc)(args[0], target)

    return model(x, model), codegen


@intrinsic
def last(typingctx, x):
    """The longest shift of the type of ``x``, its bits less 1."""
    if not isinstance(x, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        return ir.Constant(args[0].type, args[0].type.width - 1)

    return x(x), codegen


def pick(values, index):
    """The element of an array, or a number that stands for all elements."""
    raise RuntimeError("compiled code only")  # pragma: no cover


@overload(pick, inline="always")
def _pick(values, index):
    if isinstance(values, types.Array):
        return lambda values, index: values[index]
    return lambda values, index: values
