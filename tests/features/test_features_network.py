"""Feature networks from files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_networks import Grid, WithMaps, Wrong, narrow_inception, save

from fpsim.errors import FpsimError
from fpsim.features.inception import Inception, layers, weights_of
from fpsim.features.network import load

GOLDEN_POOLED = [9.654888, 8.193230]
GOLDEN_SPATIAL = [394.055054, 78.106438]
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def test_a_torchscript_file_runs_as_it_is(tmp_path: Path) -> None:
    path = save(Grid(), tmp_path / "grid.pt")
    network = load(path, "none")
    record = network.record
    assert (record.name, record.architecture, record.resize) == ("grid.pt", "torchscript", "none")
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    found = network(IMAGES)
    wanted = (IMAGES.astype(float) - 128).reshape(5, 2, 4, 2, 4, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2) / 128
    np.testing.assert_allclose(found.pooled, wanted.reshape(5, 12), atol=1e-5)
    assert found.pooled.dtype == np.float32
    assert found.spatial is None


def test_a_pair_is_features_and_maps(tmp_path: Path) -> None:
    found = load(save(WithMaps(), tmp_path / "maps.pt"), "none")(IMAGES)
    assert found.pooled.shape == (5, 3)
    assert found.spatial is not None
    assert found.spatial.shape == (5, 12)
    np.testing.assert_allclose(found.spatial.reshape(5, 3, 4).mean(axis=2), found.pooled, atol=1e-6)


def test_inception_has_its_94_convolutions_under_any_prefix() -> None:
    assert len(layers()) == len(set(layers())) == 94
    for prefix in ("", "net.layers."):
        found = weights_of(narrow_inception(prefix))
        assert found is not None
        assert len(found) == 4 * 94
        assert {"conv_4.weight", "mixed_8.tower_1.conv_3.beta", "mixed_10.tower_1_mixed_conv_1.var"} <= set(found)
    tensors = narrow_inception()
    assert weights_of({**tensors, "fc.weight": torch.zeros(1)}) is None
    del tensors["mixed_4.conv.beta"]
    assert weights_of(tensors) is None
    assert weights_of({}) is None


def test_inception_of_few_channels() -> None:
    """Its outputs once the code had been compared with the released network, bit for bit (test_real_networks.py)."""
    weights = weights_of(narrow_inception())
    assert weights is not None
    y, x = np.mgrid[0:299, 0:299] / 299
    image = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * x * y), x - y]).astype(np.float32)
    with torch.inference_mode():
        pooled, spatial = Inception(weights)(torch.from_numpy(image)[None])
    assert tuple(pooled.shape) == (1, 48)
    assert tuple(spatial.shape) == (1, 7, 17, 17)
    assert [pooled.sum().item(), pooled.square().sum().item()] == pytest.approx(GOLDEN_POOLED, rel=1e-3)
    assert [spatial.sum().item(), spatial[0, 3].sum().item()] == pytest.approx(GOLDEN_SPATIAL, rel=1e-3)


def test_inception_from_safetensors_and_from_torchscript_is_the_same(tmp_path: Path) -> None:
    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, tensor in narrow_inception().items():
                *path, last = name.split(".")
                module: torch.nn.Module = self
                for part in path:
                    if not hasattr(module, part):
                        module.add_module(part, torch.nn.Module())
                    module = getattr(module, part)
                module.register_buffer(last, tensor)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    save_file(narrow_inception(), tmp_path / "a.safetensors", metadata={"architecture": "inception-2015"})
    first, second = load(tmp_path / "a.safetensors"), load(save(Holder(), tmp_path / "b.pt"))
    assert first.record.architecture == second.record.architecture == "inception-2015"
    found, other = first(IMAGES[:1]), second(IMAGES[:1])
    np.testing.assert_array_equal(found.pooled, other.pooled)
    assert found.spatial is not None
    assert found.spatial.shape == (1, 2023)
    with pytest.raises(FpsimError, match="3 x 299 x 299"):
        load(tmp_path / "a.safetensors", "none")(IMAGES)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match="cannot be read"):
        load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(FpsimError, match="no TorchScript file"):
        load(tmp_path / "text.pt")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(FpsimError, match="no safetensors file"):
        load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"architecture": "resnet"})
    with pytest.raises(FpsimError, match="declares architecture 'resnet'"):
        load(tmp_path / "other.safetensors")
    with pytest.raises(FpsimError, match="no resize rule"):
        load(tmp_path / "other.safetensors", "nearest")
    with pytest.raises(FpsimError, match="device 'tpu'"):
        load(tmp_path / "other.safetensors", device="tpu")
    with pytest.raises(FpsimError, match="returns no features"):
        load(save(Wrong(), tmp_path / "wrong.pt"), "none")(IMAGES)


def test_images_that_a_network_does_not_take_are_one_line(tmp_path: Path) -> None:
    path = save(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)), tmp_path / "linear.pt")
    with pytest.raises(FpsimError, match=r"does not take images of \(3, 8, 8\)") as caught:
        load(path, "none")(IMAGES)
    assert "\n" not in str(caught.value)
