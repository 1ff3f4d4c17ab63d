"""Learned rounding behind the quantized prefix: what quantized layers before it change, a layer's rounding answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from fpsim.methods.rounding_run import Learning, keep_block, operand_grid, unfinished_blocks
from fpsim.model.attach import Handle
from fpsim.model.blocks import capture_calls
from fpsim.model.grams import LIMIT_BYTES, capture_grams, plan_passes
from fpsim.model.layers import quantizable
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.blockwise import learn_block
from fpsim.quant.rounding.grid import RoundingGrid
from fpsim.quant.rounding.learn import learn_rounding


def learn_layers_behind(
    model: nn.Module, work: Learning, attached: Callable[[], Handle], *, limit: int = LIMIT_BYTES
) -> dict[str, str]:
    """Learn each layer's rounding so that its output on quantized inputs comes near that on full-precision ones.

    Layers follow each other as they run; what enters one is what the layers before it make of the full-precision run's
    denoiser inputs, with their final weights and their quantized inputs. Each layer costs two passes over the
    calibration, up to it.

    Args:
        model: in full precision.
        work: what is learned.
        attached: quantizes the model, with the weights that are learned already, and returns its handle.
        limit: bytes of a layer's Gram matrices.

    Returns:
        The layers whose rounding cannot be learned, and why.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    missing = work.store.missing(work.names)
    passes = plan_passes({name: modules[name] for name in missing}, limit, crossed=True)
    names = [name for group in passes.groups for name in group]
    work.progress.begin(len(names))
    if names:
        with attached() as handle:
            data, runs = _calls(model, work, handle)
            for name in sorted(names, key=_place(runs)):
                gram = capture_grams(model, [name], data, handle, once=runs.get(name) == 1)[name]
                grid, weight = _grid(handle, name, modules[name]), modules[name].weight.detach()
                found = learn_rounding(weight, grid, gram, work.options, work.progress.part(1))
                work.store.write(name, found, unit=name)
                _take(handle, work, name, modules[name])
    work.progress.end()
    return dict(passes.left)


def learn_blocks_behind(model: nn.Module, work: Learning, attached: Callable[[], Handle]) -> dict[str, str]:
    """Learn the rounding of each block's layers on quantized inputs by its output on full-precision ones; as above."""
    modules: dict[str, Any] = dict(model.named_modules())
    blocks = unfinished_blocks(model, work)
    work.progress.begin(len(blocks))
    if blocks:
        with attached() as handle:
            data, runs = _calls(model, work, handle)
            place = _place(runs)
            for unit, parts in sorted(blocks.items(), key=lambda item: min(map(place, item[1].values()))):
                grids = {part: _grid(handle, full, modules[full]) for part, full in parts.items()}
                seen = capture_calls(model, unit, data)
                with handle.bypass():
                    exact = capture_calls(model, unit, data)
                    samples = [replace(ours, output=theirs.output) for ours, theirs in zip(seen, exact, strict=True)]
                    found = learn_block(modules[unit], grids, samples, work.options, work.progress.part(1))
                keep_block(work, unit, parts, found)
                for full in parts.values():
                    _take(handle, work, full, modules[full])
    work.progress.end()
    return {}


def _grid(handle: Handle, name: str, module: Any) -> Quantizer | RoundingGrid:
    return operand_grid(handle.weights[name], module.weight.detach())


def _calls(model: nn.Module, work: Learning, handle: Handle) -> tuple[list[Callable[[], Any]], dict[str, int]]:
    """The calibration's calls in full precision, and how often each layer runs in one, in the order of running."""
    runs: dict[str, int] = {}

    def hook(name: str) -> Callable[..., None]:
        return lambda *_: runs.update({name: runs.get(name, 0) + 1})

    with handle.bypass():
        data = list(work.calls())
        hooks = [module.register_forward_pre_hook(hook(name)) for name, module in quantizable(model)]
        try:
            with torch.no_grad():
                data[0]()
        finally:
            for each in hooks:
                each.remove()
    return data, runs


def _place(runs: dict[str, int]) -> Callable[[str], int]:
    """The place of a layer in the order of running; one that does not run comes last."""
    places = {name: place for place, name in enumerate(runs)}
    return lambda name: places.get(name, len(places))


def _take(handle: Handle, work: Learning, name: str, module: Any) -> None:
    """Let the layer compute with its learned weight from now on, as a run that goes on reads it."""
    weight = module.weight.detach()
    handle.weights[name].learn(weight, work.store.read(name)[0].to(weight.device))
