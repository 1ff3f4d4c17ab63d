"""For `accumulator_effect.py`: every layer's product by several arithmetics, from the same operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fpsim
from fpsim.measure.tensor import sqnr_of_energies
from fpsim.methods.calibration import Calibration
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.compute import compute_with
from fpsim.model.core_product import CoreProduct
from fpsim.model.load import LoadedModel


class Exact:
    """Multiplies with exact sums, which fit float64 for 8-bit floats, and rounds each to FP32 once."""

    def multiply(self, a: Any, b: Any, *_: Any) -> Any:
        """Return the product ``[M, N]``."""
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)


class Compared:
    """A layer's product by exact sums, and how far the other arithmetics are from it."""

    def __init__(self, product: CoreProduct, cores: Mapping[str, Any]) -> None:
        self.product, self.cores = product, cores
        self.energies = {name: [0.0, 0.0] for name in ("quantization", "torch FP32", *cores)}
        self.k = 0

    @property
    def active(self) -> bool:
        """Whether the layer is quantized at the moment."""
        return self.product.active

    def __call__(self, func: Callable[..., Tensor], input: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        """Return the product of exact sums."""
        exact = self._by(Exact(), func, input, weight, *rest)
        self.k = weight[0].numel()
        self._add("quantization", exact, func(input, weight, *rest))
        self._add("torch FP32", exact, func(self.product.acts(input), self.product.weights(weight), *rest))
        for name, core in self.cores.items():
            self._add(name, exact, self._by(core, func, input, weight, *rest))
        return exact

    def _by(self, core: Any, *arguments: Any) -> Tensor:
        self.product.cores = [core] * len(self.product.choices)
        return self.product(*arguments)

    def _add(self, name: str, exact: Tensor, other: Tensor) -> None:
        signal, noise = exact.double().square().sum(), (exact.double() - other.double()).square().sum()
        self.energies[name][0] += float(signal)
        self.energies[name][1] += float(noise)


@torch.no_grad()
def layer_errors(
    model: LoadedModel, policy: fpsim.Policy, found: Calibration, arithmetics: Mapping[str, Arithmetic]
) -> dict[str, list[dict[str, Any]]]:
    """Return each layer's output SQNR against exact sums of the same operands, by arithmetic, and quantization's own.

    Args:
        model: in full precision.
        policy: of the quantization.
        found: scales, and the inputs at which the network runs (by exact sums).
        arithmetics: by name.
    """
    with fpsim.quantize_(model.denoiser, policy, found.samples) as handle:
        compute_with(model.denoiser, handle, next(iter(arithmetics.values())))
        compared: dict[str, Compared] = {}
        for name, module in model.denoiser.named_modules():
            forward: Any = vars(module).get("forward")
            if isinstance(getattr(forward, "product", None), CoreProduct):
                choice = forward.product.choices[0]
                cores = {
                    key: fpsim.tensorcore.unit.TensorCore(
                        arch=each.arch, dtype=choice.dtype, promote_every=each.promote_every
                    )
                    for key, each in arithmetics.items()
                }
                compared[name] = forward.product = Compared(forward.product, cores)
        for call in found.calls(model):
            call()
    kinds = ("quantization", "torch FP32", *arithmetics)
    return {
        kind: [
            {"name": name, "k": each.k, "sqnr_db": min(sqnr_of_energies(*each.energies[kind]), 200.0)}
            for name, each in compared.items()
        ]
        for kind in kinds
    }
