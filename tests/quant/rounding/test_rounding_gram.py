"""Gram matrices: the quadratic form is the layer's output error, computed directly, and so is its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpsim import FpsimError
from fpsim.quant.rounding import columns as columns_module
from fpsim.quant.rounding.columns import as_matrices, geometry
from fpsim.quant.rounding.gram import Gram, GramSum, gram_bytes
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(7, 5), (6, 7)),
    "linear on tokens": (nn.Linear(7, 5), (3, 4, 7)),
    "1x1": (nn.Conv2d(4, 6, 1), (2, 4, 5, 5)),
    "3x3": (nn.Conv2d(4, 6, 3, padding=1), (3, 4, 6, 5)),
    "no padding": (nn.Conv2d(4, 6, 3), (2, 4, 6, 5)),
    "stride": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 7, 6)),
    "strides": (nn.Conv2d(3, 2, (3, 2), stride=(1, 2), padding=(2, 1)), (2, 3, 7, 6)),
    "dilation": (nn.Conv2d(3, 2, 3, dilation=(2, 1), padding=2), (2, 3, 7, 6)),
    "groups": (nn.Conv2d(6, 4, 3, groups=2, padding=1), (2, 6, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (2, 4, 5, 5)),
    "same": (nn.Conv2d(3, 2, 4, padding="same"), (2, 3, 7, 6)),
    "reflect": (nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), (2, 3, 7, 6)),
    "circular": (nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"), (2, 3, 7, 6)),
    "no batch": (nn.Conv2d(3, 2, 3, padding=1), (3, 7, 6)),
    "one axis": (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    "one axis, reflect": (nn.Conv1d(4, 6, 3, padding=2, padding_mode="reflect"), (2, 4, 9)),
    "one axis, no batch": (nn.Conv1d(4, 6, 3), (4, 9)),
}


def product(module: Any, x: Tensor, w: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(x, w)
    result: Tensor = module._conv_forward(x, w, None)
    return result


def setting(case: str, seed: int = 0) -> tuple[Any, Tensor, Tensor, Tensor]:
    """A layer, its weight, another weight and an input, in float64."""
    module, shape = LAYERS[case]
    source = torch.Generator().manual_seed(seed)
    weight: Any = module.weight
    w = torch.randn(weight.shape, generator=source, dtype=torch.float64)
    other = w + 0.1 * torch.randn(weight.shape, generator=source, dtype=torch.float64)
    return module, w, other, torch.randn(shape, generator=source, dtype=torch.float64)


def gram_of(module: nn.Module, *inputs: Tensor, exact: tuple[Tensor, ...] = ()) -> Gram:
    how = geometry(module)
    assert how is not None
    total = GramSum(how)
    for i, x in enumerate(inputs):
        total.add(x, exact[i] if exact else None)
    return total.result()


@pytest.mark.parametrize("case", LAYERS)
def test_the_form_is_the_output_error(case: str) -> None:
    module, w, other, x = setting(case)
    gram = gram_of(module, x)
    expected = float((product(module, x, other) - product(module, x, w)).square().mean())
    error = as_matrices(other - w, len(gram.hessian))
    assert mean_squared_error(quadratic(gram, w), error) == pytest.approx(expected, rel=1e-10)
    assert gram.hessian.nbytes == gram_bytes(gram.hessian.shape[-1], len(gram.hessian))


@pytest.mark.parametrize("case", LAYERS)
def test_the_form_with_inputs_of_a_quantized_prefix(case: str) -> None:
    module, w, other, x = setting(case)
    seen = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gram = gram_of(module, seen, exact=(x,))
    expected = float((product(module, seen, other) - product(module, x, w)).square().mean())
    error = as_matrices(other - w, len(gram.hessian))
    assert mean_squared_error(quadratic(gram, w), error) == pytest.approx(expected, rel=1e-10)
    # With the same inputs it is the other form.
    same, plain = quadratic(gram_of(module, x, exact=(x,)), w), quadratic(gram_of(module, x), w)
    assert mean_squared_error(same, error) == pytest.approx(mean_squared_error(plain, error), rel=1e-10)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("case", ["linear on tokens", "3x3", "groups", "strides", "one axis"])
def test_the_gradient_is_that_of_the_direct_loss(case: str, prefix: bool) -> None:
    module, w, other, x = setting(case)
    seen = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seen = seen if prefix else x
    other.requires_grad_()
    direct = (product(module, seen, other) - product(module, x, w)).square().sum()
    (expected,) = torch.autograd.grad(direct, other)
    gram = gram_of(module, seen, exact=(x,)) if prefix else gram_of(module, x)
    form = quadratic(gram, w)
    error = as_matrices(other.detach() - w, len(gram.hessian))
    found = 2 * form.gradient(error).reshape(w.shape)
    assert float((found - expected).norm() / expected.norm()) < 1e-10
    constant = float(form.constant.sum())
    assert float(form.variable(error, form.gradient(error))) + constant == pytest.approx(float(direct.detach()))


def test_batches_add_up_and_sums_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    module, w, _, x = setting("groups")
    _, _, _, y = setting("groups", 1)
    whole = gram_of(module, torch.cat([x, y]))
    streamed, merged = gram_of(module, x, y), gram_of(module, x) + gram_of(module, y)
    monkeypatch.setattr(columns_module, "CHUNK_BYTES", 1)  # sample by sample
    chunked = gram_of(module, torch.cat([x, y]))
    for other in (streamed, merged, chunked):
        assert torch.allclose(whole.hessian, other.hessian, rtol=1e-12, atol=1e-12)
        assert whole.count == other.count == 100
    assert w.shape[0] == 4


def test_sums_are_kept_in_float64() -> None:
    """A float32 sum would stop growing at 2^24."""
    total = GramSum(geometry(nn.Linear(1, 1)))  # type: ignore[arg-type]
    total.add(torch.full((1, 1), 2.0**13))
    for _ in range(3):
        total.add(torch.ones(1, 1))
    assert float(total.result().hessian) == 2**26 + 3


def test_sixteen_bit_inputs_are_multiplied_in_float32() -> None:
    x = torch.full((4, 1), 1 + 2**-7, dtype=torch.bfloat16)
    total = GramSum(geometry(nn.Linear(1, 1)))  # type: ignore[arg-type]
    total.add(x)
    assert float(total.result().hessian) == 4 * (1 + 2**-7) ** 2


def test_refused() -> None:
    assert geometry(nn.ConvTranspose2d(2, 2, 3)) is None
    how = geometry(nn.Linear(2, 2))
    assert how is not None
    with pytest.raises(FpsimError, match="run the layer first"):
        GramSum(how).result()
    with pytest.raises(FpsimError, match="NaN or Inf entered the layer"):
        gram_of(nn.Linear(2, 2), torch.tensor([[1.0, float("nan")]]))
    mixed = GramSum(how)
    mixed.add(torch.ones(1, 2))
    with pytest.raises(FpsimError, match="with every batch or with none"):
        mixed.add(torch.ones(1, 2), torch.ones(1, 2))
    with pytest.raises(FpsimError, match="different layers"):
        gram_of(nn.Linear(2, 2), torch.ones(1, 2)) + gram_of(nn.Linear(3, 2), torch.ones(1, 3))
