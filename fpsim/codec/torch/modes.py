"""Every rounding mode and policy in torch operations: :mod:`fpsim.codec.numpy.modes` for any device.

Nothing here depends on values, so that ``torch.compile`` traces it whole.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fpsim.codec.plan import ModePlan
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.counter import M1, M2

INTEGER = {torch.float32: torch.int32, torch.float64: torch.int64}
EXPONENT = {torch.float32: 0x7F800000, torch.float64: 0x7FF0000000000000}
_MAGIC = {torch.float32: 2.0**23, torch.float64: 2.0**52}


def by_mode(t: Tensor, p: ModePlan, how: Conversion, thresholds: Tensor | None) -> Tensor:
    """Round quotients to a float format's grid.

    Args:
        t: float32 or float64.
        p: the format's constants for ``how``.
        how: mode and policies.
        thresholds: for stochastic rounding 2^random_bits less each element's random number, int64.
    """
    pattern, negative = t.abs().view(INTEGER[t.dtype]), t.signbit()
    infinity, clamped = EXPONENT[t.dtype], pattern.clamp(max=p.clamp)
    normal = _on_pattern(clamped, p, how, negative, thresholds)
    reach = _reach(p.lift, p.lift2, thresholds)
    below = _by_residual(clamped.view(t.dtype), p.small, p.unit, how.rounding, negative, reach)
    g = torch.where(clamped >= p.min_normal, normal, below.view(normal.dtype))
    if how.overflow is Overflow.SPECIAL:
        stays = _stays(how.rounding, p, negative) & (pattern < infinity)
        beyond = torch.where(stays, torch.full_like(g, p.max), torch.full_like(g, p.special))
        g = torch.where(g > p.max, beyond, g)
    elif how.overflow is Overflow.PROPAGATE:
        g = torch.where(pattern == infinity, torch.full_like(g, p.special), g)
    nan = torch.full_like(g, p.nan).view(t.dtype)
    return torch.where(pattern > infinity, nan, g.view(t.dtype).copysign(t))


def linear_by_mode(t: Tensor, lo: Tensor, hi: Tensor, how: Conversion, thresholds: Tensor | None) -> Tensor:
    """Round quotients to the integers between ``lo`` and ``hi``; arguments as in :func:`by_mode`."""
    inside, negative = t.clamp(lo, hi), t.signbit()
    reach = _reach(2.0**how.random_bits, 1.0, thresholds)
    g = _by_residual(inside.abs(), _MAGIC[t.dtype], 1.0, how.rounding, negative, reach).copysign(inside)
    nan = t if how.nan is NanPolicy.KEEP else hi if how.nan is NanPolicy.MAX else torch.zeros_like(t)
    return torch.where(t.isnan(), nan, g + 0.0)


def thresholds(shape: torch.Size, keys: Tensor, random_bits: int) -> Tensor:
    """2^random_bits less the random numbers of an array, which :mod:`fpsim.number.counter` defines, int64.

    Args:
        shape: of the array; indices count in C order.
        keys: int64 ``[n, 2]``: the keys of each 2^32 elements, on the array's device.
        random_bits: 1 to 24.
    """
    index = torch.arange(shape.numel(), device=keys.device)
    key, second = (keys[index >> 32] if len(keys) > 1 else keys[0]).unbind(-1)
    x = (index & 0xFFFFFFFF) ^ key
    x = _product(x ^ (x >> 16), M1)
    x = _product(x ^ (x >> 15) ^ second, M2)
    return ((1 << random_bits) - ((x ^ (x >> 16)) >> (32 - random_bits))).reshape(shape)


def _product(x: Tensor, factor: int) -> Tensor:
    """The lower 32 bits of a product, without overflow on the way."""
    upper = ((x * (factor >> 16)) & 0xFFFF) << 16
    return (x * (factor & 0xFFFF) + upper) & 0xFFFFFFFF


def _stays(mode: Rounding, p: ModePlan, negative: Tensor) -> Tensor:
    if mode is Rounding.TOWARD_POSITIVE:
        return negative
    if mode is Rounding.TOWARD_NEGATIVE:
        return ~negative
    always = mode is Rounding.TOWARD_ZERO or (mode is Rounding.TO_ODD and bool(p.stays))
    return torch.full_like(negative, always)


def _away(mode: Rounding, negative: Tensor) -> Tensor:
    if mode is Rounding.TOWARD_ZERO:
        return torch.zeros_like(negative)
    return negative if mode is Rounding.TOWARD_NEGATIVE else ~negative


def _on_pattern(a: Tensor, p: ModePlan, how: Conversion, negative: Tensor, thresholds: Tensor | None) -> Tensor:
    unit = 1 << p.drop
    rest, odd = a & (unit - 1), ((a >> p.drop) ^ p.parity) & 1
    half = max(unit >> 1, 1)  # without dropped bits the rest is 0 and never reaches it
    if how.rounding is Rounding.TIES_TO_EVEN:
        up = rest + odd > half
    elif how.rounding is Rounding.TIES_TO_AWAY:
        up = rest >= half
    elif how.rounding is Rounding.TO_ODD:
        up = (rest != 0) & (odd == 0)
    elif thresholds is not None:
        up = (rest.long() << p.left) >= (thresholds << p.right)
    else:
        up = (rest != 0) & _away(how.rounding, negative)
    return torch.where(up, a - rest + unit, a - rest)


Reach = Callable[[Tensor], Tensor]


def _reach(lift: float, lift2: float, thresholds: Tensor | None) -> Reach | None:
    """Whether a distance from the lower neighbour reaches an element's threshold; every product is exact."""
    if thresholds is None:
        return None
    return lambda distance: distance * lift * lift2 >= thresholds.to(distance.dtype)


def _by_residual(a: Tensor, small: float, unit: float, mode: Rounding, negative: Tensor, reach: Reach | None) -> Tensor:
    """Round magnitudes to multiples of ``unit``; adding ``small`` does it to nearest even."""
    total = a + small
    g = total - small
    if mode is Rounding.TIES_TO_EVEN:
        return g
    rest = a - g
    if mode is Rounding.TIES_TO_AWAY:
        return torch.where((rest == unit / 2) & (rest > 0), g + unit, g)
    low = torch.where(rest < 0, g - unit, g)
    distance = a - low
    if mode is Rounding.TO_ODD:
        low_is_even = (total.view(INTEGER[a.dtype]) & 1 == 0) ^ (rest < 0)
        up = (distance > 0) & low_is_even
    elif reach is not None:
        up = reach(distance)
    else:
        up = (distance > 0) & _away(mode, negative)
    return torch.where(up, low + unit, low)
