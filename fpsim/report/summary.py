"""The few numbers of a run that decide between its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

HEADER = ["quantization", "PSNR dB", "SSIM", "final latent SQNR dB", "mean layer SQNR dB", "model MB"]
_NO_VALUE = "-"


def summary_rows(run: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A header and one line of text a row, full precision first.

    PSNR (of the mean squared error over all images) and SSIM (mean) compare the images with the
    full-precision images of the same noise; the final latent SQNR does so for the latents that enter the
    last step; the mean layer SQNR is :func:`mean_layer_sqnr_db`; a megabyte is 10^6 bytes.

    Args:
        run: the contents of ``run.json``.

    Returns:
        The header and the rows, as texts; ``-`` where there is no value, ``inf`` where nothing differs.
    """
    reference = [run["reference"]["label"], *[_NO_VALUE] * (len(HEADER) - 2), _reference_size(run["rows"])]
    return list(HEADER), [reference, *(_summary_row(row) for row in run["rows"])]


def mean_layer_sqnr_db(layers: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean over the layers of their output SQNR in decibels, exact layers (``inf``) left out.

    Args:
        layers: the ``layers`` of one row; ``output_sqnr_db`` may be None.

    Returns:
        Decibels; ``inf`` if every layer is exact, None if no layer has a value.
    """
    values = [layer["output_sqnr_db"] for layer in layers if layer.get("output_sqnr_db") is not None]
    inexact = [value for value in values if value != math.inf]
    if not values:
        return None
    return sum(inexact) / len(inexact) if inexact else math.inf


def final_latent_sqnr_db(row: Mapping[str, Any]) -> float | None:
    """The latent SQNR at the last call of the denoiser.

    Args:
        row: one of the run's rows.

    Returns:
        Decibels, or None if the run recorded no steps.
    """
    return row["timesteps"][-1].get("latent_sqnr_db") if row["timesteps"] else None


def number(value: float | None, digits: int = 1) -> str:
    """A number for a table: fixed digits, ``inf``, ``-inf`` and ``nan`` as words, ``-`` for none.

    Args:
        value: the number.
        digits: after the point.

    Returns:
        The text.

    >>> number(31.26), number(float("inf")), number(None)
    ('31.3', 'inf', '-')
    """
    return _NO_VALUE if value is None else f"{value:.{digits}f}"


def _summary_row(row: Mapping[str, Any]) -> list[str]:
    return [
        row["label"],
        number(row["psnr_db"]["mean"]),
        number(row["ssim"]["mean"], 3),
        number(final_latent_sqnr_db(row)),
        number(mean_layer_sqnr_db(row["layers"])),
        number(row["model_bytes"] / 1e6, 2),
    ]


def _reference_size(rows: Sequence[Mapping[str, Any]]) -> str:
    return number(rows[0]["model_bytes_full"] / 1e6, 2) if rows else _NO_VALUE
