"""Timestep bins of a simulation: their edges, what is checked before it, and what the record says about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from fpsim.errors import FpsimError
from fpsim.methods.request import Request
from fpsim.model.attach import Handle
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.model.sample_bins import needs_sample
from fpsim.model.split import SplitActivation
from fpsim.quant.binned import TRAINED, ActBin, BinnedSpec


def with_edges(request: Request, model: LoadedModel) -> Request:
    """Return the request with the edges of bins of equal width, which follow from the model's training."""
    timesteps = float(model.scheduler.config.get("num_train_timesteps") or TRAINED)
    rows = tuple(replace(row, policy=row.policy.over(timesteps)) for row in request.rows)
    return replace(request, rows=rows)


def check_bins(request: Request, model: LoadedModel, timesteps: Sequence[float]) -> None:
    """Refuse before any work a bin that needs a scale, but holds none of the run's timesteps.

    Args:
        request: with edges.
        model: loaded; a text-to-image pipeline may choose other timesteps, so its bins are checked in calibration.
        timesteps: of the run.

    Raises:
        FpsimError: there is such a bin, or no bin holds a timestep.
    """
    binned = [rule.acts for row in request.rows for rule in row.policy.rules if isinstance(rule.acts, BinnedSpec)]
    if request.act_scales != "static" or model.kind == "text-to-image":
        return
    for spec in binned:
        seen = {spec.number(timestep) for timestep in timesteps}
        for place, each in enumerate(spec.bins):
            if place not in seen and each.value is None and needs_sample(each.spec):
                raise FpsimError(
                    f"timestep bin {each} holds none of the run's {len(timesteps)} timesteps, so it has no scale; "
                    "take more --steps or fewer bins"
                )


def bins_of(handle: Handle) -> dict[str, Any]:
    """Return the bins of each input that follows the timestep, for a row's record; nothing where none does."""
    found = {
        place: [_bin(each, part) for each, part in zip(operand.spec.bins, operand.operands, strict=True)]
        for name, whole in handle.acts.items()
        for place, operand in _parts(name, whole)
    }
    return {"act_bins": found} if found else {}


def _parts(name: str, operand: ActivationOperand) -> Iterator[tuple[str, BinnedActivation]]:
    if isinstance(operand, SplitActivation):
        for end, part in ((f"[:{operand.at}]", operand.first), (f"[{operand.at}:]", operand.second)):
            yield from _parts(name + end, part)
    elif isinstance(operand, BinnedActivation):
        yield name, operand


def _bin(each: ActBin, operand: ActivationOperand) -> dict[str, Any]:
    scales = operand.quantizer.scales
    point = None if scales is None or scales.zero_point is None else float(scales.zero_point[0])
    return {
        "from": each.start if isfinite(each.start) else None,
        "to": each.stop if isfinite(each.stop) else None,
        "format": each.spec.stored.name,
        "scale": None if scales is None else float(scales.scale[0]),
        **({} if point is None else {"zero_point": point}),
    }
