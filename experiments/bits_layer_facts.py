"""What is known of a layer before a single image is sampled: its weight, its input, and what rounding does to both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fpsim
from fpsim.measure.tensor import sqnr_of_energies
from fpsim.model.grams import capture_grams, plan_passes
from fpsim.model.layers import quantizable
from fpsim.quant.granularity import PerBlock
from fpsim.quant.granularity import parse as granularity
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.gram import Gram
from fpsim.quant.rounding.learn import learn_rounding
from fpsim.quant.rounding.options import RoundingOptions

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A layer in one format.

    Attributes:
        count: of weights.
        kurtosis: of the weight's values; 3 for a normal distribution.
        peak: largest magnitude by root mean square.
        spread: root mean square of the strongest output channel by the median channel's.
        sqnr: of the rounded weight, dB.
        zeros: share of zeros after rounding.
        levels: how many distinct values a group with one scale uses, the median over groups.
        output: SQNR of the layer's own output on exact inputs, dB.
        aligned: how much of the input's energy the weight lets through by what random weights of its size would, dB.
        first: share of the output's error that comes through the input's strongest direction.
        learned: as ``output``, with learned rounding; None where it was not learned.
        learned_sqnr: as ``sqnr``, with learned rounding.
    """

    count: int
    kurtosis: float
    peak: float
    spread: float
    sqnr: float
    zeros: float
    levels: float
    output: float
    aligned: float
    first: float
    learned: float | None = None
    learned_sqnr: float | None = None


def measured(
    model: nn.Module,
    calls: Sequence[Call],
    kinds: Sequence[tuple[str, str]],
    learn: RoundingOptions | None,
    first: int | None = None,
) -> dict[tuple[str, str], dict[str, Facts]]:
    """The facts of every layer in formats with granularities; the first of these learns its rounding as well.

    Args:
        model: in full precision.
        calls: functions that run it.
        kinds: pairs such as ``("int3", "tensor")``.
        learn: how, or None.
        first: look at the first so many layers only.
    """
    layers: dict[str, Any] = dict(list(quantizable(model))[:first])
    found: dict[tuple[str, str], dict[str, Facts]] = {kind: {} for kind in kinds}
    for group in plan_passes(layers).groups:
        for name, gram in capture_grams(model, group, calls).items():
            top = strongest(gram.hessian)
            for number, kind in enumerate(kinds):
                facts = _facts(layers[name].weight.detach(), gram, top, *kind)
                how = learn if number == 0 else None
                found[kind][name] = facts if how is None else _learned(layers[name].weight, gram, kind, facts, how)
    return found


def quantizer(name: str, where: str) -> fpsim.Quantizer:
    """The quantizer of weights; blocks run along input channels."""
    how = granularity(where)
    return fpsim.Quantizer(name, PerBlock(how.size, 1) if isinstance(how, PerBlock) else how)


def strongest(hessian: Tensor) -> Tensor:
    """The first eigenvector of each group's Gram matrix, ``[groups, K, 1]``, by power iteration."""
    vector = hessian.sum(dim=-1, keepdim=True)
    for _ in range(50):
        vector = hessian @ vector
        vector = vector / vector.norm(dim=1, keepdim=True).clamp_min(1e-300)
    return vector


def _facts(weight: Tensor, gram: Gram, top: Tensor, name: str, where: str) -> Facts:
    rounded, values = quantizer(name, where)(weight), weight.double()
    exact, error = (as_matrices(part, len(top)) for part in (values, rounded.double() - values))
    signal, noise = energy(exact, gram.hessian), energy(error, gram.hessian)
    through = float(((error @ top).square() * (top.mT @ gram.hessian @ top)).sum())
    traces = gram.hessian.diagonal(dim1=1, dim2=2).mean(dim=1)
    usual = float((exact.square().sum(dim=(1, 2)) * traces).sum())
    rows = values.flatten(1).square().mean(dim=1).sqrt()
    rms = values.square().mean().sqrt()
    return Facts(
        count=weight.numel(),
        kurtosis=float(values.pow(4).mean() / values.square().mean().square()),
        peak=float(values.abs().max() / rms),
        spread=float(rows.max() / rows.median()),
        sqnr=sqnr_of_energies(float(values.square().sum()), float(error.square().sum())),
        zeros=float((rounded == 0).double().mean()),
        levels=_levels(rounded, where),
        output=sqnr_of_energies(signal, noise),
        aligned=sqnr_of_energies(signal, usual),
        first=through / noise if noise else 0.0,
    )


def energy(matrix: Tensor, hessian: Tensor) -> float:
    """Σ over rows w of w H wᵀ: the energy of the output."""
    return max(float(((matrix @ hessian) * matrix).sum()), 0.0)


def _levels(rounded: Tensor, where: str) -> float:
    how = granularity(where)
    if isinstance(how, PerBlock):
        wide = rounded.movedim(1, -1)
        groups = [row[i : i + how.size] for row in wide.reshape(-1, wide.shape[-1])[:256]
                  for i in range(0, wide.shape[-1], how.size)]  # fmt: skip
    else:
        groups = [rounded] if where == "tensor" else list(rounded)
    counts = sorted(len(torch.unique(group)) for group in groups)
    return float(counts[len(counts) // 2])


def _learned(weight: Tensor, gram: Gram, kind: tuple[str, str], facts: Facts, how: RoundingOptions) -> Facts:
    exact = weight.detach()
    found = learn_rounding(exact, quantizer(*kind).fit(exact), gram, how).weight.double() - exact.double()
    groups = len(gram.hessian)
    signal = energy(as_matrices(exact.double(), groups), gram.hessian)
    noise = energy(as_matrices(found, groups), gram.hessian)
    return replace(
        facts,
        learned=sqnr_of_energies(signal, noise),
        learned_sqnr=sqnr_of_energies(float(exact.double().square().sum()), float(found.square().sum())),
    )


def mean_errors(model: nn.Module, calls: Sequence[Call], kind: tuple[str, str]) -> Mapping[str, Tensor]:
    """The mean over samples and positions of each output channel's error, were its layer rounded alone."""
    sums: dict[str, Tensor] = {}
    hooks = []
    for name, module in quantizable(model):
        error = quantizer(*kind)(module.weight.detach()) - module.weight.detach()
        hooks.append(module.register_forward_hook(_adder(sums, name, error)))
    try:
        with torch.no_grad():
            for call in calls:
                call()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / len(calls) for name, total in sums.items()}


def _adder(sums: dict[str, Tensor], name: str, error: Tensor) -> Callable[[nn.Module, Any, Any], None]:
    def add(module: Any, inputs: tuple[Tensor, ...], _output: Any) -> None:
        x = inputs[0]
        if isinstance(module, nn.Linear):
            mean = F.linear(x, error).flatten(0, -2).mean(dim=0)
        else:
            convolved = F.conv2d(x, error, None, module.stride, module.padding, module.dilation, module.groups)
            mean = convolved.mean(dim=(0, 2, 3))
        sums[name] = sums.get(name, torch.zeros_like(mean)) + mean

    return add
