"""The Fisher measure through a whole job: its roundings are those of the quantized model, and none is kept."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from allocation_checks import BPW, WEIGHTS, quiet, request

import fpsim
from fpsim.methods.allocation_measure import measure
from fpsim.methods.importance import fisher
from fpsim.model.load import LoadedModel
from fpsim.model.operands import WeightOperand
from fpsim.model.rounding_errors import Operands, SquaredGradients
from fpsim.quant.policy import Policy, Rule, spec

SKIP = ("*time_emb*", "conv_*", "*attentions*", "*samplers*", "mid*", "down*")
FORMATS = {**WEIGHTS, "mxfp4": spec("mxfp4", "tensor", "mse")}


def test_no_rounding_is_kept(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of split layers neither, and of blocks; before, between and after the calls."""
    given: list[Operands] = []
    kept: list[int] = []

    class Watched(SquaredGradients):
        def __init__(self, net: torch.nn.Module, weights: Operands) -> None:
            super().__init__(net, weights)
            given.append(weights)
            self.count()

        def run(self, *args: object) -> None:
            super().run(*args)  # type: ignore[arg-type]
            self.count()

        def count(self) -> None:
            kept.append(sum(issubclass(type(o), WeightOperand) and o.rounded is not None for o in gc.get_objects()))

    monkeypatch.setattr(fisher, "SquaredGradients", Watched)
    gc.collect()
    asked = request(measure="fisher", skip=SKIP, weights=FORMATS, acts={}, limits=(BPW,), bins=1, split="shortcut")
    found = measure(asked, model, None, quiet)
    assert kept == [0, 0, 0]
    assert found.split
    modules = dict(model.denoiser.named_modules())
    for name, operands in given[0].items():
        weight, split = modules[name].weight.detach(), {n: at for n, at in found.split.items() if n == name}
        for chosen, operand in zip(FORMATS.values(), operands, strict=True):
            if chosen is None:
                assert operand is None
                continue
            assert operand is not None
            policy = Policy((Rule(match=name, weights=chosen, acts=None),))
            with fpsim.quantize_(model.denoiser, policy, split=split) as handle:
                assert torch.equal(operand(weight), handle.weights[name](weight))
    assert np.isfinite(found.harm.weights).all()
    assert (found.harm.weights[:, 3] == 0).all(), "full precision"
