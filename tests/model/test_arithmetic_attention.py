"""Quantized attention on a tensor core, and its operands, which must not share memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from test_quantized_attention import operands, qkv
from torch import Tensor, nn

from fpsim import FpsimError, Policy
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.attach import Handle, quantize_
from fpsim.model.attention import AttentionInterception, AttentionOperands, attention_product
from fpsim.model.attention_core import CoreAttention
from fpsim.model.compute import compute_with
from fpsim.model.operands import ActivationOperand
from fpsim.number import IntFormat
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import Scales

UINT4 = IntFormat(name="uint4", bits=4, signed=False)
FP16 = Arithmetic(arch="ampere", operand_type="fp16")


def test_both_products_are_those_of_the_operands() -> None:
    """Grid values of 8 bits and short sums: fp16 cores lose little, and int8 ones nothing but FP32's roundings."""
    q, k, v = qkv()
    exact = attention_product(operands(), q, k, v)
    found = attention_product(operands(), q, k, v, multiply=CoreAttention(operands(), FP16, "a"))
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)
    narrow = operands(UINT4)
    core = CoreAttention(narrow, Arithmetic(arch="ampere"), "a")
    assert core.described == {"query×key": "int8 (mma, K 16)", "softmax×value": "uint8×int8 (mma, K 16)"}
    found = attention_product(narrow, q, k, v, multiply=core)
    torch.testing.assert_close(found, attention_product(narrow, q, k, v), rtol=1e-5, atol=1e-6)


def test_the_output_of_a_softmax_is_multiplied_as_unsigned_codes() -> None:
    q, k, v = qkv()
    core = CoreAttention(operands(), Arithmetic(arch="hopper"), "a")
    assert core.described["softmax×value"] == "uint8×int8 (wgmma, K 32)"
    found = attention_product(operands(), q, k, v, multiply=core)
    torch.testing.assert_close(found, attention_product(operands(), q, k, v), rtol=1e-5, atol=1e-6)


def test_zero_points_of_queries_and_keys() -> None:
    """Each operand's zero point is taken away from the int32 sums, exactly."""
    uint8 = IntFormat(name="uint8", bits=8, signed=False)

    def fixed(zero: float) -> ActivationOperand:
        found = Scales(np.float32([1 / 64]), np.float32([zero]))
        return ActivationOperand(Quantizer(uint8, scales=found))

    affine = AttentionOperands(query=fixed(120), key=fixed(131), value=fixed(99), softmax=operands().softmax)
    core = CoreAttention(affine, Arithmetic(arch="ampere"), "a")
    assert set(core.described.values()) == {"uint8 (mma, K 16)"}
    q, k, v = qkv()
    found = attention_product(affine, q, k, v, multiply=core)
    torch.testing.assert_close(found, attention_product(affine, q, k, v), rtol=1e-5, atol=1e-6)


def test_a_type_that_does_not_hold_an_operand() -> None:
    wide = operands(IntFormat(name="uint9", bits=9, signed=False))
    with pytest.raises(
        FpsimError, match=r"'a' \(softmax × value\): hopper has no operand type for uint9 .*it has int8"
    ):
        CoreAttention(wide, Arithmetic(arch="hopper", operand_type="int8"), "a")


def test_operands_need_a_fixed_scale() -> None:
    dynamic = ActivationOperand(Quantizer("int8", scale="max"))
    ours = operands(UINT4)
    changed = AttentionOperands(query=dynamic, key=ours.key, value=ours.value, softmax=ours.softmax)
    with pytest.raises(FpsimError, match="attention 'a': its query has no fixed scale"):
        CoreAttention(changed, Arithmetic(arch="hopper"), "a")


@torch.no_grad()
def test_an_attention_computes_with_the_core_until_its_operands_rest() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Attention(8, heads=2, dim_head=4)).eval()
    x = torch.randn(2, 5, 8)
    plain = model(x)
    handle = quantize_(model, Policy.uniform("int8", "int8"))
    interception = AttentionInterception(model[0], operands(UINT4), "0")
    both = Handle(handle.coverage, handle.acts, handle.weights, [handle.remove, interception.undo])
    quantized = model(x)
    said = compute_with(model, both, Arithmetic(arch="ampere"))
    assert said["0:query×key"] == "int8 (mma, K 16)"
    assert said["0.to_q"] == "int8 (mma, K 16)"
    on_core = model(x)
    torch.testing.assert_close(on_core, quantized, rtol=1e-4, atol=1e-5)
    assert not torch.equal(on_core, quantized)
    both.remove()
    assert torch.equal(model(x), plain)


def test_operands_in_one_piece_of_memory_each() -> None:
    """One head: queries, keys and values are contiguous, and each used to overwrite the one before."""
    q, k, v = qkv()
    with torch.no_grad():
        without_gradients: Tensor = attention_product(operands(), q, k, v)
    assert torch.equal(without_gradients, attention_product(operands(), q, k, v))
