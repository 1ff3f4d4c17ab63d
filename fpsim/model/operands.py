"""The functions that quantize a layer's operands, with straight-through gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpsim.codec.arrays import choose
from fpsim.codec.blocks import block_scales
from fpsim.codec.protocol import backend as named_backend
from fpsim.number import BlockFormat, CodebookFormat, IntFormat
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock, PerTensor
from fpsim.quant.quantizer import Quantizer, effective_scale


class StraightThrough(torch.autograd.Function):
    """Forward the rounded values; backward the gradient where the input was inside the clipping range, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor, inside: Tensor) -> Tensor:
        ctx.save_for_backward(inside)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class ActivationOperand:
    """Quantizes a layer's input: with fixed scales, or with fresh ones at each call.

    Attributes:
        active: False lets the input pass as it is.
        watch: called with each input and what became of it; for measurements.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        self.quantizer = quantizer
        self.active = True
        self.watch: Callable[[Tensor, Tensor], None] | None = None
        self._fast = _FixedPerTensor(quantizer) if _is_fixed_per_tensor(quantizer) else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``x`` fake-quantized, differentiable straight through."""
        if not self.active:
            return x
        result = self._quantized(x)
        if self.watch is not None:
            self.watch(x, result)
        return result

    def _quantized(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            rounded = self.quantizer(x.detach())
            return StraightThrough.apply(x, rounded, inside_range(x.detach(), self.quantizer))  # type: ignore[no-any-return]
        if self._fast is not None:
            rounded = self._fast(x)
            if rounded is not None:
                return rounded
        result: Tensor = self.quantizer(x)
        return result


def _is_fixed_per_tensor(quantizer: Quantizer) -> bool:
    return isinstance(quantizer.granularity, PerTensor) and quantizer.scales is not None


class _FixedPerTensor:
    """The common case without any work per call but the rounding: one fixed scale, float32 on the CPU."""

    def __init__(self, quantizer: Quantizer) -> None:
        assert quantizer.scales is not None, "only for fixed scales"
        scales = quantizer.scales
        self.format, self.name = quantizer.format, quantizer.backend
        self.scale = effective_scale(scales.scale, quantizer.format).reshape(1, 1)
        self.zero_point = None if scales.zero_point is None else scales.zero_point.reshape(1, 1)
        self.usable = self.scale.dtype == np.float32

    def __call__(self, x: Tensor) -> Tensor | None:
        if not self.usable or x.dtype != torch.float32 or x.device.type != "cpu" or not x.numel():
            return None
        dense = x if x.is_contiguous() else x.movedim(1, -1) if x.ndim > 2 else x
        if not dense.is_contiguous():
            return None
        chosen = choose(self.name, x)
        if chosen.arrays != "numpy":
            return None
        y = torch.empty_like(x)  # keeps the memory format, so both flat views run in the same order
        target = y if x.is_contiguous() else y.movedim(1, -1)
        chosen.quantize(
            dense.detach().numpy().reshape(1, -1), self.format, self.scale, target.numpy().reshape(1, -1), self.zero_point
        )
        return y


class WeightOperand:
    """Quantizes a layer's weight once, and again whenever it changes.

    Args:
        quantizer: with fixed scales, or none yet: then they are fitted to the first weight seen, and again to
            each weight that differs from it (a class may compute its weight at run time).
        refit: whether a changed weight gets fresh scales; a parameter in training keeps its scales.

    Attributes:
        active: False lets the weight pass as it is.
        source, rounded: the weight last seen, and what became of it; None before the first call.
    """

    def __init__(self, quantizer: Quantizer, *, refit: bool) -> None:
        self.quantizer, self.refit = quantizer, refit
        self.active = True
        self._seen: tuple[int, int] | None = None
        self.source: Tensor | None = None
        self.rounded: Tensor | None = None

    def __call__(self, weight: Tensor) -> Tensor:
        """Return the weight fake-quantized, differentiable straight through."""
        if not self.active:
            return weight
        rounded = self._current(weight.detach())
        if torch.is_grad_enabled() and weight.requires_grad:
            return StraightThrough.apply(weight, rounded, inside_range(weight.detach(), self.quantizer))  # type: ignore[no-any-return]
        return rounded

    def _current(self, weight: Tensor) -> Tensor:
        key = None if weight.is_inference() else (weight.data_ptr(), weight._version)
        if self.rounded is not None and self.rounded.device == weight.device and self._unchanged(weight, key):
            return self.rounded
        if self.quantizer.scales is None or self.refit:
            self.quantizer = replace(self.quantizer, scales=None).fit(weight)
        self.rounded = self.quantizer(weight)
        self._seen = key
        self.source = weight.clone() if self.refit else weight
        return self.rounded

    def _unchanged(self, weight: Tensor, key: tuple[int, int] | None) -> bool:
        if self.refit:  # a fresh tensor each time: only its values tell
            return self.source is not None and self.source.shape == weight.shape and torch.equal(self.source, weight)
        return key is not None and key == self._seen


def inside_range(x: Tensor, quantizer: Quantizer) -> Tensor:
    """Where ``x`` lies inside the range that its quantizer does not clip, as a tensor of 0 and 1 in its type."""
    if isinstance(quantizer.granularity, PerBlock):
        return _inside_blocks(x, quantizer)
    scales = quantizer.scales or quantizer.fit(x).scales
    assert scales is not None, "fit sets the scales"
    shape, layout = views.as_rows(x.contiguous(), quantizer.granularity)
    low, high = _grid_bounds(quantizer)
    shift = 0 if scales.zero_point is None else scales.zero_point
    s = effective_scale(scales.scale, quantizer.format)
    bounds = [torch.from_numpy(np.ascontiguousarray(layout(s * (bound - shift)))).to(x) for bound in (low, high)]
    rows = x.contiguous().reshape(shape)
    return ((rows >= bounds[0]) & (rows <= bounds[1])).to(x.dtype).reshape(x.shape)


def _grid_bounds(quantizer: Quantizer) -> tuple[float, float]:
    fmt = quantizer.format
    if isinstance(fmt, IntFormat):
        return float(fmt.lo), float(fmt.hi)
    if isinstance(fmt, CodebookFormat):
        return fmt.values[0], fmt.values[-1]
    return (-float(fmt.grid.max) if fmt.signed else 0.0), float(fmt.grid.max)


def _inside_blocks(x: Tensor, quantizer: Quantizer) -> Tensor:
    fmt, axis = quantizer.format, quantizer.granularity.axis
    if not isinstance(fmt, BlockFormat):
        return torch.ones_like(x)  # scales from each block's maximum clip nothing
    moved = views.last_axis(x, axis)
    rows = moved.reshape(-1, moved.shape[-1]).to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    scales, whole = block_scales(rows.cpu().numpy(), fmt, named_backend("numpy"))
    top = scales * float(fmt.element.max) * whole
    limit = torch.from_numpy(np.repeat(top, fmt.block, axis=1)[:, : rows.shape[1]].astype(scales.dtype))
    inside = rows.abs() <= limit.to(rows.device)
    return views.back(inside.reshape(moved.shape), axis).to(x.dtype)
