"""A run's arithmetic: what is checked before it, what the record says about it, and how a row computes with it."""

from __future__ import annotations

from typing import Any

from fpsim.methods import registry
from fpsim.methods.request import Request, Row
from fpsim.model.attach import Handle
from fpsim.model.compute import check, compute_with
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_build import split_rules


def record(request: Request) -> dict[str, Any]:
    """Return the tensor core for the run's record and identity; nothing for torch's FP32, which had no word before."""
    return {} if request.arithmetic is None else {"arithmetic": request.arithmetic.record()}


def products(request: Request, row: Row, model: LoadedModel) -> dict[str, str]:
    """Return what multiplies each layer of a row, if a tensor core does and no formats are searched first.

    Raises:
        FpsimError: operands that the arithmetic does not take.
    """
    if request.arithmetic is None:
        return {}
    settings = registry.settings(request.method, request.method_options, model.kind, request.spec.steps)
    if settings.get("format_search"):
        return {}
    layers = dict(quantizable(model.denoiser))
    rules, _ = split_rules(row.policy, layers, find_splits(model.denoiser, settings.get("split", "none")))
    return check(model.denoiser, rules, request.arithmetic)


def use(request: Request, model: LoadedModel, handle: Handle) -> dict[str, Any]:
    """Let a row compute with the run's tensor core, and return what multiplies each layer, for the row's record.

    Raises:
        FpsimError: as :func:`fpsim.model.compute.compute_with`.
    """
    if request.arithmetic is None:
        return {}
    return {"products": compute_with(model.denoiser, handle, request.arithmetic)}
