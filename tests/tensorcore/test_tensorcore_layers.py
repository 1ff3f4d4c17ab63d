"""Linear layers and convolutions through a tensor core: an independent loop, torch where nothing is lost, long sums."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import fpsim
from fpsim.tensorcore import matmul, unfold
from fpsim.tensorcore.layers import conv1d, conv2d, linear
from fpsim.tensorcore.unit import Grid, TensorCore

HOPPER = TensorCore(arch="hopper", dtype="e4m3")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strided, padded": {"stride": 2, "padding": 1},
    "dilated, same": {"dilation": 2, "padding": "same"},
    "valid": {"padding": "valid", "stride": (2, 1)},
    "grouped": {"groups": 2, "padding": (1, 0)},
    "depthwise": {"groups": 6, "padding": (0, 2)},
}


def integers(*shape: int, seed: int = 0, largest: int = 2) -> Tensor:
    """Small integers: no sum of them loses a bit."""
    return torch.randint(-largest, largest + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


def spread(*shape: int, seed: int = 0) -> Tensor:
    """Values of e4m3 of many magnitudes: sums lose bits."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 20
    rounded: Tensor = fpsim.quantize(values, "e4m3")
    return rounded


def pixel_by_pixel(x: Tensor, w: Tensor, stride: int, padding: int, core: TensorCore) -> NDArray[np.float32]:
    """A convolution as one product of vectors an output value, K in the order kh, kw, channels."""
    x = F.pad(x, [padding] * 4)
    images, _, height, width = x.shape
    filters, _, kh, kw = w.shape
    rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
    result = np.empty((images, filters, rows, columns), np.float32)
    for image, n, i, j in product(range(images), range(filters), range(rows), range(columns)):
        patch = x[image, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        a, b = (part.permute(1, 2, 0).reshape(-1).numpy() for part in (patch, w[n]))
        filled = [np.concatenate([part, np.zeros(-len(part) % 32, np.float32)]) for part in (a, b)]
        found = matmul(filled[0][None], filled[1][:, None], arch=core.arch, dtype=core.dtype)
        result[image, n, i, j] = found[0, 0]
    return result


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_a_convolution_is_one_product_of_vectors_an_output(stride: int, padding: int) -> None:
    x, w = spread(2, 5, 5, 6), spread(3, 5, 3, 3, seed=1)
    found = conv2d(Grid(x), Grid(w), core=HOPPER, stride=stride, padding=padding)
    assert found.numpy().tobytes() == pixel_by_pixel(x, w, stride, padding, HOPPER).tobytes()


def test_a_sum_in_another_order_of_k_is_another_one() -> None:
    """The test above sees the order: channels first, as torch stores a weight, gives other bits."""
    x, w = spread(1, 64, 3, 3), spread(8, 64, 3, 3, seed=1)
    found = conv2d(Grid(x), Grid(w), core=HOPPER).reshape(8)
    channels_first = matmul(x.reshape(1, -1).numpy(), w.reshape(8, -1).numpy().T, arch="hopper", dtype="e4m3")
    assert not np.array_equal(found.numpy(), channels_first[0])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_convolution_of_small_integers_is_torchs(options: dict[str, Any]) -> None:
    x, bias = integers(2, 6, 9, 8), integers(6, seed=2)
    w = integers(6, 6 // options.get("groups", 1), 3, 2, seed=1)
    assert torch.equal(conv2d(Grid(x), Grid(w), bias, core=HOPPER, **options), F.conv2d(x, w, bias, **options))
    assert torch.equal(conv2d(Grid(x[0]), Grid(w), core=HOPPER, **options), F.conv2d(x[0], w, **options))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_convolution_along_one_axis_is_torchs(options: dict[str, Any]) -> None:
    one = {key: value[-1] if isinstance(value, tuple) else value for key, value in options.items()}
    x, w = integers(2, 6, 9), integers(6, 6 // one.get("groups", 1), 3, seed=1)
    assert torch.equal(conv1d(Grid(x), Grid(w), core=HOPPER, **one), F.conv1d(x, w, **one))


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (2, 0, 7)])
def test_a_linear_layer_of_small_integers_is_torchs(shape: tuple[int, ...]) -> None:
    x, w, bias = integers(*shape), integers(4, 7, seed=1), integers(4, seed=2)
    assert torch.equal(linear(Grid(x), Grid(w), bias, core=HOPPER), F.linear(x, w, bias))


def test_the_scale_is_one_multiplication_and_the_bias_one_addition() -> None:
    x, w, bias = spread(2, 3, 40), spread(4, 40, seed=1), torch.tensor([0.1, -0.3, 1e-3, 7.0])
    scale = torch.tensor([[0.3, 0.7, 1.1, 1.3], [0.01, 0.02, 0.03, 0.04]])
    plain = linear(Grid(x), Grid(w), core=HOPPER)
    assert torch.equal(linear(Grid(x), Grid(w), bias, scale[0], core=HOPPER), plain * scale[0] + bias)
    assert torch.equal(linear(Grid(x), Grid(w), bias, scale, core=HOPPER), plain * scale[:, None] + bias)
    image, kernel = spread(2, 4, 3, 3), spread(4, 4, 2, 2, seed=1)
    sums = conv2d(Grid(image), Grid(kernel), core=HOPPER)
    wanted = sums * scale[..., None, None] + bias[:, None, None]
    assert torch.equal(conv2d(Grid(image), Grid(kernel), bias, scale, core=HOPPER), wanted)


@pytest.mark.parametrize("largest", [1, 100, 400])
def test_pieces_change_nothing(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = spread(3, 4, 6, 5), spread(3, 4, 3, 3, seed=1)
    whole = conv2d(Grid(x), Grid(w), core=HOPPER, padding=1)
    monkeypatch.setattr(unfold, "LARGEST_PIECE", largest)
    sizes = [len(range(*lines.indices(6))) for _, lines in unfold.pieces(3, 6, 5 * 36)]
    assert sum(sizes) == 18
    assert max(sizes) * 5 * 36 <= max(largest, 5 * 36)
    assert torch.equal(conv2d(Grid(x), Grid(w), core=HOPPER, padding=1), whole)


def test_promotion_lowers_the_error_of_long_sums() -> None:
    x, w = spread(8, 2048).abs(), spread(8, 2048, seed=1).abs()
    exact = x.double() @ w.double().T
    errors = [
        float(
            (linear(Grid(x), Grid(w), core=TensorCore(arch="hopper", dtype="e4m3", promote_every=every)) - exact).norm()
        )
        for every in (None, 512, 128)
    ]
    assert errors[0] > 2 * errors[1] > 2 * errors[2] > 0


def test_integers_have_no_promotion_and_come_as_float32() -> None:
    x, w = integers(3, 50, largest=127), integers(4, 50, seed=1, largest=127)
    found = linear(Grid(x), Grid(w), core=TensorCore(arch="ampere", dtype="int8", promote_every=128))
    assert found.dtype == torch.float32
    assert torch.equal(found.double(), x.double() @ w.double().T)
