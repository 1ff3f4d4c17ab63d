"""Timestep bins of a simulation: their edges, what is checked before it, and what the record says about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from fpsim.errors import FpsimError
from fpsim.methods import registry
from fpsim.methods.request import Request
from fpsim.model.attach import Handle
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.model.sample_bins import needs_sample
from fpsim.model.split import SplitActivation
from fpsim.model.timestep import trained
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import ActBin, BinnedSpec


def with_edges(request: Request, model: LoadedModel) -> Request:
    """Return the request with the edges of bins of equal width, which follow from the model's training."""
    specs = [rule.acts for row in request.rows for rule in row.policy.rules]
    even = any(isinstance(spec, BinnedSpec) and spec.even is not None for spec in specs)
    timesteps = training_timesteps(model, 2 if even else 1)
    rows = tuple(replace(row, policy=row.policy.over(timesteps)) for row in request.rows)
    return replace(request, rows=rows)


def training_timesteps(model: LoadedModel, bins: int = 1) -> float:
    """Return over how many timesteps a model was trained, as its scheduler says.

    Args:
        model: loaded.
        bins: of equal width, over these timesteps.

    Raises:
        FpsimError: several bins, but the scheduler has no such timesteps.
    """
    return trained(model.scheduler, bins)


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
    kept = _calibrated(request, model, timesteps)
    for spec in binned:
        numbers = [spec.number(timestep) for timestep in timesteps]
        seen = set(numbers if kept is None else map(spec.number, kept))
        for place, each in enumerate(spec.bins):
            if place not in seen and each.value is None and needs_sample(each.spec):
                if kept is not None:
                    raise no_scale(each, len(kept))
                raise FpsimError(
                    f"timestep bin {each} holds none of the run's {len(timesteps)} timesteps, so it has no scale; "
                    "take more --steps or fewer bins"
                )


def _calibrated(request: Request, model: LoadedModel, timesteps: Sequence[float]) -> Sequence[float] | None:
    """The timesteps at which the method calibrates activations, where it chooses among those of the run."""
    method, steps = registry.method(request.method), request.spec.steps
    choose = getattr(method, "calibrated", None)
    if choose is None:
        return None
    chosen: Sequence[float] = choose(method.settings(request.method_options, model.kind, steps), steps, timesteps)
    return chosen


def no_scale(each: ActBin, timesteps: int) -> FpsimError:
    """Return the error of a bin that holds none of the timesteps that a method's calibration keeps."""
    return FpsimError(
        f"timestep bin {each} holds none of the {timesteps} timesteps that calibration keeps, so it has no scale; "
        "take more --calibration-steps, more --steps or fewer bins"
    )


def refuse_empty(bins: TimestepBins, timesteps: Sequence[float]) -> None:
    """Refuse before any work bins of which one holds none of the timesteps at which formats are searched.

    Raises:
        FpsimError: there is such a bin.
    """
    seen = {bins.of(timestep) for timestep in timesteps}
    for number in range(bins.count):
        if number not in seen:
            raise FpsimError(
                f"timestep bin {bins.label(number)} holds none of the {len(timesteps)} timesteps, so it has no format; "
                "take more --steps or fewer bins"
            )


def bins_of(handle: Handle) -> dict[str, Any]:
    """Return the bins of each input and attention operand that follow the timestep, for a row's record."""
    inputs = [pair for name, whole in handle.acts.items() for pair in _parts(name, whole)]
    others = [(operand.name, operand) for operand in handle.others if isinstance(operand, BinnedActivation)]
    found = {
        place: [_bin(each, part) for each, part in zip(operand.spec.bins, operand.operands, strict=True)]
        for place, operand in (*inputs, *others)
    }
    return {"act_bins": found} if found else {}


def _parts(name: str, operand: ActivationOperand) -> Iterator[tuple[str, BinnedActivation]]:
    if isinstance(operand, SplitActivation):
        for end, part in ((f"[:{operand.at}]", operand.first), (f"[{operand.at}:]", operand.second)):
            yield from _parts(name + end, part)
    elif isinstance(operand, BinnedActivation):
        yield name, operand


def _bin(each: ActBin, operand: ActivationOperand) -> dict[str, Any]:
    scales, bias = operand.quantizer.scales, getattr(each.spec.stored, "bias", None)
    point = None if scales is None or scales.zero_point is None else float(scales.zero_point[0])
    return {
        "from": each.start if isfinite(each.start) else None,
        "to": each.stop if isfinite(each.stop) else None,
        "format": each.spec.stored.name,
        "scale": None if scales is None else float(scales.scale[0]),
        **({} if point is None else {"zero_point": point}),
        **({"bias": float(bias)} if each.spec.scale == "none" and bias is not None else {}),
    }
