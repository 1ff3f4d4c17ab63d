"""A random importance: what any measure must beat."""

from __future__ import annotations

import numpy as np

from fpsim.methods.importance.harm import Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.quant.allocation.sizes import element_bits

DEFAULTS: dict[str, object] = {"measure_seed": 0}


def harm(job: ImportanceJob) -> Harm:
    """Return u · v · 4^(−bits) with a uniform u of each layer and v of each format of it, from a seed.

    More bits harm less, as everywhere; formats of the same width differ by chance.
    """
    source = np.random.default_rng(int(job.settings["measure_seed"]))
    layers = len(job.layers)
    importance = source.uniform(size=layers)
    weights = importance[:, None] * source.uniform(size=(layers, len(job.weights))) * _noise(job.weights)
    acts = None
    if job.acts:
        size = (layers, len(job.acts), job.bins.count)
        acts = source.uniform(size=(layers, 1, 1)) * source.uniform(size=size) * _noise(job.acts)[:, None]
    return Harm(unit="a random number", weights=weights, acts=acts, importance=importance)


def _noise(specs: tuple[object, ...]) -> np.ndarray:
    return np.array([4.0 ** -element_bits(spec) for spec in specs])  # type: ignore[arg-type]
