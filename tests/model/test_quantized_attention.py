"""Attention with quantized operands: equal to torch's kernel without them, exact restoration, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor
from tiny_pipelines import _conditional_unet, tiny_unet
from torch import Tensor

from fpsim import FpsimError
from fpsim.model.attention import AttentionInterception, AttentionOperands, attention_product, attentions, sites
from fpsim.model.operands import ActivationOperand
from fpsim.model.ranges import RangeObserver, observe
from fpsim.model.split import find_splits
from fpsim.number import IntFormat
from fpsim.quant.asymmetric import symmetric_range
from fpsim.quant.quantizer import Quantizer

INT8 = IntFormat(name="int8-full", bits=8, full=True)
UINT8 = IntFormat(name="uint8", bits=8, signed=False)


def same(x: Tensor) -> Tensor:
    return x


NOTHING = AttentionOperands(query=same, key=same, value=same, softmax=same)


def operands(softmax: IntFormat = UINT8) -> AttentionOperands:
    def fixed(fmt: IntFormat, amax: float) -> ActivationOperand:
        return ActivationOperand(Quantizer(fmt, scales=symmetric_range(np.array([amax]), fmt, dtype=np.float32)))

    inputs = {role: fixed(INT8, 4.0) for role in ("query", "key", "value")}
    return AttentionOperands(**inputs, softmax=fixed(softmax, 1.0))


def qkv() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 4, 6, 8), torch.randn(2, 4, 9, 8), torch.randn(2, 4, 9, 8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": (torch.arange(54) % 4 > 1).reshape(6, 9)},
        {"attn_mask": torch.linspace(-3, 3, 9).expand(6, 9)},
    ],
)
def test_the_products_are_torchs(options: dict[str, Any]) -> None:
    q, k, v = qkv()
    torch.testing.assert_close(
        attention_product(NOTHING, q, k, v, **options), F.scaled_dot_product_attention(q, k, v, **options)
    )


def test_grouped_queries() -> None:
    q, k, v = qkv()
    k, v = k[:, :2], v[:, :2]
    wanted = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    torch.testing.assert_close(attention_product(NOTHING, q, k, v, enable_gqa=True), wanted)


def test_every_operand_is_quantized() -> None:
    q, k, v = qkv()

    def rounded(x: Tensor, step: float, low: int, high: int) -> Tensor:
        return (x / step).round().clamp(low, high) * step

    q8, k8, v8 = (rounded(x, 4 / 127, -128, 127) for x in (q, k, v))
    p = torch.softmax(q8 @ k8.transpose(-2, -1) / math.sqrt(8), dim=-1)
    wanted = rounded(p, 1 / 255, 0, 255) @ v8
    torch.testing.assert_close(attention_product(operands(), q, k, v), wanted, rtol=1e-5, atol=1e-5)


def unet() -> tuple[Any, dict[str, Any]]:
    return tiny_unet(), {"sample": torch.randn(2, 1, 8, 8), "timestep": torch.tensor([3, 500])}


def test_it_is_put_on_and_taken_off_bit_for_bit() -> None:
    model, inputs = unet()
    names = [name for name, _ in attentions(model)]
    assert len(names) == 4
    with torch.no_grad():
        exact = model(**inputs).sample
        parts = [AttentionInterception(module, operands(), name) for name, module in attentions(model)]
        changed = model(**inputs).sample
        for part in parts:
            for role in ("query", "key", "value", "softmax"):
                getattr(part.operands, role).active = False
        assert torch.equal(model(**inputs).sample, exact)
        for part in reversed(parts):
            part.undo()
        assert torch.equal(model(**inputs).sample, exact)
    assert 0 < float((changed - exact).abs().max()) < 0.1
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_forward_of_the_modules_own_comes_back() -> None:
    attention: Any = Attention(query_dim=8, heads=2, dim_head=4).eval()
    plain, x = attention.forward, torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))

    def doubled(*args: Any) -> Tensor:
        result: Tensor = 2 * plain(*args)
        return result

    attention.forward = doubled
    with torch.no_grad():
        exact = attention(x)
        part = AttentionInterception(attention, NOTHING, "mid")
        torch.testing.assert_close(attention(x), exact)
        with pytest.raises(FpsimError, match="'mid' is quantized already; remove the other handle"):
            AttentionInterception(attention, operands(), "mid")
        part.undo()
        assert attention.forward is doubled
        assert torch.equal(attention(x), exact)


def test_a_conditional_model_has_self_and_cross_attention() -> None:
    model = _conditional_unet(cross_attention_dim=16, seed=5)
    context = torch.randn(2, 5, 16)
    found = observe(
        model,
        ["conv_in"],
        {},
        [name for name, _ in attentions(model)],
        lambda: model(torch.randn(2, 4, 8, 8), 7, context),
    )
    assert {name.rpartition(".")[2] for name, _ in attentions(model)} == {"attn1", "attn2"}
    for name, _ in attentions(model):
        softmax = found[sites(name)["softmax"]][0].values
        assert 0 <= softmax.min() <= softmax.max() <= 1


def test_unsigned_softmax_has_twice_the_codes_of_a_signed_one() -> None:
    p = torch.linspace(0, 1, 5000)
    plain, signed = (operands(fmt).softmax(p).clone() for fmt in (UINT8, INT8))
    assert (len(plain.unique()), len(signed.unique())) == (256, 128)
    assert float((plain - p).abs().max()) < 0.51 * float((signed - p).abs().max())


def test_processors_that_multiply_themselves_are_refused() -> None:
    attention = Attention(query_dim=8, heads=2, dim_head=4, processor=AttnProcessor())
    part = AttentionInterception(attention, operands(), "mid.attn")
    with torch.no_grad(), pytest.raises(FpsimError, match=r"'mid\.attn' does not call scaled_dot_product_attention"):
        attention(torch.randn(1, 3, 8))
    part.undo()
    with torch.no_grad():
        assert attention(torch.randn(1, 3, 8)).shape == (1, 3, 8)


def test_ranges_average_over_calls_with_momentum() -> None:
    observer = RangeObserver("x")
    for scale in (1.0, 3.0, 2.0):
        observer(torch.tensor([-1.0, 0.5, 2.0]) * scale)
    seen = observer.seen()
    assert seen.low == pytest.approx(0.95 * (0.95 * -1 + 0.05 * -3) + 0.05 * -2)
    assert seen.high == pytest.approx(0.95 * (0.95 * 2 + 0.05 * 6) + 0.05 * 4)
    assert (seen.values.min(), seen.values.max()) == (-3, 6)
    assert len(seen.values) == 11
    with pytest.raises(FpsimError, match="never ran y"):
        RangeObserver("y").seen()
    with pytest.raises(FpsimError, match="NaN or Inf enters z"):
        RangeObserver("z")(torch.tensor([float("nan")]))


def test_halves_and_attention_are_seen_where_they_are() -> None:
    model, inputs = unet()
    splits = find_splits(model, "shortcut")
    found = observe(model, list(splits), splits, [], lambda: model(**inputs))
    assert len(found) == 2 * len(splits)
    assert not any("forward" in vars(module) for module in model.modules())
