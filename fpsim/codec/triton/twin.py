"""The Triton backend: one kernel a call on CUDA devices."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fpsim.codec.plan import LinearPlan, MagicPlan, ModePlan, TablePlan, mode_plan, plan
from fpsim.codec.torch.twin import TorchBackend, key_table
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy, Overflow, Rounding

_MODES, _POLICIES = tuple(Rounding), tuple(Overflow)
#: Elements a program.
BLOCK = 1024


class TritonBackend:
    """Rounds CUDA tensors with Triton kernels; see :class:`fpsim.codec.protocol.Backend`.

    Formats that are rounded by a table take the torch operations.

    Raises:
        FpsimError: Triton is not installed, or there is no CUDA device (unless Triton interprets on the CPU).
    """

    name = "triton"
    arrays = "torch"
    roundings = _MODES
    overflows = _POLICIES

    def __init__(self) -> None:
        try:
            from fpsim.codec.triton import kernels
        except ImportError:
            raise FpsimError("backend 'triton' needs the package triton, which is not installed") from None
        if not torch.cuda.is_available() and not interpreted():
            raise FpsimError("backend 'triton' needs a CUDA device, and torch sees none; choose numba or torch")
        self._kernels = kernels

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
        if not x.is_cuda and not interpreted():
            raise FpsimError(f"backend 'triton' rounds CUDA tensors, not one on {x.device}; choose numba or torch")
        p, count = plan(fmt, x.element_size() * 8, how), x.numel()
        if isinstance(p, TablePlan) or not count:
            TorchBackend().quantize(x, fmt, scale, out, zero_point, how)
            return
        scale = scale.contiguous()
        steps = (scale.shape[1] if scale.shape[0] > 1 else 0, 1 if scale.shape[1] > 1 else 0)
        seeds = key_table(how.seed, 1 if how.deterministic else count, x.device)
        shared = (x, out, scale, seeds, count, x.shape[1], *steps)
        common = {"WIDE": p.width == 64, "RANDOM_BITS": how.random_bits, "MODE": _MODES.index(how.rounding)}
        grid = (-(-count // BLOCK),)
        if isinstance(p, LinearPlan):
            shift = torch.zeros_like(scale) if zero_point is None else zero_point.contiguous()
            nan = how.nan is NanPolicy.MAX
            self._kernels.round_integer[grid](
                *shared, p.lo - shift, p.hi - shift, _linear_floats(x, how), NAN_IS_HI=nan, BLOCK=BLOCK, **common
            )
            return
        constants, overflow = _constants(fmt, p, how, x.device), _POLICIES.index(how.overflow)
        self._kernels.round_float[grid](*shared, *constants, DROP=p.drop, OVERFLOW=overflow, BLOCK=BLOCK, **common)


def interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU, which checks them without a device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _linear_floats(x: Tensor, how: Conversion) -> Tensor:
    magic = 2.0 ** (23 if x.dtype == torch.float32 else 52)
    nan = float("nan") if how.nan is NanPolicy.KEEP else 0.0
    return x.new_tensor([magic, 1.0, float(1 << how.random_bits), nan])


@lru_cache(maxsize=256)
def _constants(fmt: Any, p: MagicPlan, how: Conversion, device: torch.device) -> tuple[Tensor, Tensor]:
    """The fields of :class:`ModePlan` in the order of ``triton.kernels.round_float``."""
    assert isinstance(fmt, FloatFormat), "only floats have a MagicPlan"
    m: ModePlan = mode_plan(fmt, p, how)
    integers = [m.parity, m.clamp, m.max, m.special, m.nan, m.min_normal, m.stays, m.left, m.right]
    narrow = p.width == 32
    return (
        torch.tensor(integers, dtype=torch.int32 if narrow else torch.int64, device=device),
        torch.tensor(
            [m.small, m.unit, m.lift, m.lift2, m.zero], dtype=torch.float32 if narrow else torch.float64, device=device
        ),
    )
