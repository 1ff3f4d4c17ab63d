"""Operation lists of whole models: by name, from a local folder, or of a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from fpsim.cost.architectures import architecture, build
from fpsim.cost.catalogue import Model, Part, lookup, names
from fpsim.cost.folders import read_folder
from fpsim.cost.model_inputs import Sizes
from fpsim.cost.modules import Inputs, trace_module
from fpsim.cost.operations import Component, Trace
from fpsim.cost.scaling import scaled
from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name

__all__ = ["trace", "trace_batches", "trace_module"]


def trace(
    model: str | Path | nn.Module,
    *,
    batch: int = 1,
    inputs: Inputs | None = None,
    latent: tuple[int, int] | None = None,
    tokens: int | None = None,
    only_denoiser: bool = False,
) -> Trace:
    """Return what a model computes, without its weights.

    Args:
        model: a known name such as ``sd15``, a folder with a diffusers config or pipeline, or a module. Text encoders
            and the decoder come with names and pipelines.
        batch: samples of every component; classifier-free guidance makes two of an image in the denoiser.
        inputs: what a module gets, as in :func:`trace_module`; None for what its class is known to get.
        latent: (height, width) of the denoiser's input; None for what it was trained with.
        tokens: of the text that the denoiser gets; None for what the pipeline gives.
        only_denoiser: leave text encoders and decoder out.

    Returns:
        The trace, the denoiser first.

    Raises:
        FpsimError: an unknown name, a folder without a usable config, a module of unknown inputs, a batch below 1.
    """
    if batch < 1:
        raise FpsimError(f"a batch of {batch} has no sample; give a positive number")
    if isinstance(model, nn.Module):
        return _of_module(model, batch, inputs, latent, tokens)
    if inputs is not None:
        raise FpsimError("inputs belong to a module; leave them out for a name or folder")
    found = _find(model)
    parts = found.parts[:1] if only_denoiser else found.parts
    chosen = [_sized(part, latent, tokens) for part in parts]
    return Trace(
        name=str(model),
        source=found.source,
        batch=batch,
        components=tuple(_component(part, batch) for part in chosen),
    )


def trace_batches(model: str | Path, batches: Sequence[int], *, only_denoiser: bool = False) -> tuple[Trace, ...]:
    """Return the traces of a model at several batches; more than two of them cost no more than two.

    Args:
        model: a known name or a folder.
        batches: samples.
        only_denoiser: leave text encoders and decoder out.

    Raises:
        FpsimError: as :func:`trace`.
    """
    if len(set(batches)) <= 2:
        made = {batch: trace(model, batch=batch, only_denoiser=only_denoiser) for batch in set(batches)}
        return tuple(made[batch] for batch in batches)
    one, two = (trace(model, batch=batch, only_denoiser=only_denoiser) for batch in (1, 2))
    return tuple(scaled(one, two, batch) for batch in batches)


def _find(model: str | Path) -> Model:
    if isinstance(model, str) and model in names():
        return lookup(model)
    folder = Path(model)
    check_name(folder)
    return read_folder(folder) if folder.is_dir() else lookup(str(model))


def _sized(part: Part, latent: tuple[int, int] | None, tokens: int | None) -> Part:
    """Override the sizes where they belong: latents of denoiser and decoder, tokens of the denoiser."""
    role = architecture(part.kind).role
    if latent is not None and role != "text_encoder":
        part = replace(part, latent=latent)
    return replace(part, tokens=tokens) if tokens is not None and role == "denoiser" else part


def _component(part: Part, batch: int) -> Component:
    known, module = architecture(part.kind), build(part.kind, part.config)
    sizes = Sizes(batch=batch, latent=part.latent, tokens=part.tokens)
    return trace_module(
        module,
        known.inputs(_full(module, part), sizes),
        name=part.name,
        method=known.method,
        calls=0 if known.role == "denoiser" else 1,
    )


def _full(module: nn.Module, part: Part) -> dict[str, object]:
    """The config with the defaults of the class, which a published one leaves out."""
    config = getattr(module, "config", {})
    return dict(config if isinstance(config, dict) else vars(config)) | dict(part.config)


def _of_module(
    module: nn.Module, batch: int, inputs: Inputs | None, latent: tuple[int, int] | None, tokens: int | None
) -> Trace:
    kind = type(module).__name__
    if inputs is None:
        known = architecture(kind)
        part = Part(name=known.role, kind=kind, config={}, source=kind)
        inputs = known.inputs(_full(module, part), Sizes(batch=batch, latent=latent, tokens=tokens))
        component = trace_module(
            module, inputs, name=known.role, method=known.method, calls=int(known.role != "denoiser")
        )
    else:
        component = trace_module(module, inputs)
    return Trace(name=kind, source=f"the given {kind}", batch=batch, components=(component,))
