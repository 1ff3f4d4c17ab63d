"""Block formats in full: every element, rule, block size and axis, and rounding modes within blocks."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codec_block_mode_oracle import block_disagreement, expected_blocks
from codec_block_oracle import blocks, quantized
from codec_cases import TWINS
from codec_mode_cases import by_name, conversion
from codec_oracle import differences

import fpsim
from fpsim.number import BlockFormat, FloatFormat
from fpsim.number.conversion import Rounding

ELEMENTS = {
    "mxfp8-e5m2": "e5m2",
    "mxfp8-e4m3": "e4m3",
    "mxfp6-e3m2": "e3m2",
    "mxfp6-e2m3": "e2m3",
    "mxfp4": "e2m1",
    "mxint8": "int8-q6",
}
POWER_RULES = ("floor", "ceil", "even", "rceil")
MINE = """
[e5m3-scale]
exponent_bits = 5
mantissa_bits = 3
bias = 15
signed = false
[tiles20]
kind = "block"
element = "e3m2"
block = 20
scale = "e8m0"
rule = "even"
[ratios12]
kind = "block"
element = "e2m3"
block = 12
scale = "e5m3-scale"
rule = "max"
[two-level]
kind = "block"
element = "int4"
block = 24
scale = "e4m3"
rule = "max"
tensor_scale = true
"""


@pytest.mark.parametrize("rule", POWER_RULES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_every_element_and_rule_by_name_and_by_quantizer(name: str, rule: str) -> None:
    """The rules have the names of torchao's ``ScaleCalculationMode``."""
    x = blocks(np.float32, 70)
    wanted = quantized(fpsim.format(f"{name}-{rule}"), x)
    quantizer = fpsim.Quantizer(_element(ELEMENTS[name]), fpsim.PerBlock(32), scale=f"e8m0-{rule}")
    assert quantizer.format == fpsim.format(f"{name}-{rule}")
    assert not differences(quantizer(x), wanted, x)
    assert not differences(fpsim.quantize(x, f"{name}-{rule}"), wanted, x)


def _element(name: str) -> Any:
    found = fpsim.format("mxint8") if name == "int8-q6" else fpsim.format(name)
    return found.element if isinstance(found, BlockFormat) else found


@pytest.mark.parametrize("twin", TWINS)
def test_nvfp4_with_and_without_the_scale_of_the_tensor(twin: str) -> None:
    x = blocks(np.float32, 50)[:9]
    one_level = fpsim.Quantizer("e2m1", fpsim.PerBlock(16), scale="e4m3-max", backend=twin)
    assert not differences(one_level(x), quantized(one_level.format, x), x)
    two_levels = fpsim.Quantizer("nvfp4", backend=twin)
    assert not differences(two_levels(x), quantized(fpsim.format("nvfp4"), x), x)
    assert (one_level(x) != two_levels(x)).any()


@pytest.mark.parametrize("name", ["tiles20", "ratios12", "two-level"])
def test_a_users_own_block_format(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE, encoding="utf-8")
    fmt = fpsim.format(f"{file}#{name}")
    assert isinstance(fmt, BlockFormat)
    for dtype in (np.float32, np.float64):
        x = blocks(dtype, 2 * fmt.block + 7)
        for twin in TWINS:
            assert not differences(fpsim.quantize(x, fmt, backend=twin), quantized(fmt, x), x), twin
            assert not differences(fpsim.Quantizer(fmt, backend=twin)(x), quantized(fmt, x), x), twin
        finite = x[:9]
        assert not differences(fpsim.decode(fpsim.encode(finite, fmt), dtype=dtype), quantized(fmt, finite), finite)


IN_BLOCKS = ["mxfp8-e4m3", "mxfp4-even", "mxint8", "mxfp6-e3m2-rceil", "nvfp4"]


def numbers(fmt: BlockFormat, columns: int, dtype: type[np.floating]) -> np.ndarray:
    """Blocks of all kinds; without the greatest where the scale of a tensor would overflow."""
    x = blocks(dtype, columns)
    if not fmt.tensor_scale:
        return x[[0, 2, 9, 10, 11, 12, 13, 14, 16, 18, 19, 20, 21, 22]]
    x[2] = np.clip(x[2], -1e30, 1e30)
    return x[[0, 2, 9, 10, 16, 18, 20, 21, 22]]


@pytest.mark.parametrize("columns", [64, 75], ids=["whole", "short"])
@pytest.mark.parametrize("mode", list(Rounding))
def test_rounding_modes_within_blocks(mode: str, columns: int) -> None:
    """The scales follow their own rule, rounded to nearest even where they are rounded."""
    for name, dtype in product(IN_BLOCKS, (np.float32, np.float64)):
        fmt, how = fpsim.format(name), conversion(mode, bits=12)
        x = numbers(fmt, columns, dtype)
        wanted = expected_blocks(fmt, x, how)
        for twin in TWINS if dtype is np.float32 else ("numpy", "torch"):
            assert not block_disagreement(partial(by_name, twin), fmt, x, how), f"{twin}, {name}"
            tensor = by_name(twin, torch.from_numpy(x), fmt, how)
            assert not differences(tensor.numpy(), wanted, x), f"{twin}, {name}, tensor"


@pytest.mark.parametrize("columns", [64, 75], ids=["whole", "short"])
def test_policies_within_blocks(columns: int) -> None:
    """An element beyond the largest value, as the rule floor leaves some, becomes NaN or Inf where asked."""
    x = blocks(np.float32, columns)[[0, 14, 16, 17, 20, 21]]
    x[0, :3] = (1.95, -1.99, np.nan)
    for name, how in (
        ("mxfp8-e4m3", conversion("ties-to-even", "special")),
        ("mxfp8-e5m2", conversion("toward-positive", "special")),
        ("mxfp8-e5m2", conversion("stochastic", "propagate", bits=5)),
        ("mxfp4", conversion("ties-to-even", nan="zero")),
        ("mxint8", conversion("to-odd", nan="max")),
    ):
        fmt = fpsim.format(name)
        assert not block_disagreement(partial(by_name, "numpy"), fmt, x, how)
        tensor = by_name("torch", torch.from_numpy(x), fmt, how).numpy()
        assert not differences(tensor, expected_blocks(fmt, x, how), x), name
    special = by_name("numpy", x, "mxfp8-e4m3", conversion("ties-to-even", "special"))
    assert np.isnan(special).sum() > np.isnan(x).sum()


def test_scales_are_never_negative_or_zero() -> None:
    """Signed scale formats use their positive half, and blocks of zeros do not divide by 0."""
    x = np.zeros((2, 32), np.float32)
    x[1, 0] = -1e-30
    for name in ("nvfp4", "mxfp4"):
        fmt = fpsim.format(name)
        assert isinstance(fmt.scale, FloatFormat)
        y = fpsim.quantize(x, fmt)
        assert not np.isnan(y).any()
        assert y[1, 0] <= 0
