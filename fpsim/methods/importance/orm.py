"""MPQ-Diff's measure: bits weighted by the network orthogonality metric, the objective of its linear program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fpsim.measure import orthogonality as om
from fpsim.measure.projection import standard_error
from fpsim.methods.allocation_data import runs
from fpsim.methods.importance.harm import Floats, Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.mse import act_ratios, weight_ratios
from fpsim.model.layer_outputs import capture_outputs
from fpsim.quant.allocation.sizes import element_bits

#: Numbers of the random projection by which several batches meet in one Gram matrix.
PROJECTED = 4096
DEFAULTS: dict[str, object] = {"beta": "auto", "orm_aggregate": "mean-of-exp", "orm_weighting": "later-mean"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """What orthogonality says of the layers.

    Args:
        layers: ω or θ, ``[layers]``, for weights.
        bins: the same for activations in each bin, ``[layers, bins]``.
        notes: β, and layers that the metric cannot see.
    """

    layers: Floats
    bins: Floats
    notes: tuple[str, ...]


def harm(job: ImportanceJob) -> Harm:
    """Return −bits · ω: the least sum is OMPQ's and MPQ-Diff's largest Σ bits · ω.

    Formats of the same width are told apart by their squared errors alone, as ties.

    Source: OMPQ (Ma et al. 2023), whose ω is the mean of θ over a layer and all later ones; MPQ-Diff's aggregation
    over timesteps is reconstructed from its abstract.
    """
    omega = orthogonal_weights(job, str(job.settings["orm_weighting"]))
    bits, acts_bits = (np.array([element_bits(spec) for spec in specs], float) for specs in (job.weights, job.acts))
    acts = None
    if job.acts:
        acts = -acts_bits[None, :, None] * omega.bins[:, None, :] * job.shares
    return Harm(
        unit="minus bits times importance",
        weights=-bits[None, :] * omega.layers[:, None],
        acts=acts,
        ties=weight_ratios(job),
        ties_acts=act_ratios(job) if job.acts else None,
        importance=omega.layers,
        notes=omega.notes,
    )


def orthogonal_weights(job: ImportanceJob, weighting: str) -> Weights:
    """Return the importance of each layer by its orthogonality to the others at the probed timesteps.

    Args:
        job: with ``beta`` (a number or ``auto``) and ``orm_aggregate`` among its settings.
        weighting: ``own``: θ itself. ``later-mean``: OMPQ's ω.
    """
    gammas = np.array([_gamma(job, number) for number in range(len(job.probes.timesteps))])
    given = job.settings["beta"]
    beta = om.automatic_beta(gammas) if given == "auto" else float(str(given))
    aggregate = str(job.settings["orm_aggregate"])
    each = om.importance(gammas, beta, "per-timestep")
    whole = om.importance(gammas, beta, "mean-of-exp" if aggregate == "per-timestep" else aggregate)
    mean = np.zeros((job.bins.count, len(job.layers)))
    np.add.at(mean, [job.bins.of(t) for t in job.probes.timesteps], each)
    mean /= (job.shares * len(job.probes.timesteps))[:, None]
    bins = mean if aggregate == "per-timestep" else np.repeat(whole[None], job.bins.count, axis=0)
    if weighting == "later-mean":
        whole, bins = om.later_mean(whole), om.later_mean(bins)
    blind = [name for name, gamma in zip(job.layers, gammas.T, strict=True) if np.isnan(gamma).any()]
    notes = [f"beta {beta:.4g}, {aggregate}, {weighting}"]
    if len(job.probes.batches[0]) > 1:
        notes.append(
            f"{len(job.probes.batches[0])} batches meet in random projections onto {PROJECTED} numbers: a product of "
            f"features has a standard error of {100 * standard_error(PROJECTED):.1f} %; a single batch is exact"
        )
    if blind:
        notes.append(
            f"{len(blind)} layers give the same for every image (such as {blind[0]}); orthogonality cannot rank them, "
            "so they have the mean importance"
        )
    return Weights(layers=whole, bins=bins.T, notes=tuple(notes))


def _gamma(job: ImportanceJob, number: int) -> Floats:
    """γ of each layer at one probed timestep."""
    batches = job.probes.batches[number]
    size = PROJECTED if len(batches) > 1 else None

    def compute() -> list[float | None]:
        found = capture_outputs(job.model.denoiser, list(job.layers), runs(job.model, batches), size=size)
        gamma = om.redundancy(om.orthogonality(found.grams, found.energies))
        return [None if np.isnan(value) else float(value) for value in gamma]

    key = f"gamma {number} of {len(job.probes.timesteps)} {size} {sorted(job.layers)}"
    gamma = job.store.get(key, compute)
    job.progress("orthogonality", number + 1, len(job.probes.timesteps))
    return np.array([np.nan if value is None else value for value in gamma])
