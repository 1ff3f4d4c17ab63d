"""Blocks whose layers are learned together by the block's output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fpsim import FpsimError, Quantizer
from fpsim.quant.rounding.blockwise import BlockCall, block_error, learn_block
from fpsim.quant.rounding.options import RoundingOptions


class Residual(nn.Module):
    """A residual block with an embedding, as those of diffusion models."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.embed = nn.Linear(5, 6)

    def forward(self, x: Tensor, t: Tensor, gain: float = 1.0, *, mask: Tensor | None = None) -> tuple[Tensor, str]:
        h = nn.functional.silu(self.conv1(x)) + self.embed(t)[..., None, None]
        out = x + gain * self.conv2(nn.functional.silu(h))
        return (out if mask is None else out * mask), "more"


def block() -> Residual:
    torch.manual_seed(0)
    return Residual().eval()


def calls(module: Residual, count: int = 12) -> list[BlockCall]:
    source = torch.Generator().manual_seed(1)
    mask = torch.rand(1, 1, 6, 6, generator=source)
    found = []
    for _ in range(count):
        x, t = torch.randn(1, 4, 6, 6, generator=source), torch.randn(1, 5, generator=source)
        with torch.no_grad():
            answer = module(x, t, 0.5, mask=mask)[0]
        found.append(BlockCall(args=(x, t, 0.5), kwargs={"mask": mask}, output=answer, shared=frozenset({"2", "mask"})))
    return found


NAMES = ("conv1", "conv2", "embed")
QUICK = RoundingOptions(iterations=120, batch_size=5)


def quantizers() -> dict[str, Quantizer]:
    return {name: Quantizer("e2m1") for name in NAMES}


@pytest.mark.parametrize("changes", [{}, {"reduction": "mean"}, {"reduction": "sum"}, {"scale_aware": True}], ids=str)
def test_the_blocks_error_falls(changes: dict[str, object]) -> None:
    module = block()
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    options = RoundingOptions(iterations=120, batch_size=5, **changes)  # type: ignore[arg-type]
    found = learn_block(module, quantizers(), calls(module), options)
    assert list(found) == list(NAMES)
    weights = {f"{name}.weight": found[name].weight for name in NAMES}
    nearest = {f"{name}.weight": Quantizer("e2m1")(before[f"{name}.weight"].detach()) for name in NAMES}
    assert block_error(module, weights, calls(module), 12) == pytest.approx(found["conv1"].loss_after, rel=1e-4)
    assert block_error(module, nearest, calls(module), 12) == pytest.approx(found["conv1"].loss_before, rel=1e-4)
    assert found["conv1"].loss_after <= found["conv1"].loss_before
    if options.reduction == "relative":
        assert found["conv1"].loss_after < 0.95 * found["conv1"].loss_before
    for name in NAMES:
        fitted = Quantizer("e2m1").fit(before[f"{name}.weight"].detach())
        assert torch.equal(fitted(found[name].weight), found[name].weight)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_full_precision_has_no_error() -> None:
    module = block()
    assert block_error(module, {}, calls(module), 5) < 1e-12


def test_it_is_deterministic_and_the_seed_matters() -> None:
    module = block()
    told: list[tuple[int, int]] = []
    first = learn_block(module, quantizers(), calls(module), QUICK, lambda *a: told.append(a))
    again = learn_block(module, quantizers(), calls(module), QUICK)
    other = learn_block(module, quantizers(), calls(module), RoundingOptions(iterations=120, batch_size=5, seed=1))
    assert all(torch.equal(first[name].weight, again[name].weight) for name in NAMES)
    assert any(not torch.equal(first[name].weight, other[name].weight) for name in NAMES)
    assert told[-1] == (120, 120)


def test_nearest_is_kept_where_learning_does_not_help() -> None:
    module = block()
    found = learn_block(module, quantizers(), calls(module), RoundingOptions(iterations=0))
    for name in NAMES:
        assert found[name].changed == 0
        assert found[name].loss_after == found[name].loss_before


def test_a_single_layer_is_a_block() -> None:
    torch.manual_seed(0)
    module = nn.Linear(24, 8)
    source = torch.Generator().manual_seed(1)
    x = torch.randn(40, 24, generator=source) @ torch.randn(24, 24, generator=source)
    with torch.no_grad():
        data = [BlockCall(args=(row[None],), kwargs={}, output=module(row[None])) for row in x]
    found = learn_block(module, {"": Quantizer("e2m1")}, data, RoundingOptions(iterations=600, lr=1e-2))
    assert found[""].loss_after < 0.95 * found[""].loss_before


def test_refused() -> None:
    module = block()
    with pytest.raises(FpsimError, match="give at least one"):
        learn_block(module, quantizers(), [])
    with pytest.raises(FpsimError, match="the block has no layer 'conv3'"):
        learn_block(module, {"conv3": Quantizer("e2m1")}, calls(module))
