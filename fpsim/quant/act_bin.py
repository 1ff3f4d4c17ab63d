"""How a layer's input is quantized at the timesteps of one bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat
from fpsim.quant.granularity import PerTensor, parse
from fpsim.quant.tensor_spec import TensorSpec, refuse_channels


@dataclass(frozen=True, slots=True, kw_only=True)
class ActBin:
    """How an input is quantized at the timesteps of one bin.

    Args:
        start, stop: the half-open interval ``[start, stop)`` of the timestep's value, in units of training; infinite
            ends are open.
        spec: format and scale rule.
        value: a fixed scale that stands for the rule's; None for the rule's.

    Raises:
        FpsimError: an empty interval, activations per channel, or a value that fits no scale of this kind.
    """

    start: float = -inf
    stop: float = inf
    spec: TensorSpec
    value: float | None = None

    def __post_init__(self) -> None:
        if not self.start < self.stop:
            raise FpsimError(f"timestep bin {self}: its end is not above its start; bins are half-open, [from, to)")
        if self.spec.granularity == "channel":
            refuse_channels()
        if self.value is not None:
            _check_value(self.value, self.spec)

    def __str__(self) -> str:
        return self._words("{:g}".format)

    def exact(self) -> str:
        """Return the interval in words, its ends with all their digits."""
        return self._words(_digits)

    def _words(self, write: Callable[[float], str]) -> str:
        start, stop = write(self.start), write(self.stop)
        if isfinite(self.start):
            return f"{start} to {stop}" if isfinite(self.stop) else f"{start} on"
        return f"below {stop}" if isfinite(self.stop) else "all timesteps"


def _digits(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _check_value(value: float, spec: TensorSpec) -> None:
    if isinstance(spec.format, BlockFormat) or not isinstance(parse(spec.granularity), PerTensor):
        raise FpsimError(f"a fixed scale of {value:g} is for activations per tensor; blocks find their own scales")
    if spec.scale == "none":
        raise FpsimError(f"a fixed scale of {value:g} contradicts scale = 'none'; drop one of them")
    if not getattr(spec.format, "signed", True):
        raise FpsimError(
            f"{spec.format.name} needs a zero point beside a fixed scale of {value:g}; choose a signed one"
        )
    with np.errstate(all="ignore"):
        single = float(np.float32(value))
    if not (isfinite(single) and single >= float(np.finfo(np.float32).tiny)):
        raise FpsimError(f"{value:g} cannot be a scale; scales are positive normal numbers of float32")
    from fpsim.quant.quantizer import effective_scale  # imports the codec, which no other bin needs

    effective_scale(np.array([value], np.float32), spec.format, f"a fixed scale of {value:g}")
