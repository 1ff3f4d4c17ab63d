"""The functions that quantize a layer's operands, with straight-through gradients."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpsim.codec.arrays import choose
from fpsim.model.changes import Print, fingerprint
from fpsim.model.gradients import inside_range, straight_through
from fpsim.number import BlockFormat
from fpsim.quant.granularity import PerBlock, PerChannel, PerTensor
from fpsim.quant.quantizer import Quantizer, effective_scale


class ActivationOperand:
    """Quantizes a layer's input: with fixed scales, or with fresh ones for each sample at each call.

    Args:
        quantizer: per tensor with fixed scales, per index of the first axis without, or in blocks.
        single: how many axes one sample has; an input of no more is one sample.

    Attributes:
        active: False lets the input pass as it is.
        watch: called with each input and what became of it; for measurements.
    """

    def __init__(self, quantizer: Quantizer, *, single: int = 0) -> None:
        self.quantizer, self.single = quantizer, single
        self.active = True
        self.watch: Callable[[Tensor, Tensor], None] | None = None
        self._fast = _FixedPerTensor(quantizer) if _is_fixed_per_tensor(quantizer) else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``x`` fake-quantized, differentiable straight through."""
        if not self.active or not x.numel():
            return x
        result = self._quantized(x)
        if self.watch is not None:
            self.watch(x, result)
        return result

    def _quantized(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            inside = self._by_sample(x.detach(), inside_range, torch.bool)
            return straight_through(x, self._by_sample(x.detach(), _rounded, x.dtype), inside)
        if self._fast is not None:
            rounded = self._fast(x)
            if rounded is not None:
                return rounded
        return self._by_sample(x, _rounded, x.dtype)

    def _by_sample(self, x: Tensor, function: Callable[[Tensor, Quantizer], Tensor], dtype: torch.dtype) -> Tensor:
        """Apply a function of a tensor and its quantizer so that no sample's scales depend on another sample."""
        q, batched = self.quantizer, x.ndim > self.single
        if isinstance(q.granularity, PerChannel) and not batched:
            q = replace(q, granularity=PerTensor())
        if not (batched and isinstance(q.format, BlockFormat) and q.format.tensor_scale):
            return function(x, q)
        result = torch.empty_like(x, dtype=dtype)
        for i in range(len(x)):
            result[i] = function(x[i], q)
        return result


def _rounded(x: Tensor, quantizer: Quantizer) -> Tensor:
    result: Tensor = quantizer(x)
    return result


class _Scratch(threading.local):
    """Memory for a rounded input until its product is computed, the same for every layer of a thread.

    Fresh memory costs more than the rounding itself: its pages must be mapped first. Without gradients nothing but
    the product reads a rounded input.
    """

    def __init__(self) -> None:
        self.memory = torch.empty(0)

    def take(self, count: int) -> Tensor:
        """``count`` float32 numbers, until the next call."""
        if self.memory.numel() < count:
            self.memory = torch.empty(count)
        return self.memory[:count]


_SCRATCH = _Scratch()


def _is_fixed_per_tensor(quantizer: Quantizer) -> bool:
    return isinstance(quantizer.granularity, PerTensor) and quantizer.scales is not None


class _FixedPerTensor:
    """The common case without any work per call but the rounding: one fixed scale, float32 on the CPU."""

    def __init__(self, quantizer: Quantizer) -> None:
        assert quantizer.scales is not None, "only for fixed scales"
        scales = quantizer.scales
        self.format, self.name = quantizer.format, quantizer.backend
        self.scale = effective_scale(scales.scale, quantizer.format, quantizer.name).reshape(1, 1)
        self.zero_point = None if scales.zero_point is None else scales.zero_point.reshape(1, 1)
        self.usable = self.scale.dtype == np.float32

    def __call__(self, x: Tensor) -> Tensor | None:
        if not self.usable or x.dtype != torch.float32 or x.device.type != "cpu":
            return None
        dense = x if x.is_contiguous() else x.movedim(1, -1) if x.ndim > 2 else x
        if not dense.is_contiguous():
            return None
        chosen = choose(self.name, x)
        if chosen.arrays != "numpy":
            return None
        flat = torch.empty(x.numel()) if torch.is_grad_enabled() else _SCRATCH.take(x.numel())
        source = dense.detach().numpy().reshape(1, -1)
        chosen.quantize(source, self.format, self.scale, flat.numpy().reshape(1, -1), self.zero_point)
        target = flat.view(dense.shape)
        return target if x.is_contiguous() else target.movedim(-1, 1)  # in the memory format of the input


class WeightOperand:
    """Quantizes a layer's weight once, and again whenever it changes.

    Args:
        quantizer: without scales; they are fitted to the first weight seen.
        refit: whether a changed weight gets fresh scales, as one that a class computes at run time should; a
            parameter in training keeps its scales.

    Attributes:
        active: False lets the weight pass as it is.
        source, rounded: the weight last seen, and what became of it; None before the first call.
    """

    def __init__(self, quantizer: Quantizer, *, refit: bool) -> None:
        self.quantizer, self.refit = quantizer, refit
        self.active = True
        self.source: Tensor | None = None
        self.rounded: Tensor | None = None
        self._seen: Print | None = None
        self._learned: tuple[Print, Tensor] | None = None

    def __call__(self, weight: Tensor) -> Tensor:
        """Return the weight fake-quantized, differentiable straight through."""
        if not self.active:
            return weight
        rounded = self._current(weight.detach())
        if torch.is_grad_enabled() and weight.requires_grad:
            return straight_through(weight, rounded, self._inside(weight))
        return rounded

    def _inside(self, weight: Tensor) -> Tensor:
        """Which values take a gradient."""
        return inside_range(weight, self.quantizer)

    def learn(self, weight: Tensor, rounded: Tensor) -> None:
        """Compute with a given rounding of ``weight`` wherever the parameter holds its values; others go to nearest."""
        self._learned, self._seen = (_values(fingerprint(weight)), rounded), None
        self._current(weight)

    def forget(self, *_: Any) -> None:
        """Fit fresh scales at the next call: another weight was loaded."""
        self.quantizer, self._seen = replace(self.quantizer, scales=None), None

    def _current(self, weight: Tensor) -> Tensor:
        seen = fingerprint(weight)
        if self.rounded is None or seen != self._seen or unusable(self.rounded):
            dynamic = isinstance(self.quantizer.granularity, PerBlock)
            if not dynamic and (self.quantizer.scales is None or self.refit):
                self.quantizer = replace(self.quantizer, scales=None).fit(weight)
            known = self._learned is not None and self._learned[0] == _values(seen)
            self.rounded = self._learned[1].to(weight.device) if known and self._learned else self.quantizer(weight)
            self.source, self._seen = weight, seen
        return self.rounded


def _values(seen: Print) -> Print:
    """A fingerprint without the device: a weight that was moved is the same weight."""
    return tuple(part for part in seen if not isinstance(part, torch.device))


def unusable(rounded: Tensor) -> bool:
    """Whether a rounded weight must be made anew: a tensor made in inference mode cannot serve a gradient."""
    return rounded.is_inference() and not torch.is_inference_mode_enabled()
