"""The torch backend: the same formulas in torch operations, for any device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fpsim.codec.counter import words
from fpsim.codec.plan import LinearPlan, MagicPlan, ModePlan, TablePlan, mode_plan, plan, replaced_nan
from fpsim.codec.stochastic import round_any
from fpsim.codec.torch.modes import EXPONENT, INTEGER, by_mode, linear_by_mode, thresholds
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding
from fpsim.number.counter import keys


class TorchBackend:
    """Rounds tensors with torch operations; see :class:`fpsim.codec.protocol.Backend`."""

    name = "torch"
    arrays = "torch"
    roundings = tuple(Rounding)
    overflows = tuple(Overflow)

    def quantize(
        self,
        x: Tensor,
        fmt: ElementFormat,
        scale: Tensor,
        out: Tensor,
        zero_point: Tensor | None = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        p = constants(fmt, x.element_size() * 8, how)
        if isinstance(p, TablePlan):
            t = x / scale
            g = by_table(t, p) if how.deterministic else _any_grid(t, fmt, how)
            nan = replaced_nan(fmt, p.width, how)
            torch.mul(torch.where(t.isnan(), torch.full_like(t, nan), g), scale, out=out)
            return
        seeds = None if how.deterministic else key_table(how.seed, x.numel(), x.device)
        torch.mul(rounded(x / scale, p, scale, zero_point, how, seeds), scale, out=out).add_(zero_of(p))


Formula = LinearPlan | MagicPlan | ModePlan


def constants(fmt: ElementFormat, width: int, how: Conversion) -> Formula | TablePlan:
    """The constants of the formulation that a conversion takes."""
    p = plan(fmt, width, how)
    if how == DEFAULT or not isinstance(p, MagicPlan):
        return p
    assert isinstance(fmt, FloatFormat), "only floats have a MagicPlan"
    return mode_plan(fmt, p, how)


def rounded(
    t: Tensor,
    p: Formula,
    scale: Tensor,
    zero_point: Tensor | None,
    how: Conversion,
    seeds: Tensor | None,
) -> Tensor:
    """Round quotients to the format's grid; a pure function that ``torch.compile`` traces whole.

    Args:
        t: the quotients, float32 or float64.
        p: from :func:`constants`.
        scale: what was divided by; its shape is that of an integer's bounds.
        zero_point: of unsigned integers.
        how: the conversion.
        seeds: for stochastic rounding, from :func:`key_table`.
    """
    random = None if seeds is None else thresholds(t.shape, seeds, how.random_bits)
    if isinstance(p, LinearPlan):
        shift = torch.zeros_like(scale) if zero_point is None else zero_point
        lo, hi = p.lo - shift, p.hi - shift
        return t.clamp(lo, hi).round().add_(0.0) if how == DEFAULT else linear_by_mode(t, lo, hi, how, random)
    if isinstance(p, ModePlan):
        return by_mode(t, p, how, random)
    return _by_integer(t, p) if p.integer else _by_magic(t, p)


def zero_of(p: Formula) -> float:
    """What is added to a product: +0.0 turns −0 into +0, −0.0 changes nothing."""
    return 0.0 if isinstance(p, LinearPlan) else p.zero


def key_table(seed: int, count: int, device: torch.device) -> Tensor:
    """The random keys of each 2^32 elements, int64 ``[n, 2]``."""
    upper = max(1, -(-count >> 32))
    return torch.tensor([keys(seed, u) for u in range(upper)], dtype=torch.int64, device=device)


def _by_magic(t: Tensor, p: MagicPlan) -> Tensor:
    a = t.abs().clamp_(max=p.max)  # clamp keeps NaN
    field = (a.view(INTEGER[t.dtype]) & EXPONENT[t.dtype]).clamp_(min=p.emin_field)
    c = field.add_(p.shift).view(t.dtype)
    return a.add_(c).sub_(c).copysign_(t)


def _by_integer(t: Tensor, p: MagicPlan) -> Tensor:
    a = t.abs().clamp_(max=p.max)
    pattern = a.view(INTEGER[t.dtype])
    if p.drop:
        last = ((pattern >> p.drop) ^ p.parity) & 1
        pattern = (pattern + last.add_((1 << (p.drop - 1)) - 1)) & -(1 << p.drop)
    below = (a + p.small).sub_(p.small)
    return torch.where(a >= p.min_normal, pattern.view(t.dtype), below).copysign_(t)


def by_table(t: Tensor, p: TablePlan) -> Tensor:
    """Round quotients by a table; NaN gives any value."""
    bounds, values = _on_device(p, t.device)
    value = values[torch.searchsorted(bounds, torch.where(t.isnan(), torch.zeros_like(t), t), right=True) - 1]
    return torch.where(value == 0, value.copysign(t), value) if p.keep_zero_sign else value


def _any_grid(t: Tensor, fmt: ElementFormat, how: Conversion) -> Tensor:
    """Stochastic rounding to a grid without a formula: on the CPU, by the exact comparison."""
    values = t.detach().cpu().numpy()
    random = words(how.seed, 0, values.size, how.random_bits).reshape(values.shape)
    return torch.from_numpy(np.ascontiguousarray(round_any(values, fmt, how, random))).to(t.device)


@lru_cache(maxsize=256)
def _on_device(p: TablePlan, device: torch.device) -> tuple[Tensor, Tensor]:
    """The plan's arrays on a device; plans are cached and few, so their copies are kept too."""
    return torch.from_numpy(p.thresholds).to(device), torch.from_numpy(p.values).to(device)
