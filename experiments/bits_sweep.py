"""At which bits, formats and granularities do weights collapse, and what does learned rounding save there?

    python experiments/bits_sweep.py [--images 64] [--steps 20] [--lpips FILE] [--smoke]
    python experiments/bits_sweep.py --model FOLDER [--prompts FILE] [--device cuda]

Weights from 8 bits down to 2 in one format for all layers, per tensor, per channel and in blocks of 32, rounded to
nearest and with learned rounding (up to 5 bits); activations stay in full precision, so that nothing else is measured.
PSNR, SSIM and LPIPS compare with the full-precision images of the same noise; `weight` and `net` are the SQNR of the
median layer's weight and of the network's output at exact latents. The last line is the floor: full-precision images of
unlike noise. int2, e1m0 and ternary are one set of levels, so are int3 and e1m1, int4 and
e1m2. `bits_layers.py` tells why, layer by layer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import LPIPS_SIZE, Setting, add_options, lpips, mean_psnr, setting, simulated
from scipy.stats import spearmanr

import fpsim
from fpsim.features import lpips as lpips_file
from fpsim.measure.paired import ssim
from fpsim.report.files import load_images

INTEGERS = ("int8", "int6", "int5", "int4", "int3", "int2")
FLOATS = ("e4m3", "e3m2", "e2m3", "e2m2", "e2m1", "e2m0")
GRANULARITIES = ("tensor", "channel", "block:32")
#: Learned rounding is for few bits; the paper has it for 4.
LEARNED = ("int3", "e2m0", "int2", "int4", "e2m1", "e2m2", "int5")
ITERATIONS = 300
#: Mean PSNR at most so far above that of unlike noise: the image is another one.
LOST_DB = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A cell of the sweep with what was measured."""

    fmt: str
    granularity: str
    rounding: str
    psnr: float
    tenth: float
    ssim: float
    lpips: float | None
    zeros: float
    sqnr: float
    net: float
    megabytes: float
    run: str
    images: tuple[float, ...]

    @property
    def bits(self) -> int:
        return int(fpsim.format(self.fmt).bits)

    @property
    def family(self) -> str:
        return "int" if self.fmt.startswith("int") else "float"


def parts(*, smoke: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Granularity, rounding and formats of each run; a learned format has a run of its own, the most telling first."""
    if smoke:
        yield from (("tensor", "nearest", ("int8", "int3")), ("tensor", "learned", ("int3",)))
        return
    yield from ((where, "nearest", (*INTEGERS, *FLOATS)) for where in GRANULARITIES)
    yield from ((where, "learned", (name,)) for name in LEARNED for where in GRANULARITIES)


def rows(where: str, rounding: str, names: tuple[str, ...], how: Setting, folder: Path) -> Iterator[Row]:
    """One run of ``fpsim simulate`` with a row a format."""
    out = folder / f"{where.replace(':', '')}-{rounding}"
    words = tuple(word for name in names for word in ("--quant", f"{name}/none"))
    if rounding == "learned":
        out = out / names[0]
        words += ("--method", "chen2024", "--no-format-search", "--rounding-for", "all", *how.rounding(ITERATIONS))
    print(f"{where}, {rounding}: {', '.join(names)}", file=sys.stderr, flush=True)
    record = simulated((*words, "--weights-granularity", where), out, how)
    for name, row in zip(names, record["rows"], strict=True):
        yield _row(name, where, rounding, row, record["run_hash"], lpips(out, row["label"], how))


def _row(name: str, granularity: str, rounding: str, row: dict[str, Any], run: str, far: Any) -> Row:
    layers = [layer for layer in row["layers"] if layer.get("weight_sparsity") is not None]
    count = sum(layer["weight_count"] for layer in layers)
    images = tuple(sorted(map(float, row["psnr_db"]["per_image"])))
    return Row(
        fmt=name,
        granularity=granularity,
        rounding=rounding,
        psnr=float(row["psnr_db"]["mean"]),
        tenth=images[len(images) // 10],
        ssim=float(row["ssim"]["mean"]),
        lpips=None if far is None else far[0],
        zeros=sum(layer["weight_sparsity"] * layer["weight_count"] for layer in layers) / count,
        sqnr=sorted(float(layer["weight_sqnr_db"]) for layer in layers)[len(layers) // 2],
        net=float([layer["output_sqnr_db"] for layer in layers if layer["output_sqnr_db"] is not None][-1]),
        megabytes=row["model_bytes"] / 1e6,
        run=run,
        images=images,
    )


def floor(out: Path, how: Setting) -> tuple[float, float, float | None]:
    """PSNR, SSIM and LPIPS of full-precision images against those of the next image's noise."""
    images = load_images(out / "images" / "full-precision.npz")
    other = np.roll(images, 1, axis=0)
    far = None
    if how.lpips is not None:
        small = min(images.shape[1:3]) < LPIPS_SIZE // 2
        far = float(lpips_file.load(how.lpips, LPIPS_SIZE if small else None)(images, other).mean())
    return mean_psnr(images, other), float(ssim(images, other).mean()), far


def line(row: Row) -> str:
    """A row of the table."""
    far = "" if row.lpips is None else f"  {row.lpips:6.4f}"
    return (
        f"{row.fmt:<5} {row.bits:>4}  {row.granularity:<9} {row.rounding:<8} {row.psnr:7.2f}  {row.tenth:8.2f}  "
        f"{row.ssim:6.4f}{far}  {100 * row.zeros:6.2f}  {row.sqnr:6.1f}  {row.net:5.1f}  {row.megabytes:8.2f}  "
        f"{row.run}"
    )


def verdict(found: list[Row], least: float) -> Iterator[str]:
    """For each family and granularity: where nearest is lost, where learned rounding is, and its worth there."""
    yield f"A row is lost at {LOST_DB:g} dB above the floor or less: {least + LOST_DB:.2f} dB."
    for family in ("int", "float"):
        for granularity in GRANULARITIES:
            here = [row for row in found if (row.family, row.granularity) == (family, granularity)]
            if here:
                yield f"{family:<5} {granularity:<9}" + ";".join(_said(here, least + LOST_DB))
    psnr = [row.psnr for row in found]
    ranks = [spearmanr([getattr(row, key) for row in found], psnr).statistic for key in ("sqnr", "net")]
    yield f"Rank correlation of PSNR over {len(found)} rows: weight {ranks[0]:+.2f}, net {ranks[1]:+.2f}."


def _said(here: list[Row], limit: float) -> Iterator[str]:
    for rounding in ("nearest", "learned"):
        lost = [row for row in here if row.rounding == rounding and row.psnr <= limit]
        kept = [row for row in here if row.rounding == rounding and row.psnr > limit]
        least = min(kept, key=lambda row: (row.bits, row.psnr)) if kept else None
        said = f"{least.fmt} kept with {least.psnr:.1f} dB" if least else "none kept"
        for row in sorted(lost, key=lambda row: -row.bits):
            said += f", {row.fmt} lost ({sum(x <= limit for x in row.images)} of {len(row.images)} images)"
        yield f" {rounding}: {said}"
    gains = {row.fmt: row.psnr for row in here if row.rounding == "learned"}
    yield (
        " learned - nearest "
        + ", ".join(
            f"{row.fmt} {gains[row.fmt] - row.psnr:+.1f}"
            for row in here
            if row.rounding == "nearest" and row.fmt in gains
        )
        + " dB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "runs/bits_sweep")
    args = parser.parse_args()
    how = setting(args)
    folder = args.folder / how.folder
    shown = replace(how, iterations=how.iterations or ITERATIONS)
    print(f"weights of few bits: {how.model} model\n{shown.tier}")
    head = "" if how.lpips is None else "   LPIPS"
    names = f"{'format':<6} bits {'weights':<9} {'rounding':<8} PSNR dB  10th pct    SSIM{head}"
    print(f"{names}  zero %  weight    net  model MB  run", flush=True)
    found: list[Row] = []
    for part in parts(smoke=args.smoke):
        for row in rows(*part, how, folder):
            found.append(row)
            print(line(row), flush=True)
    least = floor(folder / "tensor-nearest", how)
    far = "" if least[2] is None else f"  {least[2]:6.4f}"
    print(f"{'unlike noise':<30} {least[0]:7.2f}            {least[1]:6.4f}{far}\n")
    print("\n".join(verdict(found, least[0])))


if __name__ == "__main__":
    main()
