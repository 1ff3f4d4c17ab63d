"""What a unit receives and answers, behind a full-precision or a quantized prefix."""

from __future__ import annotations

import pytest
import torch
from tiny_pipelines import tiny_unet

from fpsim import FpsimError
from fpsim.model.unit_data import capture

UNIT = "up_blocks.0.resnets.1"


def calls() -> list[dict[str, object]]:
    torch.manual_seed(0)
    return [{"sample": torch.randn(n, 1, 8, 8), "timestep": t} for n, t in ((3, 10), (2, 700))]


def test_samples_of_all_calls_follow_each_other() -> None:
    model, inputs = tiny_unet(), calls()
    unit = model.get_submodule(UNIT)
    data = capture(model, UNIT, inputs)
    assert len(data) == 5
    part = data.rows(torch.tensor([4, 1]))
    with torch.no_grad():
        answer = unit(*part.args, **part.kwargs)
    torch.testing.assert_close(answer, part.output)
    temb = data.args[1] if len(data.args) > 1 else data.kwargs["temb"]
    assert not torch.equal(temb[0], temb[4])  # each sample has its own step
    assert not unit._forward_hooks


def test_the_quantized_prefix_changes_inputs_only() -> None:
    model, inputs = tiny_unet(), calls()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    weight = model.conv_in.weight.detach()
    exact, behind = capture(model, UNIT, inputs), capture(model, UNIT, inputs, {"conv_in.weight": weight * 0.5})
    assert not torch.equal(exact.args[0], behind.args[0])
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_a_unit_that_does_not_run_is_refused() -> None:
    model = tiny_unet()
    model.spare = torch.nn.Linear(2, 2)
    with pytest.raises(FpsimError, match="never ran 'spare'"):
        capture(model, "spare", calls())
