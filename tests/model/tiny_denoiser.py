"""A denoiser of three layers that takes a timestep, with inputs whose range follows it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TIMESTEPS = (0.0, 130.0, 260.0, 400.0, 500.0, 630.0, 760.0, 999.0)


class TinyDenoiser(nn.Module):
    """Convolution, linear layer, convolution; the timestep scales what is between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.middle, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8), nn.Conv2d(8, 3, 1)

    def forward(self, sample: Tensor, timestep: Any, scale: float = 1.0) -> Tensor:
        t = timestep.to(sample) if isinstance(timestep, Tensor) else torch.full((1,), timestep, dtype=sample.dtype)
        h = torch.nn.functional.silu(self.first(sample)) * (1 + t.reshape(-1, 1, 1, 1) / 100)
        h = h + self.middle(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        result: Tensor = self.last(h) * scale
        return result


def latents(number: int, batch: int = 2) -> Tensor:
    """A batch of inputs, larger at larger numbers."""
    return torch.randn(batch, 3, 6, 6, generator=torch.Generator().manual_seed(number)) * (1 + number)


def calls() -> list[tuple[Tensor, Tensor]]:
    """One call at each of the timesteps."""
    return [(latents(i), torch.tensor(t)) for i, t in enumerate(TIMESTEPS)]
