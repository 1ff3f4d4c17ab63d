"""What comes out of a quantizer for which array: libraries, types, layouts, backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from quantizer_checks import BACKENDS, GRANULARITIES, X, same

from fpsim import PerBlock, PerChannel, PerTensor, Quantizer
from fpsim.errors import FpsimError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["e4m3", "uint4", "nf4", "e3m0", "mxfp4"])
def test_libraries_and_backends_agree(name: str, dtype: Any, plain_backend: str) -> None:
    x = X.astype(dtype)
    for grain in GRANULARITIES if name != "mxfp4" else (PerTensor(), PerBlock(32, 1)):
        wanted = Quantizer(name, grain, "max", backend="numpy")(x)
        assert wanted.dtype == dtype
        for backend in (None, *BACKENDS, plain_backend):
            q = Quantizer(name, grain, "max", backend=backend)
            assert same(q(x), wanted), (grain, backend)
            assert same(q(torch.from_numpy(x)).numpy(), wanted), (grain, backend)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("grain", GRANULARITIES, ids=str)
def test_type_shape_and_layout_stay(grain: Any, dtype: torch.dtype) -> None:
    base = torch.from_numpy(np.tile(X[..., None], (1, 1, 1, 3))).to(dtype)
    q = Quantizer("int4", grain, "max")
    wanted = q(base)
    layouts = [
        base.to(memory_format=torch.channels_last),
        base.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
        torch.cat([base, base], dim=-1)[..., :3],
        torch.cat([base, base], dim=0)[::1][:4],
    ]
    for x in layouts:
        y = q(x)
        assert (y.dtype, y.shape) == (dtype, x.shape)
        assert torch.equal(y, wanted)
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) or x.stride(0) == 1
        if dense:
            assert y.stride() == x.stride()


def test_narrow_types_are_rounded_from_their_own_values() -> None:
    x = torch.from_numpy(X).to(torch.bfloat16)
    wide = Quantizer("int4", scale="max")(x.float())
    assert torch.equal(Quantizer("int4", scale="max")(x), wide.to(torch.bfloat16))


def test_out_is_written_and_checked() -> None:
    q = Quantizer("e4m3", PerChannel(0))
    wanted = q(X)
    for out in (np.empty_like(X), np.empty(X.shape, np.float64), np.empty((6, 4, 5), np.float32).transpose(1, 0, 2)):
        assert q(X, out=out) is out
        assert np.array_equal(out, wanted)
    mine = X.copy()
    assert q(mine, out=mine) is mine
    assert np.array_equal(mine, wanted)
    tensor = torch.from_numpy(X.copy())
    for grain in GRANULARITIES:
        q = Quantizer("int4", grain, "max")
        out = torch.empty_like(tensor)
        assert q(tensor, out=out) is out
        assert torch.equal(out, q(tensor))
    for bad in (np.empty((4, 6, 6), np.float32), np.empty(X.shape, np.int32), torch.empty(X.shape)):
        with pytest.raises(FpsimError, match="out"):
            q(X, out=bad)


def test_the_input_is_left_alone() -> None:
    x = torch.from_numpy(X.copy()).requires_grad_()
    y = Quantizer("e2m1")(x)
    assert not y.requires_grad
    assert torch.equal(x.detach(), torch.from_numpy(X))


@pytest.mark.parametrize("grain", GRANULARITIES, ids=str)
def test_empty_tensors_pass(grain: Any) -> None:
    for shape in ((0, 3, 2), (3, 0, 2), (3, 2, 0)):
        for name in ("int4", "uint4"):
            empty = np.empty(shape, np.float32)
            assert Quantizer(name, grain)(empty).shape == shape
            assert Quantizer(name, grain)(torch.from_numpy(empty)).shape == shape
