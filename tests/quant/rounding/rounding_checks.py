"""A toy net that the tests of learned rounding share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpsim.quant.rounding.columns import geometry
from fpsim.quant.rounding.gram import Gram, GramSum

#: A toy net: layers with what enters them, correlated as activations are.
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(24, 12), (96, 24)),
    "wide": (nn.Linear(48, 16), (96, 48)),
    "3x3": (nn.Conv2d(6, 8, 3, padding=1), (3, 6, 8, 8)),
    "stride": (nn.Conv2d(6, 8, 3, stride=2), (6, 6, 9, 9)),
    "groups": (nn.Conv2d(8, 8, 3, padding=1, groups=2), (3, 8, 8, 8)),
    "1x1": (nn.Conv2d(16, 8, 1), (3, 16, 8, 8)),
}


def layer(case: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Tensor, Tensor]:
    module, shape = LAYERS[case]
    source = torch.Generator().manual_seed(1)
    w = torch.randn(module.weight.shape, generator=source) * 0.2  # type: ignore[arg-type]
    x = torch.randn(shape, generator=source)
    channel = 1 if x.ndim == 4 else -1
    mixing = torch.randn(x.shape[channel], x.shape[channel], generator=source) + 0.5
    return module, w.to(dtype), F.silu(torch.tensordot(x, mixing, ([channel], [0])).movedim(-1, channel))


def gram_of(module: nn.Module, x: Tensor, exact: Tensor | None = None) -> Gram:
    how = geometry(module)
    assert how is not None
    total = GramSum(how)
    total.add(x, exact)
    return total.result()


def direct(module: Any, x: Tensor, w: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(x.double(), w.double())
    result: Tensor = module._conv_forward(x.double(), w.double(), None)
    return result
