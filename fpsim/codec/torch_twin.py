"""The torch backend: the same formulas in torch operations, for any device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from fpsim.codec.plan import LinearPlan, MagicPlan, TablePlan, plan
from fpsim.number import ElementFormat

_INTEGER = {torch.float32: torch.int32, torch.float64: torch.int64}
_EXPONENT = {torch.float32: 0x7F800000, torch.float64: 0x7FF0000000000000}


class TorchBackend:
    """Rounds tensors with torch operations; see :class:`fpsim.codec.protocol.Backend`."""

    name = "torch"
    arrays = "torch"

    def quantize(
        self, x: Tensor, fmt: ElementFormat, scale: Tensor, out: Tensor, zero_point: Tensor | None = None
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        p = plan(fmt, x.element_size() * 8)
        t = x / scale
        if isinstance(p, LinearPlan):
            shift = torch.zeros_like(scale) if zero_point is None else zero_point
            torch.mul(t.clamp(p.lo - shift, p.hi - shift).round().add_(0.0), scale, out=out).add_(0.0)
        elif isinstance(p, TablePlan):
            torch.mul(_by_table(t, p), scale, out=out)
        else:
            g = _by_integer(t, p) if p.integer else _by_magic(t, p)
            torch.mul(g, scale, out=out).add_(p.zero)


def _by_magic(t: Tensor, p: MagicPlan) -> Tensor:
    integer = _INTEGER[t.dtype]
    a = t.abs().clamp_(max=p.max)  # clamp keeps NaN
    field = (a.view(integer) & _EXPONENT[t.dtype]).clamp_(min=p.emin_field)
    c = field.add_(p.shift).view(t.dtype)
    return a.add_(c).sub_(c).copysign_(t)


def _by_integer(t: Tensor, p: MagicPlan) -> Tensor:
    integer = _INTEGER[t.dtype]
    a = t.abs().clamp_(max=p.max)
    pattern = a.view(integer)
    if p.drop:
        last = ((pattern >> p.drop) ^ p.parity) & 1
        pattern = (pattern + last.add_((1 << (p.drop - 1)) - 1)) & -(1 << p.drop)
    below = (a + p.small).sub_(p.small)
    return torch.where(a >= p.min_normal, pattern.view(t.dtype), below).copysign_(t)


def _by_table(t: Tensor, p: TablePlan) -> Tensor:
    thresholds, values = _on_device(p, t.device)
    flat = torch.where(t.isnan(), torch.zeros_like(t), t)
    value = values[torch.searchsorted(thresholds, flat, right=True) - 1]
    if p.keep_zero_sign:
        value = torch.where(value == 0, value.copysign(t), value)
    return torch.where(t.isnan(), t, value)


@lru_cache(maxsize=256)
def _on_device(p: TablePlan, device: torch.device) -> tuple[Tensor, Tensor]:
    """The plan's arrays on a device; plans are cached and few, so their copies are kept too."""
    return torch.from_numpy(p.thresholds).to(device), torch.from_numpy(p.values).to(device)
