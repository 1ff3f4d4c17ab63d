"""Relative squared errors weighted by the network orthogonality metric: importance that sees formats."""

from __future__ import annotations

from fpsim.methods.importance.harm import Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.mse import act_ratios, weight_ratios
from fpsim.methods.importance.orm import DEFAULTS as ORM
from fpsim.methods.importance.orm import orthogonal_weights

DEFAULTS: dict[str, object] = {**ORM, "orm_weighting": "own"}


def harm(job: ImportanceJob) -> Harm:
    """Return importance times the relative squared error of each tensor, where ``orm`` counts bits alone."""
    theta = orthogonal_weights(job, str(job.settings["orm_weighting"]))
    acts = act_ratios(job) * theta.bins[:, None, :] * job.shares if job.acts else None
    return Harm(
        unit="importance times the relative squared error of the tensors",
        weights=weight_ratios(job) * theta.layers[:, None],
        acts=acts,
        importance=theta.layers,
        notes=theta.notes,
    )
