"""Traces that several tests look at, made once a session, and the modules that they are made of."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpsim.cost.operations import Component, Trace
from fpsim.cost.tracing import trace


@cache
def traced(name: str, batch: int = 1, *, only_denoiser: bool = False) -> Trace:
    return trace(name, batch=batch, only_denoiser=only_denoiser)


def giga_macs(component: Component, kind: str = "") -> float:
    return sum(item.macs for item in component.operations if kind in ("", item.kind)) / 1e9


class Fused(nn.Module):
    """Attention of several heads by torch's operator."""

    def __init__(self, heads: int = 2, width: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        query, key, value = (item.unflatten(-1, (self.heads, -1)).transpose(1, 2) for item in (query, key, value))
        return self.attend(query, key, value).transpose(1, 2).flatten(2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


class Naive(Fused):
    """The same as two products and a softmax, as old processors wrote it."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (item.flatten(0, 1) for item in (query, key, value))
        empty = torch.empty(len(query), query.shape[1], key.shape[1], dtype=query.dtype, device=query.device)
        scores = torch.baddbmm(empty, query, key.transpose(1, 2), beta=0, alpha=query.shape[-1] ** -0.5)
        del empty
        weights = scores.softmax(-1)
        del scores
        return torch.bmm(weights, value).unflatten(0, (-1, self.heads))


class Scaled(Fused):
    """The same with the scale and a mask as operations of their own."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        return (scores + torch.zeros_like(scores)).softmax(-1) @ value


class Skips(nn.Module):
    """A multilayer perceptron with a skip connection over everything."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        kept = F.gelu(x)
        return self.down(F.silu(self.up(self.norm(x)))) * kept + x


class Branches(nn.Module):
    """Local variables that go at different times, a concatenation and a view that keeps its storage."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, 8 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.first(x)
        narrow = wide[..., : x.shape[-1]]  # keeps the whole of wide
        del wide
        joined = torch.cat([x, narrow.sigmoid()], -1)
        result = self.second(joined)
        del joined
        return result.relu_() + narrow.exp()
