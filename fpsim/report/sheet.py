"""Images side by side in one PNG: a row a number format, a column a noise."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.report.files import require, write_atomically
from fpsim.report.text import wrapped

if TYPE_CHECKING:
    from PIL import Image

Rows = Sequence[tuple[str, NDArray[np.uint8]]]

_GAP = 4
_MARGIN = 12
_FONT_SIZE = 22
_LINE = 28
_LABEL_CHARACTERS = 24
# Pixels that a full row may take, and the bounds of one image within it.
_ROW_WIDTH, _SMALLEST, _LARGEST = 2048, 96, 256


def write_sheet(path: Path, rows: Rows, *, columns: int = 16) -> None:
    """One PNG with a row for each label: the label at the left, then the row's first images.

    Small images are enlarged by a whole factor without smoothing, large ones reduced by a whole factor
    (means over squares of pixels), so that a row is about 2,000 pixels wide. Equal input gives equal bytes.

    Args:
        path: the PNG file to write.
        rows: (label, uint8 [N, H, W, C]) with C = 1 or 3, H and W the same in all; full precision first.
        columns: the most images a row shows.

    Raises:
        FpsimError: no rows, no images, sizes that differ, or a number of channels other than 1 and 3.
    """
    shown = _most_shown(rows, columns)
    sizes = {f"{images.shape[1]} x {images.shape[2]}" for _, images in rows}
    if len(sizes) > 1:
        raise FpsimError(f"images of {' and '.join(sorted(sizes))} pixels were given: a sheet shows one size")
    strips = [strip(images, columns=columns, shown=shown) for _, images in rows]
    labels = [wrapped(label, _LABEL_CHARACTERS) for label, _ in rows]
    canvas = _stack_with_labels(strips, labels)
    write_atomically(Path(path), _png(canvas))


def contact_sheet(path: Path, images: NDArray[np.uint8], columns: int) -> None:
    """One PNG with all images in a grid, filled row by row.

    Args:
        path: the PNG file to write.
        images: uint8 [N, H, W, C] with C = 1 or 3.
        columns: images a row.

    Raises:
        FpsimError: no images, no columns, or a number of channels other than 1 and 3.
    """
    shown = _most_shown([("", images)], columns)
    rows = [strip(images[i : i + columns], columns=columns, shown=shown) for i in range(0, len(images), columns)]
    height = rows[0].height
    canvas = _blank(rows[0].width, len(rows) * (height + _GAP) - _GAP, rows)
    for index, row in enumerate(rows):
        canvas.paste(row, (0, index * (height + _GAP)), row)
    write_atomically(Path(path), _png(canvas))


def strip(images: NDArray[np.uint8], *, columns: int = 16, shown: int | None = None) -> Image.Image:
    """The first images of a row, side by side, transparent between them.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3.
        columns: the most images to show.
        shown: how many images the longest row of the sheet has, which decides the size; None for this one's.

    Returns:
        A Pillow image of mode LA or RGBA.

    Raises:
        FpsimError: no images, no columns, or a number of channels other than 1 and 3.
    """
    from PIL import Image

    shown = _most_shown([("", images)], columns) if shown is None else shown
    cells = [_resized(image, shown) for image in images[:columns]]
    width, height = cells[0].size
    row = Image.new("LA" if cells[0].mode == "L" else "RGBA", (len(cells) * (width + _GAP) - _GAP, height))
    for index, cell in enumerate(cells):
        row.paste(cell.convert(row.mode), (index * (width + _GAP), 0))
    return row


def strip_png(images: NDArray[np.uint8], *, columns: int = 16) -> bytes:
    """The PNG file of :func:`strip`, for pages that hold their own labels and have a colour of their own.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3.
        columns: the most images to show.

    Returns:
        The file's bytes, equal for equal images.

    Raises:
        FpsimError: as :func:`strip`.
    """
    return _png(strip(images, columns=columns))


def _most_shown(rows: Rows, columns: int) -> int:
    """How many images the longest row shows; refuses what cannot be drawn."""
    require("PIL")
    if not rows or columns < 1:
        raise FpsimError(f"{len(rows)} rows and {columns} columns were given: a sheet needs at least one of each")
    for label, images in rows:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or images.size == 0:
            raise FpsimError(
                f"row {label!r}: {images.dtype} {images.shape} was given, "
                "but a sheet shows uint8 [N, H, W, C], N at least 1, C = 1 or 3"
            )
    return min(columns, max(len(images) for _, images in rows))


def _resized(image: NDArray[np.uint8], shown: int) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))
    longest = max(picture.size)
    target = min(max(_ROW_WIDTH // shown, _SMALLEST), _LARGEST)
    if longest > target:
        return picture.reduce(-(-longest // target))
    factor = target // longest
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _stack_with_labels(strips: Sequence[Image.Image], labels: Sequence[list[str]]) -> Image.Image:
    """Strips below each other, each label centred on its strip and the gutter as wide as the widest label."""
    from PIL import ImageDraw

    font = _font()
    gutter = _MARGIN + max(int(font.getlength(line)) + 1 for lines in labels for line in lines) + _MARGIN
    heights = [max(picture.height, _LINE * len(lines)) for picture, lines in zip(strips, labels, strict=True)]
    canvas = _blank(
        gutter + max(picture.width for picture in strips) + _MARGIN,
        sum(heights) + _GAP * (len(strips) - 1) + 2 * _MARGIN,
        strips,
    )
    draw, top = ImageDraw.Draw(canvas), _MARGIN
    for picture, lines, height in zip(strips, labels, heights, strict=True):
        canvas.paste(picture, (gutter, top + (height - picture.height) // 2), picture)
        first = top + (height - _LINE * len(lines)) // 2
        for index, line in enumerate(lines):
            draw.text((_MARGIN, first + _LINE * index + _LINE // 2), line, fill=_ink(canvas), font=font, anchor="lm")
        top += height + _GAP
    return canvas


def _font() -> Any:
    """DejaVu Sans, which comes with matplotlib: every machine draws the same letters."""
    require("matplotlib")
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _blank(width: int, height: int, pictures: Sequence[Image.Image]) -> Image.Image:
    """A white canvas, grey if all pictures are."""
    from PIL import Image

    grey = all(picture.mode == "LA" for picture in pictures)
    return Image.new("L", (width, height), 255) if grey else Image.new("RGB", (width, height), (255, 255, 255))


def _ink(canvas: Image.Image) -> int | tuple[int, int, int]:
    return 30 if canvas.mode == "L" else (30, 30, 30)


def _png(canvas: Image.Image) -> bytes:
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", compress_level=9)
    return buffer.getvalue()
