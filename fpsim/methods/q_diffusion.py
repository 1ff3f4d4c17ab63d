"""Q-Diffusion: integers with learned rounding and learned step sizes, unit by unit, and split shortcuts.

Source: Li et al. 2023, "Q-Diffusion: Quantizing Diffusion Models", and its released code as the project's notes
describe it (section A of the notes on post-training quantization). ``intN`` activations are its symmetric quantizer
with all codes, ``uintN`` its asymmetric one; weights are asymmetric per output channel whatever the sign of the
format. Three things differ from the release: units follow each other in the order in which they run, ranges of
activations are seen in one run with rounded weights and exact activations, and what learning did not improve stays
as it was (``compat`` drops the last).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods import q_diffusion_settings
from fpsim.methods.job import Job
from fpsim.methods.q_diffusion_acts import learn_acts, start_scales
from fpsim.methods.q_diffusion_attach import attach_learned
from fpsim.methods.q_diffusion_data import calibration_calls, kept, timesteps_of
from fpsim.methods.q_diffusion_places import ScalesOf, check_filled, words
from fpsim.methods.q_diffusion_plan import Plan, make_plan
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.methods.q_diffusion_units import run_order
from fpsim.methods.q_diffusion_weights import learn_weights, weight_layers
from fpsim.methods.rounding_run import Progress
from fpsim.model.attach import Handle
from fpsim.model.timestep import clock_of
from fpsim.quant.policy import Policy
from fpsim.sample.npz import atomic

#: Quantizes activations by bins of the timestep, where a policy has them.
TIMESTEP_BINS = True
#: The name, among the units, of the scales that learning starts from.
START = "(start)"


def settings(given: Mapping[str, Any], _kind: str, steps: int) -> dict[str, Any]:
    """Return the method's settings.

    Raises:
        FpsimError: an option that makes no sense.
    """
    return q_diffusion_settings.resolve(given, steps)


def check(model: nn.Module, policy: Policy, settings: Mapping[str, Any], *, static: bool) -> None:
    """Refuse before any work what the method cannot do.

    Raises:
        FpsimError: formats that are no integers, scales that Q-Diffusion does not have, dynamic activation scales;
            timestep bins of a model without a timestep.
    """
    plan = make_plan(model, policy, q_diffusion_settings.checked(settings))
    if plan.binned:
        clock_of(model)
    if plan.places and not static:
        raise FpsimError(
            "Q-Diffusion's activation scales are static; drop --act-scales dynamic, or choose --method rtn"
        )


def calibrated(settings: Mapping[str, Any], steps: int, timesteps: Sequence[float]) -> Sequence[float]:
    """Return those of a run's timesteps at which activations are calibrated.

    Args:
        settings: of the method.
        steps: of sampling.
        timesteps: of the run, one a call of the denoiser.
    """
    return kept(timesteps, steps, settings["steps_kept"])


def attach(job: Job) -> Handle:
    """Quantize a model's denoiser by Q-Diffusion.

    Raises:
        FpsimError: as :func:`check`; a layer that the calibration does not run, or a timestep bin that holds none of
            its timesteps; a damaged file of an earlier run.
    """
    chosen, model = q_diffusion_settings.checked(job.settings), job.model.denoiser
    check(model, job.policy, job.settings, static=job.samples is not None)
    plan, store = make_plan(model, job.policy, chosen), UnitStore(job.folder / "q-diffusion")
    calls = _calls(job, chosen)
    check_filled(plan.places, timesteps_of(model, calls))
    order = run_order(model, plan.units, calls[0])
    learn_weights(model, plan, order, calls, chosen, store, _progress(job, "weights", order))
    found = {unit: store.read_weights(unit) for unit in order if weight_layers(plan, unit)}
    weights = {name: weight for layers, _ in found.values() for name, weight in layers.items()}
    rules = {name: figures["scale_rule"] for layers, figures in found.values() for name in layers}
    scales: ScalesOf = {}
    if plan.places:
        start = _start(model, plan, calls, weights, chosen, store)
        told = _progress(job, "step sizes", order)
        scales = learn_acts(model, plan, order, calls, weights, start, chosen, store, told)
    _record(job, plan, order, found, store)
    return attach_learned(model, plan, weights, rules, scales, job.backend)


def _calls(job: Job, chosen: Settings) -> list[Mapping[str, Any]]:
    what = f"{job.label}: calibration"
    return calibration_calls(
        job.model,
        job.spec,
        chosen.steps_kept,
        chosen.samples_per_step,
        lambda done, total: job.progress(what, done, total),
    )


def _progress(job: Job, phase: str, order: Mapping[str, float]) -> Progress:
    progress = Progress(lambda done, total: job.progress(f"{job.label}: {phase}", done, total))
    progress.begin(sum(order.values()))
    return progress


def _start(
    model: nn.Module,
    plan: Plan,
    calls: Sequence[Mapping[str, Any]],
    weights: Mapping[str, Tensor],
    chosen: Settings,
    store: UnitStore,
) -> ScalesOf:
    if not store.has_scales(START):
        store.write_scales(START, start_scales(model, plan, calls, weights, chosen))
    return store.read_scales(START)[0]


def _record(job: Job, plan: Plan, order: Mapping[str, float], found: Mapping[str, Any], store: UnitStore) -> None:
    """Write what the run's record says in place of the policy's words, and the figures of each unit."""
    units = {
        unit: {
            **(found[unit][1] if unit in found else {}),
            **(store.read_scales(unit)[1] if store.has_scales(unit) else {}),
        }
        for unit in order
    }
    record = {
        "weights": _said([rule.weights for rule in plan.rules.values()], "asymmetric"),
        "acts": _said([rule.acts for rule in plan.rules.values()], f"{job.settings['act_init']} start, learned steps"),
        "rounding": {"units": units, "split": dict(plan.splits), "attentions": list(plan.attentions)},
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic(job.folder / "rounding.json") as stream:
        stream.write(json.dumps(record).encode())


def _said(specs: Sequence[Any], how: str) -> str:
    names = dict.fromkeys(
        words(spec, lambda each: f"{each.format.name}, per {each.granularity}") for spec in specs if spec is not None
    )
    return f"{'; '.join(names)}, {how} (Q-Diffusion)" if names else "full precision"
