"""Chen et al. 2024: formats searched tensor by tensor, weights first, and learned rounding for 4-bit weights.

Not in this module: the split of concatenated inputs at shortcuts, which the paper takes from Q-Diffusion.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fpsim.methods import rounding_settings
from fpsim.methods.job import Job
from fpsim.methods.rounding_calls import record_calls
from fpsim.methods.rounding_run import Progress, learn_blocks, learn_layers
from fpsim.methods.rounding_store import RoundingStore
from fpsim.methods.searched_policy import searched
from fpsim.model.attach import Handle, quantize_
from fpsim.model.layers import has_plain_weight, quantizable
from fpsim.number import BlockFormat
from fpsim.quant import policy_toml
from fpsim.quant.policy import Policy
from fpsim.sample.npz import atomic

#: What the paper does not say (optimizer, rate, iterations, start, weight of the regularizer) is measured:
#: experiments/learned_rounding_layers.py. Its own figures depend on the model's kind: see :func:`settings`.
DEFAULTS: Mapping[str, Any] = {
    "iterations": 1000,
    "lr": 3e-2,
    "lambda": 3.0,
    "beta": "20:2",
    "parametrization": "rectified",
    "scale_aware": False,
    "reduction": "relative",
    "polish": 20,
    "reconstruct": "layer",
    "learned_weights": "fp4",
    "format_search": True,
}
#: Weights of more bits need no learned rounding (section V-B).
FEW_BITS = 4


def settings(given: Mapping[str, Any], kind: str, _steps: int) -> dict[str, Any]:
    """Return the method's settings; calibration samples and mini-batches are the paper's for the kind of model.

    Raises:
        FpsimError: an option that makes no sense.

    Source: section VI-A: 5 samples a step and mini-batches of 16 for unconditional generation, 20 and 8 for
    text-to-image.
    """
    guided = kind == "text-to-image"
    sizes = {"samples_per_step": 20 if guided else 5, "batch_size": 8 if guided else 16}
    return rounding_settings.resolve(given, {**DEFAULTS, **sizes})


def attach(job: Job) -> Handle:
    """Quantize a model's denoiser by the paper's method.

    Raises:
        FpsimError: as :func:`fpsim.model.attach.quantize_`; a damaged file of an earlier run.
    """
    policy = _policy(job)
    names = _to_learn(job, policy)
    store = RoundingStore(job.folder / "rounding")
    left = _learn(job, policy, names, store)
    found = {name: store.read(name) for name in names if name not in left}
    learned: dict[str, Tensor] = {name: weight for name, (weight, _) in found.items()}
    handle = quantize_(job.model.denoiser, policy, job.samples, backend=job.backend, strict=job.strict, weights=learned)
    figures = {name: figures for name, (_, figures) in found.items()}
    record = {**_said(job, policy), "rounding": {"layers": figures, "nearest": left}}
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic(job.folder / "rounding.json") as stream:
        stream.write(json.dumps(record).encode())
    return handle


def _said(job: Job, policy: Policy) -> dict[str, str]:
    """What the record says in place of the row's words where formats were searched."""
    if not job.settings["format_search"]:
        return {}
    rules = [policy.layer(name) for name, _ in quantizable(job.model.denoiser)]
    weights, acts = (
        [str(rule.weights) for rule in rules if rule.weights],
        [str(rule.acts) for rule in rules if rule.acts],
    )
    return {"weights": _counted(weights), "acts": _counted(acts), "policy": policy_toml.dumps(policy)}


def _counted(specs: list[str]) -> str:
    """How many tensors have which encoding, such as ``e1m2 × 40, e2m1 × 24, searched``; the only one in full."""
    if len(set(specs)) <= 1:
        return specs[0] if specs else "full precision"
    names = Counter(spec.split()[0] for spec in specs)
    return ", ".join(f"{name} × {count}" for name, count in sorted(names.items())) + ", searched"


def _policy(job: Job) -> Policy:
    """The policy with searched formats, or the one that an earlier part of the run found."""
    if not job.settings["format_search"]:
        return job.policy
    path = job.folder / "searched.toml"
    if path.is_file():
        return policy_toml.loads(path.read_text(encoding="utf-8"), file=str(path))
    what = f"{job.label}: formats"
    layers = dict(quantizable(job.model.denoiser))
    policy = searched(job.policy, layers, job.samples, lambda done, total: job.progress(what, done, total))
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic(path) as stream:
        stream.write(policy_toml.dumps(policy).encode())
    return policy_toml.loads(path.read_text(encoding="utf-8"), file=str(path))  # as a run that goes on reads it


def _to_learn(job: Job, policy: Policy) -> list[str]:
    names = []
    for name, module in quantizable(job.model.denoiser):
        spec = policy.layer(name).weights
        if spec is None or not has_plain_weight(module):
            continue
        bits = spec.stored.element.bits if isinstance(spec.stored, BlockFormat) else spec.stored.bits
        if bits <= FEW_BITS or job.settings["learned_weights"] == "all":
            names.append(name)
    return names


def _learn(job: Job, policy: Policy, names: list[str], store: RoundingStore) -> dict[str, str]:
    """Learn what is not finished; returns the layers that stay rounded to nearest, and why."""
    run = learn_blocks if job.settings["reconstruct"] == "block" else learn_layers
    options = rounding_settings.options(job.settings)
    what = f"{job.label}: calibration of rounding"

    def calls() -> Any:
        """What enters the denoiser; sampled only where something is left to learn."""
        samples = job.settings["samples_per_step"]
        return record_calls(job.model, job.spec, samples, lambda done, total: job.progress(what, done, total))

    told = Progress(lambda done, total: job.progress(f"{job.label}: rounding", done, total))
    return run(job.model.denoiser, policy, names, store, calls, options, told, job.backend)
