"""Allocation requests that tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fpsim.methods.allocation_request import AllocationRequest, Limit
from fpsim.quant.policy import spec
from fpsim.sample.spec import SampleSpec

WEIGHTS = {name: spec(name, "channel", "max") for name in ("int2", "e2m1", "int8")} | {"none": None}
ACTS = {name: spec(name, "tensor", "max") for name in ("int4", "e4m3")}
BPW = Limit(kind="bpw", value=5.0, text="5bpw")
BPA = Limit(kind="bpa", value=6.0, text="6bpa")
FEW = ("*resnets*", "*time_emb*", "*attentions*", "*samplers*")


def request(**changes: Any) -> AllocationRequest:
    """Weights and inputs of two layers, three steps, two images in one batch."""
    given = AllocationRequest(
        weights=WEIGHTS,
        acts=ACTS,
        limits=(BPW, BPA),
        measure="mse",
        spec=SampleSpec(steps=4, num_images=1, batch_size=4, seed=0),
        images=4,
        timesteps=2,
        bins=2,
        skip=FEW,
    )
    return replace(given, **changes)


def quiet(_what: str, _finished: int, _total: int) -> None:
    """No progress."""
