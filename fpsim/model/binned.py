"""A layer's input quantized by the timestep's bin: scales, and formats, of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.build import activation_operand
from fpsim.model.current_bins import CurrentBins
from fpsim.model.operands import ActivationOperand
from fpsim.model.sample_bins import needs_sample, sample_in
from fpsim.model.samples import LayerSample
from fpsim.model.timestep import Clock
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.granularity import PerChannel, PerTensor
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import Scales
from fpsim.quant.tensor_spec import TensorSpec


def input_operand(
    name: str,
    module: nn.Module,
    spec: TensorSpec | BinnedSpec,
    samples: Mapping[str, LayerSample] | None,
    backend: str | None,
    clock: Clock | None,
) -> ActivationOperand:
    """Return what quantizes a layer's input, by the timestep's bin or always alike.

    Args:
        name: of the layer.
        module: the layer.
        spec: format and scales, or those of each bin.
        samples: for static scales; None makes them dynamic.
        backend: who rounds.
        clock: of the model that has the layer.

    Raises:
        FpsimError: as :func:`fpsim.model.build.activation_operand`; a bin that needs a scale, but has no sample.
    """
    if isinstance(spec, TensorSpec):
        return activation_operand(name, module, spec, samples, backend)
    if clock is None:
        raise FpsimError(f"layer {name!r} has timestep bins, but no model tells it the timestep; drop the bins")
    operands = []
    for number, each in enumerate(spec.bins):
        mine = samples
        if samples is not None and name in samples and each.value is None and needs_sample(each.spec):
            mine = {name: sample_in(samples[name], spec, number, name)}
        operands.append(activation_operand(name, module, each.spec, mine, backend, each.value))
    return BinnedActivation(spec, operands, clock, f"the input of {name or 'the model'}")


class BinnedActivation(ActivationOperand):
    """Quantizes a layer's input with the operand of the timestep's bin.

    Samples of one batch may lie in different bins. Where the bins differ in their fixed scales only, such a batch is
    rounded in one pass, a scale for each sample.

    Args:
        spec: the bins.
        operands: one a bin.
        clock: of the model that has the layer.
        name: of the input, for errors, and for records where no layer names it.

    Attributes:
        quantizer: of the last call.
    """

    def __init__(self, spec: BinnedSpec, operands: Sequence[ActivationOperand], clock: Clock, name: str) -> None:
        super().__init__(operands[0].quantizer, single=operands[0].single)
        self._fast = None  # the first operand's, which is not for the others
        self.spec, self.operands, self.clock, self.name = spec, tuple(operands), clock, name
        self.current = CurrentBins(spec, clock, name)
        self._scales = _table([operand.quantizer for operand in operands])

    def _quantized(self, x: Tensor) -> Tensor:
        numbers = self.current(x)
        if len(numbers) == 1:
            chosen = self.operands[numbers[0]]
            self.quantizer = chosen.quantizer
            return chosen._quantized(x)
        return self._mixed(x, numbers)

    def _mixed(self, x: Tensor, numbers: list[int]) -> Tensor:
        """Samples of several bins."""
        if self._scales is not None:
            points = self._scales.zero_point
            scales = Scales(self._scales.scale[numbers], None if points is None else points[numbers])
            self.quantizer = replace(self.operands[0].quantizer, granularity=PerChannel(0), scales=scales)
            return super()._quantized(x)
        result, places = torch.empty_like(x), torch.tensor(numbers, device=x.device)
        for number in sorted(set(numbers)):
            mine = places == number
            result[mine] = self.operands[number]._quantized(x[mine])
        return result


def _table(quantizers: Sequence[Quantizer]) -> Scales | None:
    """The scales of all bins, where these are the only thing in which they differ."""
    scales = [each.scales for each in quantizers if isinstance(each.granularity, PerTensor) and each.scales is not None]
    if len(scales) != len(quantizers) or len({each.format for each in quantizers}) != 1:
        return None
    points = [each.zero_point for each in scales if each.zero_point is not None]
    return Scales(
        np.concatenate([each.scale for each in scales]), np.concatenate(points) if len(points) == len(scales) else None
    )
