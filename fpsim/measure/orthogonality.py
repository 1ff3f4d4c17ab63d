"""The network orthogonality metric (ORM): how much the outputs of a network's layers say the same of its inputs.

ORM(i, j) = ⟨HKᵢH, HKⱼH⟩ / (‖HKᵢH‖ ‖HKⱼH‖) with Kᵢ = FᵢFᵢᵀ, Fᵢ the flattened outputs of layer i for N inputs, and H
the centring matrix: linear CKA. In this Gram form it takes O(L N² d + L² N²) operations and no d × d matrix. A *high*
value means correlated, so redundant; "maximal orthogonality" means low ORM.

Source: OMPQ (Ma et al., AAAI 2023) for the metric, the exponential weighting and the mean over later layers; MPQ-Diff
(Manz Maruzzelli, Lewandowski, Chen 2024) for its use at several timesteps, reconstructed: it has no public code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError

Floats = NDArray[np.float64]

#: How importance over several timesteps becomes one number a layer.
AGGREGATIONS = ("mean-of-exp", "exp-of-mean", "per-timestep")
#: Columns of features that are in memory as float64 at a time.
_CHUNK = 1 << 16
#: A layer whose centred energy is below this part of its energy has the same output for every input: the time
#: embedding of a diffusion model, to the rounding of float32.
CONSTANT = 1e-10


def gram(features: NDArray[Any]) -> Floats:
    """Return the Gram matrix of centred features, ``H F Fᵀ H``.

    Args:
        features: ``[N, …]``, any floating-point type; what one layer gives for N inputs.

    Returns:
        float64 ``[N, N]``. Sums over the features' axes are in float64, chunk by chunk.

    >>> gram(np.array([[1.0, 0.0], [3.0, 0.0]]))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    flat = features.reshape(len(features), -1)
    total = np.zeros((len(flat), len(flat)))
    for start in range(0, flat.shape[1], _CHUNK):
        part = flat[:, start : start + _CHUNK].astype(np.float64)
        part -= part.mean(axis=0)
        total += part @ part.T
    return total


def energy(features: NDArray[Any]) -> float:
    """Return the sum of the squared features, not centred, in float64."""
    flat = features.reshape(-1)
    return sum(float(np.square(flat[i : i + _CHUNK], dtype=np.float64).sum()) for i in range(0, flat.size, _CHUNK))


def orthogonality(grams: Floats, energies: Floats | None = None) -> Floats:
    """Return ORM between all layers.

    Args:
        grams: ``[L, N, N]``, each from :func:`gram`, or sums of them over parts of the features.
        energies: ``[L]`` from :func:`energy`; with them, layers whose outputs do not depend on the input are known.

    Returns:
        float64 ``[L, L]`` in [0, 1], symmetric, 1 on the diagonal; NaN in the row and the column of a layer whose
        output is the same for every input, which has no correlation with anything.

    Raises:
        FpsimError: fewer than 2 inputs, or a matrix that is not square.
    """
    if grams.ndim != 3 or grams.shape[1] != grams.shape[2]:
        raise FpsimError(f"Gram matrices have shape {list(grams.shape)}, but [layers, inputs, inputs] is needed")
    if grams.shape[1] < 2:
        raise FpsimError("one input has no correlation; give at least 2, better 16 to 64")
    flat = grams.reshape(len(grams), -1)
    norms = np.sqrt(np.square(flat).sum(axis=1))
    traces = np.trace(grams, axis1=1, axis2=2)
    least = CONSTANT * (traces if energies is None else np.asarray(energies))
    norms = np.where((traces > least) & (norms > 0), norms, np.nan)
    unit = flat / norms[:, None]
    found = np.clip(unit @ unit.T, 0.0, 1.0)
    found[np.diag_indices_from(found)] = np.where(np.isnan(norms), np.nan, 1.0)
    return np.asarray(found)


def redundancy(orm: Floats) -> Floats:
    """Return γ, each layer's sum of ORM with all others; NaN for a layer that has none.

    >>> redundancy(np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 1.0]]))
    array([0.5 , 0.75, 0.25])
    """
    total = np.nansum(orm, axis=1) - 1.0
    return np.asarray(np.where(np.isnan(np.diag(orm)), np.nan, total))


def automatic_beta(gammas: Floats) -> float:
    """Return 1 / (standard deviation of γ over the layers), so that importance spans a few factors of e.

    OMPQ chose β by hand for each network, from 1e-9 to 10, and MPQ-Diff does not say its own; γ grows with the number
    of layers, so a fixed β means something else for each network.

    Args:
        gammas: ``[S, L]`` from :func:`redundancy` at S timesteps.
    """
    means = _two_axes(gammas).mean(axis=0)
    known = means[~np.isnan(means)]
    spread = float(known.std()) if known.size else 0.0
    return 1.0 / spread if spread > 0 else 1.0


def importance(gammas: Floats | Sequence[Floats], beta: float, aggregation: str = "mean-of-exp") -> Floats:
    """Return θ = exp(−β γ), aggregated over timesteps, up to a common factor.

    Args:
        gammas: ``[S, L]`` (or ``[L]`` for one timestep) from :func:`redundancy`.
        beta: above 0; how sharply orthogonal layers stand out.
        aggregation: ``mean-of-exp``: the mean over timesteps of exp(−β γ). ``exp-of-mean``: exp(−β · mean of γ).
            ``per-timestep``: no mean.

    Returns:
        float64 ``[L]``, or ``[S, L]`` per timestep; the largest is 1, as only ratios matter to an allocation and
        exp(−β γ) itself underflows in a large network. A layer without γ has the mean of the others.

    Raises:
        FpsimError: an unknown aggregation, β that is not above 0, or no layer that has γ.
    """
    if aggregation not in AGGREGATIONS:
        raise FpsimError(f"aggregation {aggregation!r} is not one of {', '.join(AGGREGATIONS)}")
    if not (np.isfinite(beta) and beta > 0):
        raise FpsimError(f"beta is {beta}; give a number above 0, such as 1")
    found = _two_axes(gammas)
    if np.isnan(found).all():
        raise FpsimError("no layer's output depends on the input, so there is no orthogonality; check the inputs")
    if aggregation == "exp-of-mean":
        found = found.mean(axis=0, keepdims=True)
    theta = np.exp(-beta * (found - np.nanmin(found)))
    if aggregation != "per-timestep":
        theta = theta.mean(axis=0, keepdims=True)
    theta = np.where(np.isnan(theta), np.nanmean(theta, axis=1, keepdims=True), theta)
    theta = theta / theta.max()
    return np.asarray(theta if aggregation == "per-timestep" else theta[0])


def later_mean(theta: Floats) -> Floats:
    """Return ω, the mean of θ over a layer and all later ones: OMPQ's weight of a bit in the linear program.

    Args:
        theta: ``[…, L]`` in the order in which the layers run.

    >>> later_mean(np.array([1.0, 0.5, 0.0]))
    array([0.5 , 0.25, 0.  ])
    """
    counts = np.arange(theta.shape[-1], 0, -1)
    return np.asarray(np.cumsum(theta[..., ::-1], axis=-1)[..., ::-1] / counts)


def _two_axes(gammas: Floats | Sequence[Floats]) -> Floats:
    found = np.asarray(gammas, dtype=np.float64)
    return found[None] if found.ndim == 1 else found
