"""Sizes to the byte, policies, timestep bins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fpsim
from fpsim.errors import FpsimError
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.allocation.policies import policy_of
from fpsim.quant.allocation.problem import Problem
from fpsim.quant.allocation.sizes import element_bits, packed_bytes
from fpsim.quant.allocation.solve import solve
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.granularity import parse
from fpsim.quant.policy import spec
from fpsim.quant.quantizer import Quantizer

FORMATS = [
    ("int4", "channel", "mse"),
    ("int3", "channel", "max"),
    ("uint4", "channel", "max"),
    ("uint4", "tensor", "max"),
    ("e2m1", "tensor", "mse"),
    ("e3m2", "block:16", "max"),
    ("e2m1", "block:16", "e4m3-max"),
    ("mxfp4", "channel", "mse"),
    ("nvfp4", "channel", "mse"),
    ("e4m3", "tensor", "none"),
]


@pytest.mark.parametrize(("name", "granularity", "scale"), FORMATS)
@pytest.mark.parametrize("shape", [(7, 33), (5, 19, 3, 3)])
def test_bytes_are_those_of_a_packed_file(
    name: str, granularity: str, scale: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Of the file's data section, whose arrays are all of this tensor."""
    chosen = spec(name, granularity, scale)
    assert chosen is not None
    where = parse(granularity)
    if granularity.startswith("block"):
        where = type(where)(16, 1)  # type: ignore[call-arg]
    if granularity == "channel" and name in ("mxfp4", "nvfp4"):
        where = fpsim.quant.granularity.PerBlock(32 if name == "mxfp4" else 16, 1)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    fpsim.save_packed(tmp_path / "x", {"w": x}, Quantizer(chosen.format, where, scale))
    raw = (tmp_path / "x").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    header.pop("__metadata__")
    stored = sum(end - start for start, end in (entry["data_offsets"] for entry in header.values()))
    assert packed_bytes(shape, chosen, out=0, into=1) == stored


def test_split_halves_are_two_tensors() -> None:
    chosen = spec("int4", "channel", "mse")
    whole, halves = (packed_bytes((8, 30, 1, 1), chosen, out=0, into=1, split=at) for at in (0, 11))
    assert whole == 8 * 30 // 2 + 4 * 8
    assert halves == 8 * 11 // 2 + 8 * 19 // 2 + 2 * 4 * 8
    blocks = spec("mxfp4", "channel", "mse")
    assert packed_bytes((8, 30), blocks, out=0, into=1, split=11) == packed_bytes((8, 30), blocks, out=0, into=1)


def test_full_precision() -> None:
    assert packed_bytes((3, 5), None, out=0, into=1) == 60
    assert [element_bits(s) for s in (None, spec("mxfp4", "channel", "mse"), spec("e3m2", "tensor", "max"))] == [
        32,
        4,
        6,
    ]


def problem(bins: int = 1) -> Problem:
    return Problem(
        layers=("a.[0]", "b"),
        weights=("x", "y"),
        harm=np.array([[0.0, 1.0], [1.0, 0.0]]),
        acts=("p", "q"),
        harm_acts=np.array([[0.0, 1.0], [1.0, 0.0]])[:, :, None].repeat(bins, axis=2),
    )


def test_an_ordinary_policy() -> None:
    """Names with glob characters match themselves alone."""
    weights = [spec("int4", "channel", "mse"), None]
    acts = [spec("e4m3", "tensor", "mse"), spec("int8", "tensor", "mse")]
    policy = policy_of(solve(problem()), weights, acts)
    assert policy.layer("a.[0]").weights == weights[0]
    assert policy.layer("a.[0]").acts == acts[0]
    assert policy.layer("b").weights is None
    assert policy.layer("b").acts == acts[1]
    assert policy.layer("a.0").acts is None
    policy.resolve(["a.[0]", "b", "skipped"])


def test_formats_over_the_timestep() -> None:
    two = problem(2)
    two.harm_acts[0, :, 1] = [1.0, 0.0]  # type: ignore[index]
    found = solve(two)
    assert found.act_formats() == {"a.[0]": ("p", "q"), "b": ("q", "q")}
    acts = [spec("e4m3", "tensor", "mse"), spec("int8", "tensor", "mse")]
    bins = TimestepBins((300.0,))
    policy = policy_of(found, [None, None], acts, bins)
    for name, wanted in (("a.[0]", tuple(acts)), ("b", (acts[1], acts[1]))):
        chosen = policy.layer(name).acts
        assert isinstance(chosen, BinnedSpec)
        assert (chosen.specs, chosen.edges) == (wanted, bins)
    assert policy_of(found, [None, None], [None, None], bins).layer("b").acts is None
    with pytest.raises(FpsimError, match=r"layer 'a\.\[0\]' has activations in full precision at some timesteps"):
        policy_of(found, [None, None], [None, acts[0]], bins)


def test_bins() -> None:
    bins = TimestepBins((100.0, 600.0))
    assert [bins.of(t) for t in (0, 99.9, 100, 599, 600, 1000)] == [0, 0, 1, 1, 2, 2]
    assert [bins.label(i) for i in range(3)] == ["0 to 100", "100 to 600", "600 on"]
    assert TimestepBins.even(1, 1000).count == 1
    for edges in ((2.0, 1.0), (1.0, 1.0), (float("nan"),)):
        with pytest.raises(FpsimError, match="do not rise"):
            TimestepBins(edges)
    with pytest.raises(FpsimError, match="0 timestep bins"):
        TimestepBins.even(0, 1000)
    with pytest.raises(FpsimError, match="no timestep"):
        bins.shares([])
