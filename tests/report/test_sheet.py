"""Sheets: the right pixels at the right places, whole labels, equal bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fpsim.errors import FpsimError
from fpsim.report.sheet import contact_sheet, strip, strip_png, write_sheet

MakeImages = Callable[..., NDArray[np.uint8]]
SHAPES = [(28, 28, 1), (32, 32, 3), (512, 512, 3), (64, 40, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sheet_has_a_strip_a_row_and_equal_bytes(
    shape: tuple[int, int, int], make_images: MakeImages, tmp_path: Path
) -> None:
    images = make_images(3, *shape)
    rows = [("full precision", images), ("e4m3/e4m3", 255 - images)]
    for name in ("a.png", "b.png"):
        write_sheet(tmp_path / name, rows)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert list(tmp_path.glob("*.partial")) == []
    sheet = Image.open(tmp_path / "a.png")
    assert sheet.mode == ("L" if shape[-1] == 1 else "RGB")
    picture = strip(images)
    assert sheet.height == 2 * picture.height + 4 + 24
    left = sheet.width - 12 - picture.width
    gap = left + (picture.width - 8) // 3 + 1
    assert np.asarray(sheet)[12:-12, gap].min() == 255
    cells = np.asarray(sheet)[12 : 12 + picture.height, left : left + (picture.width - 8) // 3]
    assert (cells == np.asarray(picture.convert(sheet.mode))[:, : cells.shape[1]]).all()


def test_small_images_are_enlarged_without_smoothing(make_images: MakeImages) -> None:
    images = make_images(16, 28, 28, 1)
    pixels = np.asarray(strip(images))[..., 0]
    assert pixels.shape == (112, 16 * 112 + 15 * 4)
    assert (pixels[::4, :112:4] == images[0, ..., 0]).all()
    assert (pixels[3::4, -112:][:, 3::4] == images[15, ..., 0]).all()


def test_large_images_become_means_of_squares(make_images: MakeImages) -> None:
    images = make_images(20, 512, 512, 3)
    picture = strip(images)
    assert picture.size == (16 * 128 + 15 * 4, 128)
    exact = images[0].reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(picture)[:, :128, :3] - exact).max() <= 0.5


def test_columns_limit_a_row_and_rows_may_differ_in_length(make_images: MakeImages, tmp_path: Path) -> None:
    images = make_images(5, 32, 32, 3)
    assert strip(images, columns=2).width == 2 * 256 + 4
    write_sheet(tmp_path / "a.png", [("full precision", images), ("int8/int8", images[:2])], columns=4)
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    assert (pixels[-12 - 256 : -12, -12 - 2 * 260 :] == 255).all()


@pytest.mark.parametrize("label", ["e2m1/e4m3", "W" * 60, "a policy with many words and one more line", "x\ny"])
def test_labels_are_never_cropped(label: str, make_images: MakeImages, tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.png", [(label, make_images(1, 12, 12, 1))])
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    gutter = pixels[:, : pixels.shape[1] - 12 - 252]
    inked = np.argwhere(gutter < 128)
    assert len(inked) > 50
    assert inked.min() >= 4
    assert inked[:, 0].max() < pixels.shape[0] - 4
    assert inked[:, 1].max() < gutter.shape[1] - 4


def test_many_label_lines_make_the_row_higher(make_images: MakeImages, tmp_path: Path) -> None:
    rows = [("word " * 60, make_images(16, 12, 12, 1)), ("b", make_images(16, 12, 12, 1))]
    write_sheet(tmp_path / "a.png", rows)
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    assert pixels.shape[0] > 15 * 28
    assert (pixels[:12] == 255).all()


def test_contact_sheet_fills_row_by_row(make_images: MakeImages, tmp_path: Path) -> None:
    images = make_images(5, 64, 64, 1)
    contact_sheet(tmp_path / "a.png", images, 2)
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    assert pixels.shape == (3 * 256 + 2 * 4, 2 * 256 + 4)
    assert (pixels[520:776:4, :256:4] == images[4, ..., 0]).all()
    assert (pixels[260:516:4, 260::4] == images[3, ..., 0]).all()
    assert (pixels[520:, 256:] == 255).all()


def test_strips_are_transparent_between_images(make_images: MakeImages) -> None:
    alpha = np.asarray(strip(make_images(2, 32, 32, 3)))[..., -1]
    assert (alpha[:, :256] == 255).all()
    assert (alpha[:, 256:260] == 0).all()
    assert strip_png(make_images(2, 32, 32, 3)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([], 16, "0 rows"),
        ([("a", np.zeros((1, 8, 8, 1), np.uint8))], 0, "0 columns"),
        ([("a", np.zeros((1, 8, 8, 2), np.uint8))], 4, "C = 1 or 3"),
        ([("a", np.zeros((1, 8, 8, 3), np.float32))], 4, "float32"),
        ([("a", np.zeros((0, 8, 8, 3), np.uint8))], 4, "N at least 1"),
        ([("a", np.zeros((1, 8, 8, 1), np.uint8)), ("b", np.zeros((1, 9, 8, 1), np.uint8))], 4, "8 x 8 and 9 x 8"),
    ],
)
def test_bad_input_is_one_line(
    rows: list[tuple[str, NDArray[np.uint8]]], columns: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(FpsimError, match=message):
        write_sheet(tmp_path / "a.png", rows, columns=columns)
    assert list(tmp_path.iterdir()) == []
