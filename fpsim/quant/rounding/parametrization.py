"""How free parameters become positions between two neighbours: h(α) from 0 to 1, its start and its slope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fpsim.errors import FpsimError

#: Stretch of the rectified sigmoid (Nagel et al. 2020, equation 23): it reaches 0 and 1 at finite α.
ZETA, GAMMA = 1.1, -0.1
#: A plain sigmoid never reaches 0 or 1; positions nearer to them start here.
EDGE = 1e-4
KINDS = ("sigmoid", "rectified")


@dataclass(frozen=True, slots=True, eq=False)
class Parametrization:
    """A function h(α) of each weight's parameter.

    ``sigmoid``: h = σ(α), equation 12 of Chen et al. 2024. ``rectified``: h = clip(σ(α) · (ζ − γ) + γ, 0, 1) with
    ζ = 1.1 and γ = −0.1, as AdaRound has it. With ``scale``, α is divided by it first: dL/dα is proportional to the
    step of the weight's binade, and dividing by that step levels it (FP4DiT). Under Adam, which levels gradients
    itself, the division amounts to a learning rate of its own for each weight.

    Args:
        kind: ``sigmoid`` or ``rectified``.
        scale: positive, of the weight's shape; from :func:`relative_steps`. None is 1.

    Raises:
        FpsimError: another kind.
    """

    kind: str = "rectified"
    scale: Tensor | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FpsimError(f"parametrization {self.kind!r} is not one of {', '.join(KINDS)}")

    def start(self, fraction: Tensor) -> Tensor:
        """Return α with h(α) = fraction; a plain sigmoid keeps 10^−4 away from 0 and 1."""
        if self.kind == "sigmoid":
            raw = fraction.clamp(EDGE, 1 - EDGE)
        else:
            raw = (fraction - GAMMA) / (ZETA - GAMMA)
        alpha = torch.log(raw) - torch.log1p(-raw)
        return alpha if self.scale is None else alpha * self.scale

    def value(self, alpha: Tensor) -> Tensor:
        """Return h(α), differentiable."""
        sigmoid = torch.sigmoid(alpha if self.scale is None else alpha / self.scale)
        return sigmoid if self.kind == "sigmoid" else (sigmoid * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    def value_and_slope(self, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(α) and dh/dα; the slope is 0 where the rectified sigmoid is clipped."""
        sigmoid = torch.sigmoid(alpha if self.scale is None else alpha / self.scale)
        slope = sigmoid * (1 - sigmoid)
        if self.scale is not None:
            slope = slope / self.scale
        if self.kind == "sigmoid":
            return sigmoid, slope
        h = sigmoid * (ZETA - GAMMA) + GAMMA
        inside = (h > 0) & (h < 1)
        return h.clamp(0, 1), slope * (ZETA - GAMMA) * inside


def relative_steps(step: Tensor) -> Tensor:
    """Return the steps divided by their geometric mean, so that the mean logarithm of the slopes stays as it was.

    >>> relative_steps(torch.tensor([1.0, 4.0])).tolist()
    [0.5, 2.0]
    """
    logarithms = step.double().log2()
    return torch.exp2(logarithms - logarithms.mean()).to(step.dtype)
