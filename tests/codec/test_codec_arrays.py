"""The public functions on arrays of any type, layout and kind: values never depend on them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import ml_dtypes
import numba
import numpy as np
import pytest
import torch
from codec_cases import TWINS

import fpsim

#: One of each formulation (magic, integer, linear, table), a real bias, and blocks.
FORMATS = {
    "e4m3": fpsim.format("e4m3"),
    "e4m3-flat": fpsim.format("e4m3", subnormals=False),
    "int8": fpsim.format("int8"),
    "nf4": fpsim.format("nf4"),
    "e3m4@6.37": fpsim.format("e3m4", bias=6.37),
    "mxfp4": fpsim.format("mxfp4"),
    "nvfp4": fpsim.format("nvfp4"),
}
NUMPY_TYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)]
TORCH_TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
each_twin = pytest.mark.parametrize("twin", TWINS)


def numbers(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32).astype(dtype) * dtype(3)


def same(a: Any, b: Any) -> bool:
    """Bit for bit, on arrays or tensors."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


@each_twin
@each_format
def test_layout_of_an_array_changes_nothing(fmt: Any, twin: str) -> None:
    x = numbers(6, 64)
    wanted = fpsim.quantize(x, fmt, backend=twin)
    spaced = np.empty((12, 128), np.float32)
    spaced[::2, ::2] = x
    for view in (np.asfortranarray(x), spaced[::2, ::2], x[::-1, ::-1].copy()[::-1, ::-1], x.astype(">f4")):
        before = view.copy()
        y = fpsim.quantize(view, fmt, backend=twin)
        assert same(y.astype(np.float32), wanted)
        assert np.array_equal(view, before), "the input is left alone"
    deep = fpsim.quantize(x.reshape(3, 2, 64), fmt, backend=twin)
    assert same(deep.reshape(6, 64), wanted)


@each_twin
@pytest.mark.parametrize("name", ["e4m3", "mxfp4"])
def test_read_only_input(name: str, twin: str) -> None:
    x = numbers(6, 64)
    wanted = fpsim.quantize(x, name, backend=twin)
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of memory that it must not write to
        assert same(fpsim.quantize(x, name, backend=twin), wanted)


@each_twin
@each_format
def test_layout_of_a_tensor_changes_nothing(fmt: Any, twin: str) -> None:
    x = torch.from_numpy(numbers(6, 64))
    wanted = fpsim.quantize(x, fmt, backend=twin)
    assert same(wanted.numpy(), fpsim.quantize(x.numpy(), fmt, backend=twin))
    transposed, spaced = x.t().contiguous().t(), torch.zeros(12, 128)
    spaced[::2, ::2] = x
    for view in (transposed, spaced[::2, ::2], x.clone().requires_grad_(), torch.nn.Parameter(x.clone())):
        y = fpsim.quantize(view, fmt, backend=twin)
        assert same(y, wanted)
        assert not y.requires_grad
    channels_last = x.reshape(1, 2, 3, 64).to(memory_format=torch.channels_last)
    assert same(fpsim.quantize(channels_last, fmt, backend=twin).reshape(6, 64).contiguous(), wanted)


@each_twin
@each_format
def test_single_numbers_and_empty_arrays(fmt: Any, twin: str) -> None:
    for dtype in NUMPY_TYPES:
        one = fpsim.quantize(np.array(2.2, dtype), fmt, backend=twin)
        assert isinstance(one, np.ndarray)
        assert one.shape == ()
        assert same(one.reshape(1), fpsim.quantize(np.array([2.2], dtype), fmt, backend=twin))
        for shape in ((0,), (0, 3), (3, 0)):
            empty = fpsim.quantize(np.empty(shape, dtype), fmt, backend=twin)
            assert (empty.shape, empty.dtype) == (shape, dtype)
    for kind in TORCH_TYPES:
        assert fpsim.quantize(torch.tensor(2.2, dtype=kind), fmt, backend=twin).shape == ()
        empty = fpsim.quantize(torch.empty((3, 0), dtype=kind), fmt, backend=twin)
        assert (tuple(empty.shape), empty.dtype) == ((3, 0), kind)


@each_twin
@each_format
def test_out_receives_what_a_fresh_array_would(fmt: Any, twin: str) -> None:
    x = numbers(5, 64)
    wanted = fpsim.quantize(x, fmt, backend=twin)
    out = np.full_like(x, 99)
    assert fpsim.quantize(x, fmt, backend=twin, out=out) is out
    assert same(out, wanted)
    spaced = np.zeros((5, 128), np.float32)
    fpsim.quantize(x, fmt, backend=twin, out=spaced[:, ::2])
    assert same(np.ascontiguousarray(spaced[:, ::2]), wanted)
    assert not spaced[:, 1::2].any()
    in_place = x.copy()
    fpsim.quantize(in_place, fmt, backend=twin, out=in_place)
    assert same(in_place, wanted)
    tensor, out_tensor = torch.from_numpy(x), torch.zeros(64, 5).t()
    assert fpsim.quantize(tensor, fmt, backend=twin, out=out_tensor) is out_tensor
    assert same(out_tensor.contiguous().numpy(), wanted)
    tensor = tensor.clone()
    fpsim.quantize(tensor, fmt, backend=twin, out=tensor)
    assert same(tensor.numpy(), wanted)


@each_twin
@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("step", [1, -1])
def test_out_may_overlap_the_input(step: int, kind: str, twin: str) -> None:
    """Also shifted by one, where a result would overwrite the next input."""
    memory = numbers(70_001)
    x, out = (memory[:-1], memory[1:]) if step > 0 else (memory[1:], memory[:-1])
    wanted = fpsim.quantize(x.copy(), "e4m3")
    if kind == "tensor":
        fpsim.quantize(torch.from_numpy(x), "e4m3", out=torch.from_numpy(out), backend=twin)
    else:
        fpsim.quantize(x, "e4m3", out=out, backend=twin)
    assert same(out, wanted)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@each_format
def test_threads_do_not_change_results(fmt: Any) -> None:
    x = numbers(7, 16_000)
    before = numba.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results += [fpsim.quantize(x, fmt, backend="numba"), fpsim.quantize(x.T, fmt, backend="numba")]
    finally:
        numba.set_num_threads(before)
    assert same(results[0], results[2])
    assert same(results[1], results[3])


def test_backend_by_default_follows_the_array() -> None:
    from fpsim.codec.arrays import SMALL, choose

    assert choose(None, np.empty(SMALL, np.float32)).name == "numba"
    assert choose(None, torch.empty(SMALL)).name == "numba"
    assert choose("torch", np.empty(3, np.float32)).name == "torch"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_formats_need_no_numpy() -> None:
    heavy = "[m for m in ('numpy', 'numba', 'torch', 'scipy') if m in sys.modules]"
    assert run(f"import sys, fpsim; fpsim.format('e4m3'); fpsim.format('nvfp4'); print({heavy})") == "[]"


def test_small_arrays_need_neither_numba_nor_torch() -> None:
    code = "import sys, numpy, fpsim; fpsim.quantize(numpy.ones(9, 'f4'), 'e4m3'); fpsim.encode(numpy.ones(9), 'mxfp4')"
    assert run(f"{code}; print([m for m in ('numba', 'torch') if m in sys.modules])") == "[]"
