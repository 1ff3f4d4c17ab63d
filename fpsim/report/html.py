"""One self-contained page about a finished run: nothing in it is fetched from anywhere."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.report.bins_table import bins_tables
from fpsim.report.cost_table import cost_section
from fpsim.report.files import load_rows, load_run, write_atomically
from fpsim.report.parts import card, escape, facts, layer_table, left_table, signed, summary_table
from fpsim.report.plots import plot_svg
from fpsim.report.sheet import strip_png
from fpsim.report.style import CSS, JS

_COLUMNS, _SMALLEST = 16, 56
# The browser enforces what the page promises: no request to anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SUMMARY_NOTE = (
    "Every row is compared with full precision at the same noise. PSNR: of the mean squared error over all images "
    "(255 is the peak). SSIM: mean over the images (Gaussian window of 11 pixels, sigma 1.5). Final latent SQNR: "
    "signal-to-quantization-noise ratio of the latents that enter the last step. Mean layer SQNR: over the outputs "
    "of the quantized layers, exact ones left out. Model: stored size, 1 MB = 10⁶ bytes. ∞ means no difference."
)


def write_html(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a finished run.

    Images are data URIs, styles and scripts inline. The same ``run.json`` and images give the same bytes.

    Args:
        folder: where ``fpsim simulate --out`` wrote: ``run.json`` and the image files that it names.

    Returns:
        The path of the page.

    Raises:
        FpsimError: a file is missing or damaged, or matplotlib or Pillow is not installed.
    """
    folder = Path(folder)
    run = load_run(folder)
    path = folder / "report.html"
    # A label may hold what UTF-8 cannot (a broken file name): a question mark beats no report.
    write_atomically(path, _page(run, load_rows(folder, run)).encode("utf-8", errors="replace"))
    return path


def _page(run: Mapping[str, Any], images: list[tuple[str, NDArray[np.uint8]]]) -> str:
    sections = [
        _header(run),
        f'<h2>Summary</h2><div class="scroll">{summary_table(run)}</div><p class="note">{_SUMMARY_NOTE}</p>',
        _pictures(run, images),
        _plots(run),
        cost_section(run),
        "<h2>Layer by layer</h2>",
        *(_row_details(row) for row in run["rows"]),
        f'<h2>Environment</h2><div class="card">{facts(run["environment"])}</div>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(run['model']['name'])}: fpsim report</title>\n<style>{CSS}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + f"\n</main><script>{JS}</script></body></html>\n"
    )


def _header(run: Mapping[str, Any]) -> str:
    count, sampling = len(run["rows"]), dict(run["sampling"])
    prompts = sampling.pop("prompts", None)
    title = f"{run['model']['name']}: {count} quantization{'s' * (count != 1)} beside full precision"
    version = f"fpsim {run.get('fpsim', '')} · run {run.get('run_hash', '')}"
    cards = [
        card("Model", run["model"]),
        card("Sampling", sampling),
        card("Quantization", run["quantization"]),
        *([card("Arithmetic", run["arithmetic"])] if "arithmetic" in run else []),
    ]
    return (
        f'<p class="eyebrow">{escape(version)}</p><h1>{escape(title)}</h1>\n<div class="cards">{"".join(cards)}</div>\n'
        f"{_prompts(prompts)}<p>To repeat this run:</p>{_command(run['command'])}"
    )


def _command(command: str) -> str:
    """The command in a box that breaks its lines between options."""
    spans = (f"<span>{escape(part)}</span>" for part in re.split(r" (?=--)", command))
    return f"<pre>{' '.join(spans)}</pre>"


def _prompts(prompts: Any) -> str:
    if not prompts:
        return ""
    texts = [prompts] if isinstance(prompts, str) else prompts
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    title = f"{len(texts)} prompt{'s' * (len(texts) != 1)}"
    return f'<details class="plain"><summary>{title}</summary><ol>{items}</ol></details>'


def _pictures(run: Mapping[str, Any], images: list[tuple[str, NDArray[np.uint8]]]) -> str:
    captions = ["", *(_scores(row) for row in run["rows"])]
    strips = [_strip(label, picture, text) for (label, picture), text in zip(images, captions, strict=True)]
    total = len(images[0][1])
    first = f"The first {_COLUMNS} of {total} images" if total > _COLUMNS else "All images"
    note = f"{first}, unselected; each column starts from the same noise."
    # An image narrower than this shows nothing; a narrow screen scrolls instead.
    least = _SMALLEST * min(total, _COLUMNS)
    grid = f'<div class="strips" style="min-width:{least}px">{"".join(strips)}</div>'
    return f'<h2>Images</h2><p class="note">{note}</p><div class="scroll">{grid}</div>'


def _strip(label: str, images: NDArray[np.uint8], scores: str) -> str:
    shown = min(len(images), _COLUMNS)
    data = base64.b64encode(strip_png(images, columns=_COLUMNS)).decode("ascii")
    return (
        f'<figure class="strip"><figcaption><b>{escape(label)}</b>{scores}</figcaption>'
        f'<img alt="{shown} images, {escape(label)}" src="data:image/png;base64,{data}"></figure>\n'
    )


def _scores(row: Mapping[str, Any]) -> str:
    return f" · PSNR {signed(row['psnr_db']['mean'])} dB · SSIM {signed(row['ssim']['mean'], 3)}"


def _plots(run: Mapping[str, Any]) -> str:
    figures = [
        ("Error over the sampling steps", "", "timesteps"),
        ("Error of each layer's output", " tall", "layers"),
        ("Weights that became zero", "", "sparsity"),
    ]
    return "\n".join(
        f'<h2>{title}</h2><div class="scroll plot{kind}">{plot_svg(name, run)}</div>' for title, kind, name in figures
    )


def _row_details(row: Mapping[str, Any]) -> str:
    left = row["left"]
    remaining = f"{len(left)} modules left in full precision"
    kept = f'<details class="plain"><summary>{remaining}</summary>{_scrolled(left_table(left))}</details>'
    counts = f"{len(row['layers'])} layers quantized, {remaining}"
    described = {
        "weights": row["weights"],
        "activations": row["acts"],
        "products": _counted(row["products"]) if "products" in row else None,
        "PSNR": _spread(row["psnr_db"]["per_image"], 1, " dB"),
        "SSIM": _spread(row["ssim"]["per_image"], 3, ""),
    }
    rules, bins = escape(row["policy"]), bins_tables(row.get("act_bins", {}))
    policy = f'<details class="plain"><summary>Policy file</summary><pre>{rules}</pre></details>'
    return (
        f"<details><summary><b>{escape(row['label'])}</b> <span>{counts}</span></summary>{facts(described)}"
        f"{policy}{bins}{_scrolled(layer_table(row['layers']))}{kept if left else ''}</details>"
    )


def _counted(products: Mapping[str, str]) -> str:
    """Which instructions multiply how many layers."""
    return ", ".join(f"{name}: {count} layers" for name, count in Counter(products.values()).items())


def _scrolled(table: str) -> str:
    return f'<div class="scroll tall">{table}</div>'


def _spread(values: list[float], digits: int, unit: str) -> str:
    """The range of a per-image score, in words."""
    if not values:
        return "–"
    low, middle, high = (signed(value, digits) for value in (min(values), median(values), max(values)))
    return f"{low} to {high}{unit} over the images, median {middle}{unit}"
