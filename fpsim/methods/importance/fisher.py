"""The Fisher measure: squared gradient times squared error, what a tensor's error adds to the denoiser's output."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fpsim.methods.allocation_data import runs
from fpsim.methods.importance.harm import Harm
from fpsim.methods.importance.job import ImportanceJob, identity
from fpsim.methods.importance.operands import act_operands, weight_operand
from fpsim.model.rounding_errors import Operand, SquaredGradients

DEFAULTS: dict[str, object] = {"measure_seed": 0}


def harm(job: ImportanceJob) -> Harm:
    """Return Σ g² (w − ŵ)² and Σ g² (x − x̂)² over the probes, relative to the energy of the denoiser's output.

    g² is the diagonal of the Fisher matrix of a Gaussian around the full-precision output, whose labels are drawn from
    the model itself: with the model's own output as the target a plain loss has no gradient. So the sum predicts the
    squared error of the denoiser's output, as far as errors are small and independent.

    Source: HAWQ-V2 and BRECQ use such diagonals; the drawn labels are those of the true, not the empirical, Fisher
    matrix (Kunstner, Hennig, Balles 2019).

    Memory: beside the model and what autograd keeps of one call, one layer at a time has its gradient and one rounding
    with its intermediate results: about 16 bytes a weight of the largest layer in float32, however many layers there
    are. Of the others only the scales are kept. The price is a rounding of each weight in each format at each call.
    """
    told = " ".join([*map(identity, job.weights), "|", *(identity(spec, job.bins) for spec in job.acts)])
    seed = int(job.settings["measure_seed"])
    found = job.store.get(f"fisher {seed} {sorted(job.layers)} {told}", partial(_energies, job, seed))
    weights = np.stack([np.array(found["weights"][name]) / found["output"] for name in job.layers])
    acts = None
    if job.acts:
        # By bin, and not times its share: the sum over all calls is what the sampler's run adds up to.
        errors = [job.by_bin(np.array(found["inputs"][name]))[:, 1:].T / found["output"] for name in job.layers]
        acts = np.stack(errors)
    return Harm(unit="predicted relative squared error of the denoiser's output", weights=weights, acts=acts)


def _energies(job: ImportanceJob, seed: int) -> dict[str, Any]:
    """The output's energy, and Σ g² error² of each weight's formats and of each call's inputs."""
    calls = runs(job.model, job.probes.calls)
    operands = act_operands(job) if job.acts else [{}] * len(calls)
    gradients = SquaredGradients(job.model.denoiser, _weight_operands(job))
    for number, call in enumerate(calls):
        gradients.run(call, seed + number, operands[number])
        job.progress("gradients", number + 1, len(calls))
    return {
        "output": float(sum(gradients.outputs)),
        "weights": {name: np.asarray(gradients.weights[name])[1:].tolist() for name in job.layers},
        "inputs": {name: np.array(gradients.inputs[name]).tolist() for name in job.layers} if job.acts else {},
    }


def _weight_operands(job: ImportanceJob) -> dict[str, list[Operand | None]]:
    """What rounds each layer's weight in each format."""
    found: dict[str, list[Operand | None]] = {}
    for number, name in enumerate(job.layers, 1):
        found[name] = [weight_operand(job, name, spec) for spec in job.weights]
        job.progress("scales of weights", number, len(job.layers))
    return found
