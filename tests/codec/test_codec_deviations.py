"""Where other libraries round otherwise, on purpose or by accident: if one of them changes, these say so."""

from __future__ import annotations

from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import pytest
import torch
from codec_cases import TWINS
from codec_oracle import differences
from gfloat.formats import format_info_ocp_e4m3

import fpsim
from fpsim.codec.protocol import backend


@pytest.mark.parametrize(
    ("value", "theirs", "ours"), [(1.0625 + 2**-40, 1.0, 1.125), (1.1875 - 2**-40, 1.25, 1.125)], ids=["up", "down"]
)
def test_casts_from_float64_round_twice_and_fpsim_once(value: float, theirs: float, ours: float) -> None:
    x = np.array([value])
    assert float(x.astype(ml_dtypes.float8_e4m3fn)[0]) == theirs
    assert torch.from_numpy(x).to(torch.float8_e4m3fn).item() == theirs
    for twin in TWINS:
        assert fpsim.quantize(x, "e4m3", backend=twin)[0] == ours
    assert gfloat.round_ndarray(format_info_ocp_e4m3, x)[0] == ours


def test_ml_dtypes_overflows_to_nan_or_inf_and_fpsim_saturates() -> None:
    x = np.array([1000.0, -1e9, np.inf], np.float32)
    assert np.isnan(x.astype(ml_dtypes.float8_e4m3fn).astype(np.float32)).all()
    assert np.isinf((x * 1e3).astype(ml_dtypes.float8_e5m2).astype(np.float32)).all()
    assert fpsim.quantize(x, "e4m3").tolist() == [448, -448, 448]
    assert fpsim.quantize(x * 1e3, "e5m2").tolist() == [57344, -57344, 57344]


def test_ml_dtypes_loses_nan_where_a_format_has_none_and_fpsim_refuses() -> None:
    x = np.array([np.nan], np.float32)
    assert x.astype(ml_dtypes.float4_e2m1fn).astype(np.float32)[0] == 0
    assert np.isnan(fpsim.quantize(x, "e2m1")[0])
    with pytest.raises(fpsim.FpsimError, match="e2m1 has no NaN code"):
        fpsim.encode(x, "e2m1")


def test_ml_dtypes_rounds_the_lowest_power_of_two_up_and_fpsim_to_nearest() -> None:
    x = np.array([2.0**-127 * 1.0078125], np.float32)
    assert x.astype(ml_dtypes.float8_e8m0fnu).astype(np.float32)[0] == 2.0**-126
    assert fpsim.quantize(x, "e8m0")[0] == 2.0**-127


def test_torch_e5m2_overflows_to_inf_and_fpsim_saturates() -> None:
    x = torch.tensor([1e9])
    assert x.to(torch.float8_e5m2).float().item() == float("inf")
    assert fpsim.quantize(x, "e5m2").item() == 57344


def test_int8_divides_where_torch_multiplies_by_the_reciprocal() -> None:
    scale = np.float32(0.0117)
    x = np.random.default_rng(1).normal(size=1 << 20).astype(np.float32)
    fake: Any = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), float(scale), 0, -127, 127)
    ours = np.clip(np.rint(x / scale), -127, 127) * scale + np.float32(0)
    out = np.empty((1, x.size), np.float32)
    backend("numba").quantize(x[None], fpsim.format("int8"), scale.reshape(1, 1), out)
    assert not differences(out[0], ours, x)
    theirs = fake.numpy()
    unlike = np.flatnonzero(theirs != ours)
    assert len(unlike) < 20
    assert np.allclose(np.abs(theirs - ours)[unlike], scale, rtol=1e-3)
