"""``torch.compile`` with its default backend, Inductor: machine code that follows the timestep's bin.

Inductor fuses what eager mode computes one by one, so sums differ in their last bits and a value close to the middle
between two codes may become the other one. In float64 this hardly ever happens: there the results are equal to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
import torch._inductor.config
from test_timestep_bins import SAME, SEVERAL
from tiny_denoiser import TinyDenoiser, calls
from torch import Tensor, nn
from torch._dynamo.utils import counters

import fpsim
from fpsim import Policy
from fpsim.model.load import load


def _compiler() -> str:
    """Why nothing can be compiled here, or an empty string."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        return f"torch finds no C++ compiler: {' '.join(str(error).split())}"
    return ""


pytestmark = pytest.mark.skipif(bool(_compiler()), reason=_compiler() or "there is one")
SLOW = pytest.mark.skipif(not os.environ.get("FPSIM_COMPILE"), reason="minutes of g++; FPSIM_COMPILE=1 runs it")
Call = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    with torch._inductor.config.patch(compile_threads=1):  # other processes would import torch first
        yield
    torch._dynamo.reset()


def typed(dtype: torch.dtype) -> list[Call]:
    return [(x.to(dtype), t) for x, t in calls()]


def compared(
    model: nn.Module, policy: Policy, given: Sequence[Call], output: Callable[[Any], Tensor]
) -> tuple[list[float], list[float]]:
    """Of each call the largest difference to eager mode, relative to the largest value; and what rounding changed.

    No call but the first compiles anything: torch would raise an error, and count another graph.
    """
    with torch.no_grad():
        exact = [output(model(x, t)) for x, t in given]
        with fpsim.quantize_(model, policy, [*given]):
            wanted = [output(model(x, t)) for x, t in given]
            compiled = torch.compile(model, fullgraph=True)
            found = [output(compiled(*given[0]))]
            with torch._dynamo.config.patch(error_on_recompile=True):
                found += [output(compiled(x, t)) for x, t in given[1:]]
            assert counters["stats"]["unique_graphs"] == 1
            again = output(compiled(*given[0]))
    assert torch.equal(again, found[0]), "the last bin does not stay"

    def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> list[float]:
        return [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)]

    return apart(found, wanted), apart(wanted, exact)


@pytest.mark.parametrize("policy", [SAME, SEVERAL], ids=["scales", "formats"])
@pytest.mark.parametrize(
    ("dtype", "most"),
    [pytest.param(torch.float64, 1e-14, marks=SLOW, id="64"), pytest.param(torch.float32, 1e-5, id="32")],
)
def test_inductor_is_eager(policy: Policy, dtype: torch.dtype, most: float) -> None:
    """In every bin; a wrong bin would be as far away as rounding is."""
    errors, rounding = compared(TinyDenoiser().to(dtype), policy, typed(dtype), lambda y: y)
    assert max(errors) < most
    assert min(rounding) > 100 * most


@SLOW
@pytest.mark.parametrize("policy", [SAME, SEVERAL], ids=["scales", "formats"])
def test_inductor_is_eager_on_the_bundled_network(policy: Policy) -> None:
    model = load("bundled").denoiser.double()
    images = torch.randn(len(calls()), 1, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = [(image * (1 + i), t) for i, (image, (_, t)) in enumerate(zip(images, calls(), strict=True))]
    errors, rounding = compared(model, policy, given, lambda y: y.sample)
    assert max(errors) < 1e-12
    assert min(rounding) > 1e-3
