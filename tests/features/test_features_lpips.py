"""LPIPS's network against an independent computation in NumPy; its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from fpsim.errors import FpsimError
from fpsim.features.lpips import SHAPES, load


def weights() -> dict[str, torch.Tensor]:
    rng, found = np.random.default_rng(0), {}
    for name, shape in SHAPES.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.1
        values = rng.normal(0, scale, shape)
        found[name] = torch.from_numpy(np.abs(values) if name.startswith("head") else values).float()
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "random.safetensors"
    save_file(weights(), path, metadata={"architecture": "lpips-alexnet"})
    return path


def convolve(x: NDArray[np.float64], weight: NDArray[np.float64], stride: int, padding: int) -> NDArray[np.float64]:
    """Correlation of one image [C, H, W] by its windows."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    side = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True)


def pool(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


def alexnet(image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    tensors = {name: tensor.numpy().astype(np.float64) for name, tensor in weights().items()}
    x = image.astype(np.float64).transpose(2, 0, 1) / 127.5 - 1
    x = (x - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
    maps = []
    for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)), 1):
        if i in (2, 3):
            x = pool(x)
        x = np.maximum(
            convolve(x, tensors[f"conv{i}.weight"], stride, padding) + tensors[f"conv{i}.bias"][:, None, None], 0
        )
        maps.append(x)
    return maps


def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    total = 0.0
    for i, (x, y) in enumerate(zip(alexnet(a), alexnet(b), strict=True), 1):
        x, y = (z / (np.sqrt((z**2).sum(axis=0)) + 1e-10) for z in (x, y))
        total += float(((x - y) ** 2 * weights()[f"head{i}"].numpy()[:, None, None]).sum(axis=0).mean())
    return total


def pair(count: int, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, count, height, width, 3), dtype=np.uint8)
    return images[0], images[1]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (31, 47)])
def test_equals_an_independent_computation(file: Path, height: int, width: int) -> None:
    a, b = pair(2, height, width)
    found = load(file)(a, b)
    assert found == pytest.approx([distance(x, y) for x, y in zip(a, b, strict=True)], rel=1e-4)
    assert (found > 0).all()


def test_laws(file: Path) -> None:
    network, (a, b) = load(file), pair(3, 32, 32)
    assert (network(a, a) == 0).all()
    np.testing.assert_array_equal(network(a, b), network(b, a))
    near = np.clip(a.astype(int) + 3, 0, 255).astype(np.uint8)
    assert (network(a, near) < network(a, b)).all()
    np.testing.assert_allclose(network(a[1:], b[1:]), network(a, b)[1:], rtol=1e-4)


def test_grey_images_are_shown_in_three_channels(file: Path) -> None:
    network, (a, b) = load(file), pair(1, 32, 32)
    grey = [x[..., :1] for x in (a, b)]
    assert network(*grey) == pytest.approx(network(*(np.repeat(x, 3, axis=-1) for x in grey)))


def test_small_images_and_unequal_shapes_are_refused(file: Path) -> None:
    network = load(file)
    with pytest.raises(FpsimError, match="at least 31 x 31"):
        network(*pair(1, 30, 64))
    with pytest.raises(FpsimError, match="needs pairs"):
        network(pair(2, 32, 32)[0], pair(1, 32, 32)[0])


def bilinear(image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Half-pixel centres, the border repeated: each pixel between its four neighbours, not rounded."""
    where = np.clip((np.arange(size) + 0.5) * image.shape[0] / size - 0.5, 0, image.shape[0] - 1)
    below = np.floor(where).astype(int)
    above, part = np.minimum(below + 1, image.shape[0] - 1), where - below
    rows = image[below] * (1 - part)[:, None, None] + image[above] * part[:, None, None]
    return np.asarray(rows[:, below] * (1 - part)[None, :, None] + rows[:, above] * part[None, :, None])


def test_small_images_are_resized_on_request(file: Path) -> None:
    a, b = pair(1, 28, 28)
    network = load(file, 64)
    assert network.record.resize == "bilinear-64"
    assert load(file).record.resize == "none"
    wanted = distance(bilinear(a[0], 64), bilinear(b[0], 64))  # type: ignore[arg-type]
    assert network(a, b) == pytest.approx([wanted], rel=1e-4)
    assert load(file, 48)(a, b) != pytest.approx(network(a, b), rel=1e-3)


def test_a_resize_that_changes_nothing(file: Path) -> None:
    a, b = pair(2, 32, 32)
    np.testing.assert_array_equal(load(file, 32)(a, b), load(file)(a, b))


def test_shrinking_sees_every_pixel(file: Path) -> None:
    a, _ = pair(1, 128, 128)
    b = a.copy()
    b[:, ::4] = 255 - b[:, ::4]  # rows that a resize by plain interpolation to a quarter would skip
    assert load(file, 32)(a, b)[0] > 0


@pytest.mark.parametrize("size", [30, 4097, 0])
def test_sizes_out_of_range_are_refused(file: Path, size: int) -> None:
    with pytest.raises(FpsimError, match="give 31 to 4096"):
        load(file, size)


def test_other_files_are_refused(tmp_path: Path) -> None:
    tensors = weights()
    save_file(tensors, tmp_path / "a.safetensors", metadata={"architecture": "inception-2015"})
    with pytest.raises(FpsimError, match="LPIPS's is 'lpips-alexnet'"):
        load(tmp_path / "a.safetensors")
    del tensors["head3"]
    save_file(tensors, tmp_path / "b.safetensors", metadata={"architecture": "lpips-alexnet"})
    with pytest.raises(FpsimError, match="wrong: head3"):
        load(tmp_path / "b.safetensors")
    with pytest.raises(FpsimError, match="cannot be read"):
        load(tmp_path / "c.safetensors")
