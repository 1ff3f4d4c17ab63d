"""Features are computed once, go on where they stopped, and are kept under what decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_networks import Broken, Grid, WithMaps, save

from fpsim.errors import FpsimError
from fpsim.features import cache
from fpsim.features.cache import features_of
from fpsim.features.images import ImageSet
from fpsim.features.network import FeatureNetwork, Features, load

IMAGES = np.random.default_rng(2).integers(1, 256, (70, 4, 4, 3), dtype=np.uint8)


def images(home: Path, count: int = 70) -> ImageSet:
    return ImageSet(name="set", images=IMAGES[:count], run=None, home=home)


class Counted(FeatureNetwork):
    """Counts the batches that it sees, and stops at one of them."""

    def __init__(self, network: FeatureNetwork, stop: int | None = None) -> None:
        super().__init__(network.record, network._run)
        self.seen: list[int] = []
        self.stop = stop

    def __call__(self, images: np.ndarray) -> Features:
        if len(self.seen) == self.stop:
            raise KeyboardInterrupt
        self.seen.append(len(images))
        return super().__call__(images)


def test_computed_once_and_the_same_from_the_file(tmp_path: Path) -> None:
    network = Counted(load(save(Grid(), tmp_path / "n.pt"), "none"))
    first = features_of(images(tmp_path / "home"), network)
    assert network.seen == [32, 32, 6]
    assert [path.name[:9] for path in (tmp_path / "home").iterdir()] == ["features-"]
    again = features_of(images(tmp_path / "home"), network)
    assert len(network.seen) == 3
    np.testing.assert_array_equal(first.pooled, again.pooled)
    np.testing.assert_array_equal(first.pooled[:32], load(tmp_path / "n.pt", "none")(IMAGES[:32]).pooled)
    features_of(images(tmp_path / "home", 69), network)
    assert len(network.seen) == 6


def test_an_interrupted_computation_goes_on(tmp_path: Path) -> None:
    network = load(save(Grid(), tmp_path / "n.pt"), "none")
    with pytest.raises(KeyboardInterrupt, match="finished batches are kept"):
        features_of(images(tmp_path), Counted(network, stop=2))
    rest = Counted(network)
    found = features_of(images(tmp_path), rest)
    assert rest.seen == [6]
    np.testing.assert_array_equal(found.pooled, features_of(images(tmp_path / "other"), network).pooled)
    assert not list(tmp_path.glob("*.partial"))


def test_the_network_the_rule_and_the_device_decide_the_file(tmp_path: Path) -> None:
    grid, maps = save(Grid(), tmp_path / "a.pt"), save(WithMaps(), tmp_path / "b.pt")
    elsewhere = load(grid, "none")
    elsewhere.device = "meta"
    keys = {
        cache._key("0", network, False) for network in (load(grid, "none"), load(grid), load(maps, "none"), elsewhere)
    }
    assert len(keys) == 4


def test_maps_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    network = Counted(load(save(WithMaps(), tmp_path / "n.pt"), "none"))
    found = features_of(images(tmp_path / "a"), network, spatial=True)
    assert found.spatial is not None
    assert found.spatial.shape == (70, 12)
    features_of(images(tmp_path / "a"), network)  # the file with maps serves
    assert len(network.seen) == 3
    assert features_of(images(tmp_path / "b"), network).spatial is None
    assert features_of(images(tmp_path / "b"), network, spatial=True).spatial is not None  # computed anew
    with pytest.raises(FpsimError, match="no spatial maps"):
        features_of(images(tmp_path), load(save(Grid(), tmp_path / "g.pt"), "none"), spatial=True)


def test_features_that_are_not_finite_name_the_image(tmp_path: Path) -> None:
    black = IMAGES.copy()
    black[40] = 0
    network = load(save(Broken(), tmp_path / "n.pt"), "none")
    with pytest.raises(FpsimError, match="not finite for image 40"):
        features_of(ImageSet(name="set", images=black, run=None, home=tmp_path), network)


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    network = load(save(Grid(), tmp_path / "n.pt"), "none")
    with pytest.raises(FpsimError, match="choose a folder: --cache"):
        features_of(images(tmp_path / "n.pt" / "below"), network)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    network = load(save(Grid(), tmp_path / "n.pt"), "none")
    features_of(images(tmp_path), network)
    (path,) = tmp_path.glob("features-*.npz")
    np.savez(path.with_suffix(""), pooled=np.zeros((3, 2), np.float32))
    with pytest.raises(FpsimError, match="holds no features of 70 images"):
        features_of(images(tmp_path), network)
