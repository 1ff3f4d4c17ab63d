"""Sets of images: rows of runs, npz files, folders of PNGs; which of them compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fpsim.errors import FpsimError
from fpsim.features.comparable import check_counts, check_sizes, pairing_problem, remarks
from fpsim.features.images import ImageSet, read


def noise(count: int = 3, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 14, channels), dtype=np.uint8)


def make_run(folder: Path, **sampling: Any) -> Path:
    (folder / "images").mkdir(parents=True)
    np.savez(folder / "images" / "full-precision.npz", arr_0=noise())
    np.savez(folder / "images" / "e4m3_e4m3.npz", arr_0=255 - noise())
    record = {
        "model": {"sha256": "m"},
        "sampling": {"seed": 0, "steps": 5, **sampling},
        "reference": {"label": "full precision", "images": "images/full-precision.npz"},
        "rows": [{"label": "e4m3/e4m3", "images": "images/e4m3_e4m3.npz"}],
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def a_set(name: str = "a", count: int = 3, **sampling: Any) -> ImageSet:
    run = {"sampling": sampling, "model": {"sha256": "m"}} if sampling else None
    return ImageSet(name=name, images=noise(count), run=run, home=Path())


def test_a_row_of_a_run_by_its_label_or_its_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r#1")  # a mark in a folder's name does not count
    found = read(f"{run}#e4m3/e4m3")
    np.testing.assert_array_equal(found.images, 255 - noise())
    assert found.run == {"model": {"sha256": "m"}, "sampling": {"seed": 0, "steps": 5}}
    assert found.home == run
    other = read(str(run / "images" / "e4m3_e4m3.npz"))
    assert (other.run, other.home, other.sha256()) == (found.run, found.home, found.sha256())
    assert read(f"{run}#full precision").sha256() != found.sha256()


def test_a_plain_npz_and_the_first_of_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", arr_0=noise())
    found = read(str(tmp_path / "a.npz"))
    assert (found.run, found.home) == (None, tmp_path)
    assert found.first(None).images.shape == (3, 12, 14, 3)
    np.testing.assert_array_equal(found.first(2).images, noise()[:2])
    with pytest.raises(FpsimError, match="first 4 cannot be taken"):
        found.first(4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_pngs_in_the_order_of_their_names(tmp_path: Path, channels: int) -> None:
    for i, image in enumerate(noise(channels=channels)):
        Image.fromarray(image if channels == 3 else image[..., 0]).save(tmp_path / f"{9 - i}.png")
    (tmp_path / "note.txt").write_text("no image")
    np.testing.assert_array_equal(read(str(tmp_path)).images, noise(channels=channels)[::-1])


def test_what_is_no_set_of_images_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(FpsimError, match=r"there are: full precision, e4m3/e4m3"):
        read(str(run))
    with pytest.raises(FpsimError, match="no row 'int8/int8'"):
        read(f"{run}#int8/int8")
    with pytest.raises(FpsimError, match="cannot be read"):
        read(f"{tmp_path}/nowhere#x")
    with pytest.raises(FpsimError, match=r"there is no 'nowhere.npz'"):
        read("nowhere.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FpsimError, match="no PNGs"):
        read(str(tmp_path / "empty"))
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(FpsimError, match="no npz file that can be read"):
        read(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "named.npz", images=noise())
    with pytest.raises(FpsimError, match="no array 'arr_0'"):
        read(str(tmp_path / "named.npz"))
    np.savez(tmp_path / "float.npz", arr_0=noise() / 255.0)
    with pytest.raises(FpsimError, match="images are uint8"):
        read(str(tmp_path / "float.npz"))
    (run / "run.json").write_text("{}")
    with pytest.raises(FpsimError, match="names no images"):
        read(f"{run}#full precision")


def test_pngs_of_two_sizes_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    Image.fromarray(noise()[0]).save(tmp_path / "a.png")
    Image.fromarray(noise()[0][:5]).save(tmp_path / "b.png")
    with pytest.raises(FpsimError, match=r"b.png has shape \(5, 14, 3\)"):
        read(str(tmp_path))
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(FpsimError, match=r"b\.png is no PNG"):
        read(str(tmp_path))


def test_the_hash_knows_the_shape() -> None:
    flat = ImageSet(name="a", images=noise().reshape(3, 14, 12, 3), run=None, home=Path())
    assert flat.sha256() != a_set().sha256()


def test_pairs_need_the_same_noise() -> None:
    same = a_set(seed=1, steps=5, scheduler="ddim")
    assert pairing_problem(same, a_set("b", seed=1, steps=5, scheduler="ddim", batch_size=4)) is None
    assert pairing_problem(same, a_set("b")) is None  # nothing is known of b
    problem = pairing_problem(same, a_set("b", seed=2, steps=5, scheduler="ddim"))
    assert problem == "a was sampled with seed 1, b with seed 2"
    assert "steps 5" in str(pairing_problem(same, a_set("b", seed=1, steps=9, scheduler="ddim")))
    assert pairing_problem(same, a_set("b", 2)) == "a holds 3 images and b 2"


def test_sizes_and_counts() -> None:
    check_sizes(a_set(), a_set(count=9))
    with pytest.raises(FpsimError, match="12 x 14 x 3, b of 12 x 14 x 1"):
        check_sizes(a_set(), ImageSet(name="b", images=noise(channels=1), run=None, home=Path()))
    check_counts("fid", 5, 6, allow=True)
    check_counts("fid", 5, None, allow=False)
    with pytest.raises(FpsimError, match="fid of 5 images against 6"):
        check_counts("fid", 5, 6, allow=False)


def test_remarks() -> None:
    ours, theirs = a_set(seed=1, dtype="float32"), a_set("b", seed=1, dtype="bfloat16")
    (same, dtype) = remarks(ours, theirs, paired=True, unpaired=True)
    assert "seed is the same" in same
    assert dtype == "dtype differs: float32 against bfloat16"
    (trust,) = remarks(ours, a_set("b"), paired=True, unpaired=True)
    assert "beside b" in trust
    assert remarks(a_set(seed=1), a_set(seed=2), paired=False, unpaired=True) == []
