"""The two products of scaled dot-product attention through a tensor core; masks and softmax in FP32."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fpsim.tensorcore.unit import Multiplier
from fpsim.tensorcore.zero_points import named_zeros, numbers


def batched_matmul(
    a: Tensor,
    b: Tensor,
    scale: float = 1.0,
    *,
    core: Multiplier,
    zeros: tuple[Tensor | None, Tensor | None] = (None, None),
) -> Tensor:
    """Return the products of stacks of matrices, each through the core, then times ``scale`` in FP32.

    Args:
        a: grid values ``[…, M, K]``.
        b: grid values ``[…, K, N]``, the leading axes those of ``a`` or broadcast with them.
        scale: the product of both operands' scales, rounded to FP32 first.
        core: multiplies.
        zeros: zero points ``[1]`` of both, where they are codes of unsigned integers.

    Returns:
        float32 ``[…, M, N]``.

    Raises:
        FpsimError: as the core.
    """
    left, right = (part.detach().to("cpu", torch.float32).numpy() for part in (a, b))
    leading = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (np.broadcast_to(part, (*leading, *part.shape[-2:])) for part in (left, right))
    points = named_zeros(*map(numbers, zeros))
    result = np.empty((*leading, left.shape[-2], right.shape[-1]), np.float32)
    for index in np.ndindex(*leading):
        result[index] = core.multiply(np.ascontiguousarray(left[index]), right[index], **points)
    return torch.from_numpy(result * np.float32(scale))
