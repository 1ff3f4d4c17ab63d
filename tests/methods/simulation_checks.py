"""Requests that the tests of simulations share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fpsim import Policy
from fpsim.methods.request import Request, Row
from fpsim.sample.spec import SampleSpec

SPEC = SampleSpec(steps=3, num_images=3, batch_size=2, seed=0)


def row(weights: str = "int4", acts: str = "int8", label: str | None = None, *skip: str, scale: str = "max") -> Row:
    policy = Policy.uniform(weights, acts, scale=scale).skip(*skip)
    return Row(label=label or f"{weights}/{acts}", policy=policy, weights=weights, acts=acts)


def request(*rows: Row, **changes: Any) -> Request:
    given = Request(
        spec=SPEC,
        rows=rows or (row(),),
        act_scales="static",
        calibration_images=2,
        backend=None,
        strict=False,
        dtype="float32",
        device="cpu",
        quantization={},
        command="fpsim simulate",
    )
    return replace(given, **changes)


def quiet(_what: str, _finished: int, _total: int) -> None:
    """No progress."""
