"""Unsigned integers with zero points on a tensor core: codes are multiplied, what the zero points add is taken away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tensor_core_runs import RUNS, computed, distance, randn
from tiny_layers import STOCK, quantized
from torch import nn

import fpsim
from fpsim import FpsimError, PerChannel, Policy, Quantizer
from fpsim.model.arithmetic import named
from fpsim.model.factors import FARTHEST, factors
from fpsim.quant.scales import Scales
from fpsim.tensorcore import matmul
from fpsim.tensorcore import reference_integers as reference


def test_a_linear_layer_by_hand() -> None:
    """u8 × s8 into int32, minus the zero point times the weights' sums, then FP32's scale and bias."""
    layer, x = nn.Linear(200, 6), randn(5, 200) + 0.7
    fitted = Quantizer("int8", PerChannel(0)).fit(layer.weight.detach()).scales
    with torch.no_grad():
        handle = fpsim.quantize_(layer, Policy.uniform("int8", "uint8"), [x], arithmetic="hopper")
        scales = handle.acts[""].quantizer.scales
        found = layer(x)
    assert handle.products == {"": "uint8×int8 (wgmma, K 32)"}
    assert fitted is not None
    assert scales is not None
    assert scales.zero_point is not None
    zero = int(scales.zero_point[0])
    assert 0 < zero < 255
    codes = np.clip(np.rint(x.numpy() / scales.scale[0]) + zero, 0, 255).astype(int)
    weights = np.rint(layer.weight.detach().numpy() / fitted.scale[:, None]).astype(int)
    raw = matmul(codes, weights.T, arch="hopper", dtype="uint8,int8", pad=True)
    sums = raw - np.int32(zero) * weights.sum(axis=1, dtype=np.int32)
    assert sums.dtype == np.int32
    wanted = sums.astype(np.float32) * (scales.scale[0] * fitted.scale) + layer.bias.detach().numpy()
    assert found.numpy().tobytes() == wanted.tobytes()
    for row, column in np.ndindex(5, 6):
        exact = reference.dot_of_codes(codes[row].tolist(), weights[column].tolist(), zero, 0)
        assert exact == sums[row, column]


@pytest.mark.parametrize("formats", [("int8", "uint8"), ("uint8", "uint8"), ("uint8", "int8"), ("uint4", "uint6")])
@pytest.mark.parametrize("name", RUNS)
def test_layers_are_what_torch_computes(name: str, formats: tuple[str, str]) -> None:
    """Integer sums are exact, so only the roundings of FP32 differ: padding, groups, samples' own zero points."""
    make, x = STOCK[name]
    policy = Policy.uniform(*formats)
    assert distance(computed(make(), x, policy), quantized(make(), x, policy)) < 3e-7


@pytest.mark.parametrize("layer", [nn.Linear(64, 8), nn.Conv2d(8, 6, 3, padding=1)], ids=["linear", "conv2d"])
def test_codes_and_differences_give_the_same_bits(layer: nn.Module) -> None:
    """Zero points that int8 can take away before the product leave the same int32 sums."""
    x = randn(3, 64) + 1 if isinstance(layer, nn.Linear) else randn(3, 8, 5, 5) + 1
    policy = Policy.uniform("int4", "uint4")
    before = computed(layer, x, policy, named("ampere", operand_type="int8"))
    assert torch.equal(computed(layer, x, policy, "ampere"), before)


def test_each_sample_has_its_own_zero_point() -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    x = randn(3, 3, 5, 5) + torch.tensor([0.0, 3.0, -0.5]).reshape(3, 1, 1, 1)
    policy = Policy.uniform("int8", "uint8")
    together = computed(layer, x, policy)
    assert torch.equal(together, torch.cat([computed(layer, each[None], policy) for each in x]))
    assert torch.equal(computed(layer, x[0], policy), together[0])


def test_a_split_layer_and_learned_weights() -> None:
    layer = nn.Conv2d(6, 4, 3, padding=1)
    x = torch.cat([randn(2, 2, 5, 5) + 1, 30 * randn(2, 4, 5, 5, seed=1)], dim=1)
    policy, options = Policy.uniform("int8", "uint8"), {"split": {"": 2}}
    with torch.no_grad(), fpsim.quantize_(layer, policy, **options):
        wanted = layer(x)
    assert distance(computed(layer, x, policy, **options), wanted) < 3e-7
    linear, rows = nn.Linear(64, 8), randn(4, 64)
    nearest = Quantizer("uint4", PerChannel(0)).fit(linear.weight.detach()).scales
    assert nearest is not None
    assert nearest.zero_point is not None
    step, zero = torch.tensor(nearest.scale)[:, None], torch.tensor(nearest.zero_point)[:, None]
    down = torch.floor(linear.weight.detach() / step).clamp(-zero, 15 - zero) * step
    policy = Policy.uniform("uint4", "uint8")
    with torch.no_grad(), fpsim.quantize_(linear, policy, weights={"": down}):
        wanted = linear(rows)
    assert distance(computed(linear, rows, policy, weights={"": down}), wanted) < 3e-7
    assert distance(computed(linear, rows, policy), wanted) > 1e-2


def fixed(zero: float, name: str = "uint8") -> Quantizer:
    return Quantizer(name, scales=Scales(np.float32([0.25]), np.float32([zero])), name="the input")


@pytest.mark.parametrize("zero", [0, 7, 255, -3, 300, FARTHEST])
def test_codes_are_whole_numbers_of_the_format(zero: int) -> None:
    quantizer, x = fixed(zero), (torch.arange(-400, 400) - zero) * 0.25
    found = factors(x, quantizer(x), quantizer, 0, codes=True)
    assert found.grid.zero is not None
    assert found.grid.zero.tolist() == [zero]
    values = found.grid.values
    assert torch.equal(values, values.round().clamp(0, 255))
    assert torch.equal((values.double() - zero) * 0.25, quantizer(x).double())
    plain = factors(x, quantizer(x), quantizer, 0)
    assert plain.grid.zero is None
    assert torch.equal(plain.grid.values + zero, values)


def test_a_zero_point_too_far_from_0_is_refused() -> None:
    quantizer = fixed(FARTHEST + 1)
    with pytest.raises(
        FpsimError, match=f"the input: a zero point of {FARTHEST + 1} leaves no room for codes"
    ) as error:
        factors(torch.ones(3), torch.ones(3), quantizer, 0, codes=True)
    assert "\n" not in str(error.value)


def test_padding_without_a_code_for_0_is_refused() -> None:
    """A range that excludes 0 has its zero point outside the codes: a linear layer computes, padding has no code."""
    outside = fixed(-40)
    for layer, shape in ((nn.Linear(8, 4), (2, 8)), (nn.Conv2d(8, 4, 3, padding=1), (2, 8, 5, 5))):
        x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 20 + 10
        with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int8", "uint8"), [x]) as handle:
            handle.acts[""].quantizer = outside
            handle.acts[""]._fast = None
            wanted = layer(x)
        with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int8", "uint8"), [x], arithmetic="hopper") as core:
            core.acts[""].quantizer = replace(outside)
            core.acts[""]._fast = None
            if isinstance(layer, nn.Linear):
                assert distance(layer(x), wanted) < 3e-7
            else:
                with pytest.raises(FpsimError, match="zero point -40 is no 8-bit code"):
                    layer(x)
