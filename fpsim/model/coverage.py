"""What was quantized, and what was left alone and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer and what was applied to it; None means left in full precision."""

    name: str
    kind: str
    parameters: int
    weights: str | None
    acts: str | None
    #: Bits of the quantized weight with its scales.
    weight_bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A module left alone."""

    name: str
    kind: str
    parameters: int
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every module with parameters or arithmetic of its own: quantized, or left alone with the reason."""

    quantized: tuple[Layer, ...] = field(default=())
    left: tuple[Left, ...] = field(default=())

    @property
    def bytes(self) -> float:
        """Size of all parameters: quantized weights in their format, the rest in float32."""
        weights = sum(layer.weight_bits for layer in self.quantized)
        others = sum(item.parameters for item in self.left) + sum(layer.parameters for layer in self.quantized)
        return weights / 8 + 4 * others

    def __str__(self) -> str:
        lines = [f"{len(self.quantized)} layers quantized, {len(self.left)} modules left alone"]
        lines += [f"  {x.name or '(model)'}  {x.kind}  weights: {x.weights or '-'}  acts: {x.acts or '-'}" for x in self.quantized]
        lines += [f"  {x.name or '(model)'}  {x.kind}  left alone: {x.reason}" for x in self.left]
        return "\n".join(lines)
