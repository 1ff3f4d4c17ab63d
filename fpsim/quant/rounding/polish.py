"""Coordinate descent on the exact quadratic form: flip one weight to its other neighbour wherever that helps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from fpsim.quant.rounding.quadratic import Quadratic


def polish(form: Quadratic, error: Tensor, up: Tensor, step: Tensor, *, sweeps: int) -> Tensor:
    """Return which weights take their upper neighbour after sweeps of coordinate descent.

    A sweep visits the weights of each row once, those of the inputs with most energy first, and flips a weight where
    that lowers the row's error. No sweep can raise it, and when one flips nothing no single flip can lower it. Rows do
    not depend on each other, so the result is the same for any number of threads.

    Args:
        form: float64.
        error: the weight's error with the present choices, ``[groups, rows, K]`` float64.
        up: the present choices, booleans of that shape.
        step: gap of the neighbours, float64 of that shape.
        sweeps: at most so many.
    """
    result = up.cpu().clone()
    gradients = form.gradient(error).cpu().contiguous()
    for group in range(len(error)):
        hessian = form.hessian[group].cpu().contiguous().numpy()
        order = np.argsort(-np.diagonal(hessian), kind="stable")
        steps = step[group].cpu().contiguous().numpy()
        _kernel()(hessian, gradients[group].numpy(), result[group].numpy(), steps, order, sweeps)
    return result.to(up.device)


@lru_cache(maxsize=1)
def _kernel() -> Any:
    from numba import njit, prange

    @njit(parallel=True)
    def kernel(hessian, gradient, up, step, order, sweeps):  # type: ignore[no-untyped-def]
        rows, size = gradient.shape
        for row in prange(rows):
            g = gradient[row]  # half the gradient of the row's error, kept up to date
            for _ in range(sweeps):
                flipped = False
                for k in order:
                    delta = -step[row, k] if up[row, k] else step[row, k]
                    if delta * (2 * g[k] + delta * hessian[k, k]) < 0:
                        up[row, k] = not up[row, k]
                        flipped = True
                        for j in range(size):
                            g[j] += delta * hessian[k, j]
                if not flipped:
                    break

    return kernel
