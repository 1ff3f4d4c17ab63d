"""Rounding by mode as functions that Numba code can call on scalars."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from fpsim.codec.numba import mode_emit as emit
from fpsim.number.conversion import Rounding
from fpsim.number.counter import GOLDEN


@lru_cache(maxsize=64)
def round_mode(mode, overflow):
    """An operation ``(x, constants, threshold)``: ``x`` on a float format's grid."""
    random = mode is Rounding.STOCHASTIC

    @intrinsic
    def operation(typingctx, x, constants, threshold):
        def codegen(context, builder, signature, args):
            k = emit.Constants(*cgutils.unpack_tuple(builder, args[1]))
            return emit.round_mode(builder, args[0], k, mode, overflow, args[2] if random else None)

        return x(x, constants, types.int32), codegen

    return operation


@lru_cache(maxsize=64)
def round_linear(mode):
    """An operation ``(x, lo, hi, nan, lift, threshold)``: ``x`` as an integer from ``lo`` to ``hi``."""
    random = mode is Rounding.STOCHASTIC

    @intrinsic
    def operation(typingctx, x, lo, hi, nan, lift, threshold):
        def codegen(context, builder, signature, args):
            x, lo, hi, nan, lift, threshold = args
            return emit.round_linear(builder, x, lo, hi, nan, lift, mode, threshold if random else None)

        return x(x, x, x, x, x, types.int32), codegen

    return operation


@intrinsic
def random_threshold(typingctx, index, key, second, shift, steps):
    """2^random_bits less the random number of the element ``index``; see :mod:`fpsim.number.counter`."""

    def codegen(context, builder, signature, args):
        narrow = builder.trunc(args[0], args[1].type)
        return emit.threshold(builder, narrow, *args[1:])

    return types.int32(types.int64, types.int32, types.int32, types.int32, types.int32), codegen


@njit(inline="always")
def keys(seed, upper):
    """The two keys of a seed and the upper half of an index, as :func:`fpsim.number.counter.keys`."""
    golden, one = np.uint64(GOLDEN), np.uint64(1)
    key = _mixed(_mixed(seed + golden) + (np.uint64(upper) + one) * golden)
    return np.int32(key & np.uint64(0xFFFFFFFF)), np.int32(key >> np.uint64(32))


@njit(inline="always")
def _mixed(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
