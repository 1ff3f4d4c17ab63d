"""Another package's backend, found by its entry point, serves everywhere that the built-in ones do."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from codec_cases import NARROW, WIDE, ids
from codec_oracle import differences, directed, expected

import fpsim
from fpsim.codec import protocol
from fpsim.number import ElementFormat


@pytest.mark.parametrize("fmt", [*NARROW[::9], *WIDE[:2]], ids=ids)
def test_it_equals_the_reference(plain_backend: str, fmt: ElementFormat) -> None:
    for dtype in (np.float32, np.float64):
        x = directed(fmt, dtype)
        assert not differences(fpsim.quantize(x, fmt, backend=plain_backend), expected(fmt, x), x)
    half = np.arange(0, 1 << 16, 7, dtype=np.uint16).view(np.float16)
    assert not differences(
        fpsim.quantize(half, fmt, backend=plain_backend), fpsim.quantize(half, fmt, backend="numpy"), half
    )


@pytest.mark.parametrize("name", ["mxfp4", "mxfp8-even", "mxint8", "nvfp4"])
def test_block_formats_are_built_on_it(plain_backend: str, name: str) -> None:
    x = np.random.default_rng(1).normal(size=(5, 70)).astype(np.float32)
    wanted = fpsim.quantize(x, name, backend="numba")
    assert not differences(fpsim.quantize(x, name, backend=plain_backend), wanted, x)
    tensor = fpsim.quantize(torch.from_numpy(x), name, backend=plain_backend)
    assert not differences(tensor.numpy(), wanted, x)


def test_it_follows_the_protocol(plain_backend: str) -> None:
    found = protocol.backend(plain_backend)
    assert isinstance(found, protocol.Backend)
    assert type(found).__module__ == "fpsim_plain_backend"
    x, scale, zero = (np.array([[v]], np.float32) for v in (300.0, 2.0, 3.0))
    out = np.empty_like(x)
    found.quantize(x, fpsim.format("uint4"), scale, out, zero)
    assert out.item() == 2 * (15 - 3)


def test_an_unknown_backend_error_lists_it(plain_backend: str) -> None:
    with pytest.raises(
        fpsim.FpsimError,
        match=r"no backend 'plan'; there are numba, numpy, torch, torch-compile, triton, plain\. Packages",
    ):
        fpsim.quantize(np.ones(3, np.float32), "e4m3", backend="plan")


def test_without_the_package_it_is_unknown() -> None:
    with pytest.raises(fpsim.FpsimError, match=r"no backend 'plain'; there are .*, triton\. Packages add one"):
        fpsim.quantize(np.ones(3, np.float32), "e4m3", backend="plain")


def test_other_processes_see_it_too(plain_backend: str) -> None:
    code = f"import numpy, fpsim; print(fpsim.quantize(numpy.array([5.1]), 'e2m1', backend={plain_backend!r})[0])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "6.0"


@pytest.mark.parametrize("broken", ["no_name", "wrong_arrays"])
def test_a_backend_that_does_not_follow_the_protocol_is_refused(
    plain_backend: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol.backend(plain_backend)
    module: ModuleType = sys.modules["fpsim_plain_backend"]
    if broken == "no_name":
        monkeypatch.setattr(module, "PlainBackend", object)
    else:
        monkeypatch.setattr(module.PlainBackend, "arrays", "jax")
    protocol.backend.cache_clear()
    with pytest.raises(fpsim.FpsimError, match="backend 'plain' does not follow"):
        protocol.backend(plain_backend)
