"""The specification of 8-bit integer products, on Python integers; the compiled engine equals it.

An instruction multiplies exactly and adds exactly; the sum and the accumulator are an int32, which wraps or, with PTX's
``.satfinite``, is limited to its ends. A zero point is no matter of the instruction: codes are multiplied, and what
the zero points added is taken away from the int32 sum afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from fpsim.tensorcore.integer_types import LARGEST, LEAST

Numbers = Sequence[int]


def wrapped(value: int) -> int:
    """Return an integer as int32 holds it, modulo 2^32."""
    return (value - LEAST) % (1 << 32) + LEAST


def limited(value: int) -> int:
    """Return the int32 nearest to an integer."""
    return min(max(value, LEAST), LARGEST)


def dot(a: Numbers, b: Numbers, c: int = 0, *, step: int | None = None) -> int:
    """Return the sum of a·b plus c after the instructions along K.

    Args:
        a, b: K integers each.
        c: the accumulator's start, an int32.
        step: products of one instruction that saturates; None for instructions that wrap.

    >>> dot([255] * 4, [127] * 4, 2**31 - 1), dot([255] * 4, [127] * 4, 2**31 - 1, step=2)
    (-2147354109, 2147483647)
    """
    if step is None:
        return wrapped(c + sum(x * y for x, y in zip(a, b, strict=True)))
    for begin in range(0, len(a), step):
        part = slice(begin, begin + step)
        c = limited(c + sum(x * y for x, y in zip(a[part], b[part], strict=True)))
    return c


def dot_of_codes(a: Numbers, b: Numbers, a_zero: int, b_zero: int) -> int:
    """Return the sum of (a − a_zero)·(b − b_zero) as the int32 that the correction of Σ a·b leaves.

    Source: a·b − a_zero·Σb − b_zero·Σa + K·a_zero·b_zero, each term modulo 2^32; vLLM's CUTLASS epilogues
    (``ScaledEpilogueAzp``) have the first two, for weights without a zero point.
    """
    terms = (dot(a, b), -a_zero * sum(b), -b_zero * sum(a), len(a) * a_zero * b_zero)
    total = 0
    for term in terms:
        total = wrapped(total + wrapped(term))
    return total
