"""Chen et al. 2024: formats searched tensor by tensor, weights first, and learned rounding for 4-bit weights.

Split layers, which the paper takes from Q-Diffusion, have a format for each half of the concatenation that enters them;
the rounding of both halves is learned together, as they add up to one output. Inputs that follow the timestep have a
format in each of its bins; weights have one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from fpsim.methods import rounding_settings
from fpsim.methods.format_search import init_samples
from fpsim.methods.found_formats import places_of
from fpsim.methods.job import Job
from fpsim.methods.rounding_calls import record_calls
from fpsim.methods.rounding_prefix import learn_blocks_behind, learn_layers_behind
from fpsim.methods.rounding_run import Learning, Progress, learn_blocks, learn_layers
from fpsim.methods.rounding_store import RoundingStore
from fpsim.methods.searched_policy import searched
from fpsim.methods.searched_words import words_of
from fpsim.model.attach import Handle, quantize_
from fpsim.model.layers import has_plain_weight, quantizable
from fpsim.model.split import find_splits
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
    "captured": "full-precision",
    "split": "none",
}
#: Searches the format of an input in each bin of the timestep, where a policy has bins.
TIMESTEP_BINS = True
#: Weights of more bits need no learned rounding (section V-B).
FEW_BITS = 4


def settings(given: Mapping[str, Any], kind: str, _steps: int) -> dict[str, Any]:
    """Return the method's settings; the sizes of data sets and mini-batches are the paper's for the kind of model.

    Raises:
        FpsimError: an option that makes no sense.

    Source: section VI-A: an initialization set of 128 samples, 5 calibration samples a step and mini-batches of 16 for
    unconditional generation; 16, 20 and 8 for text-to-image.
    """
    guided = kind == "text-to-image"
    sizes = {"init_samples": init_samples(kind), "samples_per_step": 20 if guided else 5}
    return rounding_settings.resolve(given, {**DEFAULTS, **sizes, "batch_size": 8 if guided else 16})


def check(model: nn.Module, _policy: Policy, settings: Mapping[str, Any], *, static: bool) -> None:
    """Refuse a model that cannot be split.

    Raises:
        FpsimError: as :func:`fpsim.model.split.find_splits`.
    """
    find_splits(model, settings["split"])


def attach(job: Job) -> Handle:
    """Quantize a model's denoiser by the paper's method.

    Raises:
        FpsimError: as :func:`fpsim.model.attach.quantize_`; a damaged file of an earlier run.
    """
    model, splits = job.model.denoiser, find_splits(job.model.denoiser, job.settings["split"])
    policy = _policy(job, splits)
    names = _to_learn(model, policy, splits, job.settings["learned_weights"])
    store = RoundingStore(job.folder / "rounding")
    left = _learn(job, policy, splits, names, store)
    figures = {name: store.read(name)[1] for name in names if name not in left}
    handle = _attached(job, policy, splits, store, figures)
    record = {**_said(job, policy, splits), "rounding": {"layers": figures, "nearest": left}}
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic(job.folder / "rounding.json") as stream:
        stream.write(json.dumps(record).encode())
    return handle


def _attached(
    job: Job, policy: Policy, splits: Mapping[str, int], store: RoundingStore, names: Iterable[str]
) -> Handle:
    """The quantized model with the learned weights of some layers, the others rounded to nearest."""
    learned = {name: store.read(name)[0] for name in names}
    return quantize_(
        job.model.denoiser,
        policy,
        job.samples,
        backend=job.backend,
        strict=job.strict,
        weights=learned,
        split=splits,
    )


def _said(job: Job, policy: Policy, splits: Mapping[str, int]) -> dict[str, str]:
    """What the record says in place of the row's words where formats were searched."""
    if not job.settings["format_search"]:
        return {}
    rules = [
        policy.half(name, place) for name, _ in quantizable(job.model.denoiser) for place in places_of(name, splits)
    ]
    return {**words_of(rules), "policy": policy_toml.dumps(policy)}


def _policy(job: Job, splits: Mapping[str, int]) -> Policy:
    """The policy with searched formats, or the one that an earlier part of the run found."""
    if not job.settings["format_search"]:
        return job.policy
    path = job.folder / "searched.toml"
    if path.is_file():
        return policy_toml.loads(path.read_text(encoding="utf-8"), file=str(path))
    policy = searched(job, splits)
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic(path) as stream:
        stream.write(policy_toml.dumps(policy).encode())
    return policy_toml.loads(path.read_text(encoding="utf-8"), file=str(path))  # as a run that goes on reads it


def _to_learn(model: nn.Module, policy: Policy, splits: Mapping[str, int], which: str) -> list[str]:
    names = []
    for name, module in quantizable(model):
        specs = [policy.half(name, place).weights for place in places_of(name, splits)]
        found = [spec.stored for spec in specs if spec is not None]
        if not found or not has_plain_weight(module):
            continue
        bits = min(fmt.element.bits if isinstance(fmt, BlockFormat) else fmt.bits for fmt in found)
        if bits <= FEW_BITS or which == "all":
            names.append(name)
    return names


def _learn(
    job: Job, policy: Policy, splits: Mapping[str, int], names: list[str], store: RoundingStore
) -> dict[str, str]:
    """Learn what is not finished; returns the layers that stay rounded to nearest, and why."""
    what = f"{job.label}: calibration of rounding"

    def calls() -> Any:
        """What enters the denoiser; sampled only where something is left to learn."""
        samples = job.settings["samples_per_step"]
        return record_calls(job.model, job.spec, samples, lambda done, total: job.progress(what, done, total))

    work = Learning(
        policy=policy,
        names=names,
        splits=splits,
        store=store,
        calls=calls,
        options=rounding_settings.options(job.settings),
        progress=Progress(lambda done, total: job.progress(f"{job.label}: rounding", done, total)),
        backend=job.backend,
    )
    blocks = job.settings["reconstruct"] == "block"
    if job.settings["captured"] == "full-precision":
        return (learn_blocks if blocks else learn_layers)(job.model.denoiser, work)

    def attached() -> Handle:
        missing = set(store.missing(names))
        return _attached(job, policy, splits, store, [name for name in names if name not in missing])

    return (learn_blocks_behind if blocks else learn_layers_behind)(job.model.denoiser, work, attached)
