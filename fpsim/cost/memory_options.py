"""How a model is kept in memory and run: what decides its peak besides its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fpsim.cost.liveness import SCORE_COPIES
from fpsim.errors import FpsimError

#: Score matrices that the run of Chen et al. 2024 (Fig. 5) behaves like: its peak grows by 2.89 of them per image.
PAPER_SCORE_COPIES = 3

Bits = float | Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """How a model is kept and run.

    Attributes:
        weight_bits: of an element of the denoiser's parameters; or by layer, of that layer's ``weight``.
        scale_bits: of the scales of the denoiser's weights in all; or by layer. Formats with scales of their own
            (MX, NVFP4) may have them in ``weight_bits``: 4.25 is MXFP4.
        other_bits: of an element of every other parameter, and of the other networks.
        act_bytes: of an activation.
        attention: ``fused``, or ``naive``: score matrices are materialized.
        score_bytes: of an element of a score matrix; None for ``act_bytes``.
        score_copies: score matrices alive at once in naive attention: two in diffusers (the product's and the
            softmax's), three in the paper's run.
        cfg: classifier-free guidance: the denoiser works on two samples of an image.
        resident: further networks in memory, by name: their parameters.
        allocator_reserve: of live activations and scores, the share that the allocator holds in excess.
    """

    weight_bits: Bits = 32.0
    scale_bits: Bits = 0.0
    other_bits: float = 32.0
    act_bytes: float = 4.0
    attention: str = "fused"
    score_bytes: float | None = None
    score_copies: int = SCORE_COPIES
    cfg: bool = False
    resident: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    allocator_reserve: float = 0.0

    def __post_init__(self) -> None:
        if self.attention not in ("naive", "fused"):
            raise FpsimError(f"attention {self.attention!r} is unknown; choose naive or fused")
        numbers = (self.other_bits, self.act_bytes, self.score_bytes or 0, self.score_copies, self.allocator_reserve)
        if min(numbers) < 0:
            raise FpsimError("bits, bytes, copies and reserve of memory cannot be negative; give other numbers")
