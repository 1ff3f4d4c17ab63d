"""``torch.compile`` of a quantized model: the bytes of eager mode, one graph whatever the timestep."""

from __future__ import annotations

import copy

import pytest
import torch
from test_timestep_bins import PLAIN, SAME, SEVERAL
from tiny_denoiser import TinyDenoiser, calls, latents
from torch._dynamo.testing import CompileCounterWithBackend

import fpsim
from fpsim import Policy


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("policy", [PLAIN, SAME, SEVERAL], ids=["no bins", "scales", "formats"])
def test_compiled_is_eager(policy: Policy, backend: str) -> None:
    torch._dynamo.reset()
    model, compiler = TinyDenoiser(), CompileCounterWithBackend("aot_eager")
    with torch.no_grad(), fpsim.quantize_(model, policy, calls(), backend=backend, split={"middle": 3}):
        wanted = [model(x, t) for x, t in calls()]
        compiled = torch.compile(model, backend=compiler, fullgraph=True)
        found, graphs = [], []
        for x, t in calls():
            found.append(compiled(x, t))
            graphs.append(compiler.frame_count)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert len(set(graphs)) == 1, "no step compiles anything again"


def test_timesteps_as_numbers_and_mixed_batches() -> None:
    torch._dynamo.reset()
    model, compiler = TinyDenoiser(), CompileCounterWithBackend("eager")
    with torch.no_grad(), fpsim.quantize_(model, SAME, calls()):
        compiled = torch.compile(model, backend=compiler, fullgraph=True)
        for t in range(0, 1000, 90):
            assert torch.equal(compiled(latents(2), t), model(latents(2), t))
        few = compiler.frame_count
        mixed = torch.tensor([1, 999])
        assert torch.equal(compiled(latents(2), mixed), model(latents(2), mixed))
    assert few <= 4


def test_compiled_gradients_and_changed_weights() -> None:
    torch._dynamo.reset()
    model = TinyDenoiser()
    with fpsim.quantize_(model, SAME, calls()):
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        found = []
        for run in (model, compiled):
            x = latents(3).requires_grad_()
            model.zero_grad()
            run(x, torch.tensor(500)).square().sum().backward()
            assert model.first.weight.grad is not None
            found.append((x.grad, model.first.weight.grad.clone()))
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))  # type: ignore[arg-type]
        with torch.no_grad():
            model.first.weight.mul_(1.5)
            t = torch.tensor(500)
            assert torch.equal(compiled(latents(3), t), model(latents(3), t))
            other = copy.deepcopy(model)
            other.first.weight.zero_()
            assert torch.equal(torch.compile(other, backend="eager")(latents(3), t), other(latents(3), t))
            assert torch.equal(compiled(latents(3), t), model(latents(3), t))
