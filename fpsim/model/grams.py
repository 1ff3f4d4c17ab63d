"""Gram matrices of what enters a model's layers, streamed over a calibration in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.attach import Handle
from fpsim.model.layers import has_plain_weight, without_fused_layers
from fpsim.model.undo import restored
from fpsim.quant.rounding.columns import Geometry, as_matrices, geometry
from fpsim.quant.rounding.gram import Gram, GramSum, gram_bytes

#: Gram matrices that are held at once may take so many bytes.
LIMIT_BYTES = 4 << 30


class _Reached(Exception):
    """All wanted layers have run: what follows in this call is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How the Gram matrices of a model's layers are captured.

    Args:
        groups: names of the layers of each pass over the calibration.
        left: layers that have none, and why.
    """

    groups: tuple[tuple[str, ...], ...]
    left: Mapping[str, str]


def plan_passes(layers: Mapping[str, nn.Module], limit: int = LIMIT_BYTES, *, crossed: bool = False) -> Passes:
    """Group layers so that the Gram matrices of a group take at most ``limit`` bytes.

    A layer whose own matrix is larger, or whose class multiplies otherwise than torch's convolutions over one or two
    axes and its linear layers, is left out with the reason.

    Args:
        layers: by name, in the order of the passes.
        limit: in bytes.
        crossed: whether inputs in full precision are captured beside those of a quantized model.
    """
    groups: list[list[str]] = []
    left, taken = {}, limit
    for name, module in layers.items():
        how = geometry(module) if has_plain_weight(module) else None
        if how is None:
            left[name] = f"a {type(module).__name__} has no learned rounding"
            continue
        need = gram_bytes(_inputs(module, how), how.groups, crossed=crossed)
        if need > limit:
            left[name] = f"its Gram matrix of {need >> 20:,} MiB is beyond the limit of {limit >> 20:,} MiB"
            continue
        if taken + need > limit:
            groups.append([])
            taken = 0
        groups[-1].append(name)
        taken += need
    return Passes(groups=tuple(map(tuple, groups)), left=left)


def _inputs(module: Any, how: Geometry) -> int:
    return int(as_matrices(module.weight, how.groups).shape[-1])


def capture_grams(
    model: nn.Module,
    names: Sequence[str],
    calls: Iterable[Callable[[], Any]],
    handle: Handle | None = None,
    *,
    once: bool = False,
) -> dict[str, Gram]:
    """Run a model and return the Gram matrix of what enters each of some layers.

    Args:
        model: any module.
        names: of its layers; see :func:`plan_passes`.
        calls: functions that run the model once each.
        handle: of the quantized model, to capture what its layers see beside what they would see in full precision:
            each call runs twice. Without it the model runs as it is.
        once: whether each of these layers runs once a call; then a call ends as soon as all of them have.

    Raises:
        FpsimError: a layer did not run, or NaN entered it.
    """
    modules = dict(model.named_modules())
    sums = {name: GramSum(_geometry(name, modules[name])) for name in names}
    with restored(without_fused_layers(model)), torch.no_grad():
        for call in calls:
            _run(modules, sums, call, handle, once=once)
    idle = next((name for name in names if not sums[name].count), None)
    if idle is not None:
        raise FpsimError(f"the calibration never ran layer {idle!r}, so its rounding cannot be learned; skip it")
    return {name: total.result() for name, total in sums.items()}


def _geometry(name: str, module: nn.Module) -> Geometry:
    how = geometry(module)
    if how is None:
        raise FpsimError(f"layer {name!r} is a {type(module).__name__}, which has no learned rounding; skip it")
    return how


def _run(
    modules: Mapping[str, nn.Module],
    sums: Mapping[str, GramSum],
    call: Callable[[], Any],
    handle: Handle | None,
    *,
    once: bool,
) -> None:
    exact: dict[str, list[Tensor]] = {name: [] for name in sums}

    def keep(name: str, x: Tensor) -> None:
        exact[name].append(x.clone())  # what follows may write into it

    def add(name: str, x: Tensor) -> None:
        sums[name].add(x, exact[name].pop(0) if handle is not None else None)

    if handle is not None:
        with handle.bypass():
            _hooked(modules, sums, keep, call, once=once)
    _hooked(modules, sums, add, call, once=once)


def _hooked(
    modules: Mapping[str, nn.Module],
    names: Iterable[str],
    function: Callable[[str, Tensor], None],
    call: Callable[[], Any],
    *,
    once: bool,
) -> None:
    """Run a call, giving what enters each named layer to a function."""
    left = set(names)

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def give(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            function(name, args[0] if args else kwargs["input"])
            left.discard(name)
            if once and not left:
                raise _Reached

        return give

    hooks = [modules[name].register_forward_pre_hook(hook(name), with_kwargs=True) for name in names]
    try:
        with contextlib.suppress(_Reached):
            call()
    finally:
        for each in hooks:
            each.remove()
