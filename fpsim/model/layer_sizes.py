"""How large each layer's operands are and how much it multiplies, seen in one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.intercept import Interception
from fpsim.model.layers import TRANSPOSED, axes, without_fused_layers
from fpsim.model.undo import restored


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSize:
    """Sizes of a layer for one sample of the batch.

    Args:
        shape: of the weight.
        out, into: the weight's axes of output and input channels.
        inputs: elements that enter it, over all its runs in a call.
        macs: multiply–accumulates.
    """

    shape: tuple[int, ...]
    out: int
    into: int
    inputs: int
    macs: int

    @property
    def weights(self) -> int:
        """Elements of the weight."""
        count = 1
        for length in self.shape:
            count *= length
        return count


def layer_sizes(model: nn.Module, names: Sequence[str], call: Callable[[], Any], batch: int) -> dict[str, LayerSize]:
    """Run a model once and return the sizes of some of its quantizable layers, in the order in which they first run.

    Args:
        model: any module.
        names: of the layers.
        call: runs the model once.
        batch: samples of that call, by which elements and products are divided.

    Raises:
        FpsimError: a layer did not run.
    """
    modules = dict(model.named_modules())
    inputs, outputs = dict[str, int](), dict.fromkeys(names, 0)
    undo = without_fused_layers(model)
    for name in names:
        undo.append(Interception(modules[name], _counter(inputs, name), None).undo)
        undo.append(modules[name].register_forward_hook(_hook(outputs, name)).remove)
    with restored(undo), torch.no_grad():
        call()
    idle = next((name for name in names if not inputs.get(name)), None)
    if idle is not None:
        raise FpsimError(
            f"layer {idle!r} has no calibration data: the model never runs it; leave it out with --skip {idle!r}"
        )
    return {name: _size(modules[name], inputs[name], outputs[name], batch) for name in inputs}


def _counter(counts: dict[str, int], name: str) -> Callable[[Tensor], Tensor]:
    def count(x: Tensor) -> Tensor:
        counts[name] = counts.get(name, 0) + x.numel()
        return x

    return count


def _hook(counts: dict[str, int], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def count(_module: nn.Module, _args: Any, output: Any) -> None:
        counts[name] += (output[0] if isinstance(output, tuple) else output).numel()

    return count


def _size(module: Any, inputs: int, outputs: int, batch: int) -> LayerSize:
    where, weight = axes(module), module.weight
    if isinstance(module, TRANSPOSED):  # each input element meets the weights of its channel
        macs = inputs * weight.numel() // weight.shape[where.into]
    else:
        macs = outputs * weight.numel() // weight.shape[where.out]
    return LayerSize(
        shape=tuple(weight.shape), out=where.out, into=where.into, inputs=inputs // batch, macs=macs // batch
    )
