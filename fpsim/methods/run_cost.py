"""What each row of a run would cost on hardware, for the run's record: one trace of the denoiser, no computation."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.cost.estimating import estimate
from fpsim.cost.formats import layers
from fpsim.cost.result import Estimate
from fpsim.cost.workload import Model, load
from fpsim.methods.request import REFERENCE, Request
from fpsim.methods.run_identity import method_settings
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_build import split_rules
from fpsim.quant import policy_toml
from fpsim.quant.policy import Policy
from fpsim.sample.trajectory import Trajectory

#: Two data-center generations, one of which multiplies FP4, and an embedded device that multiplies no small floats.
DEVICES = ("h100-sxm", "b200", "orin-agx")


def record(
    request: Request, model: LoadedModel, rows: Sequence[Mapping[str, Any]], course: Trajectory | None
) -> dict[str, Any]:
    """Return the run's ``cost``: the denoiser's step on a few devices, in full precision and by each row's formats.

    Args:
        request: the simulation.
        model: not quantized.
        rows: of the record; their policies have the formats that a method found.
        course: of the first batch in full precision, which shows whether guidance doubles the samples; or None.

    Returns:
        Under ``rows`` one entry a row and device, or under ``missing`` one line that says why there is none.
    """
    try:
        return _estimated(request, model, rows, course)
    except Exception as error:
        # Any module may be sampled, and a finished run is worth more than what it would cost elsewhere.
        return {"missing": (" ".join(str(error).split()) or type(error).__name__)[:300]}


def _estimated(
    request: Request, model: LoadedModel, rows: Sequence[Mapping[str, Any]], course: Trajectory | None
) -> dict[str, Any]:
    traced = load(model.denoiser)
    images = len(request.spec.batches()[0])
    guided = course is not None and course.latents.shape[1] == 2 * images
    splits = find_splits(model.denoiser, method_settings(request, model).get("split", "none"))
    policies = {REFERENCE: None, **{row["label"]: _policy(row, model, traced, splits) for row in rows}}
    found = [
        (label, estimate(traced, device=name, policy=policy, batch=images, cfg=guided, act_scales=request.act_scales))
        for label, policy in policies.items()
        for name in DEVICES
    ]
    return {
        "batch": images,
        "cfg": guided,
        **found[0][1].setting.record(),
        "rows": [_entry(label, item) for label, item in found],
        "notes": list(dict.fromkeys(note for _, item in found for note in item.notes)),
    }


def _policy(row: Mapping[str, Any], model: LoadedModel, traced: Model, splits: Mapping[str, int]) -> Policy | None:
    """The formats of the layers that the trace has; those of a split layer are of its first half."""
    given = policy_toml.loads(row["policy"], file=row["label"])
    wanted, _ = split_rules(given, dict(quantizable(model.denoiser)), splits)
    names = [name for name in layers(traced.traces[0].denoiser) if name in wanted]
    # A rule may be of halves, or of layers that never run.
    kept = Policy(tuple(rule for rule in given.rules if any(Policy((rule,)).layer(name) is rule for name in names)))
    for name in names:
        rule = wanted[name]
        if kept.layer(name) != rule:
            kept = kept.rule(glob.escape(name), weights=rule.weights, acts=rule.acts)
    return kept if kept.rules else None


def _entry(label: str, item: Estimate) -> dict[str, Any]:
    return {
        "label": label,
        "device": item.device.name,
        "level": item.level,
        "step_s": _six(item.latency_s),
        "step_low_s": _six(item.low),
        "step_high_s": _six(item.high),
        "step_bound_s": _six(item.bound),
        "waits_for": item.limit,
        "peak_bytes": int(item.peak_bytes),
        "device_bytes": int(item.device.memory.value),
        "computes": _computes(item),
    }


def _computes(item: Estimate) -> list[dict[str, Any]]:
    """How many layers are multiplied in which type, and whether it is that of their formats."""
    counts: dict[tuple[str, str], int] = {}
    for use in item.uses:
        key = (use.support.compute, use.support.level)
        counts[key] = counts.get(key, 0) + use.layers
    return [{"compute": compute, "level": level, "layers": count} for (compute, level), count in counts.items()]


def _six(value: float) -> float:
    return float(f"{value:.6g}")
