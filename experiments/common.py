"""What the tables' scripts share: their options, ``fpsim`` as a function, the tier's name, LPIPS of a row."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.cli.main import run
from fpsim.measure.paired import PairedScores, psnr_db

#: Both sides of images for LPIPS where they are smaller: its network refuses less than 31 x 31.
LPIPS_SIZE = 64
#: The paper's settings: images, steps and iterations of learned rounding (section VI-A; the last is BRECQ's).
PAPER = {False: (50_000, 200, 20_000), True: (10_000, 50, 20_000)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every row of a table has in common.

    Args:
        model: as ``--model`` takes it.
        prompts: a text file for text-to-image models, or None.
        images, steps, batch: of each run.
        iterations: of learned rounding, or None for the table's own.
        device: where the model runs.
        lpips: its weights, or None for no column.
        init_samples: images of the format search's initialization set, or None for the method's own number.
    """

    model: str
    prompts: Path | None
    images: int
    steps: int
    batch: int
    iterations: int | None
    device: str
    lpips: Path | None
    init_samples: int | None = None

    @property
    def sampling(self) -> list[str]:
        """The words that every verb takes which samples."""
        words = ["--model", self.model, "--steps", str(self.steps), "--batch-size", str(self.batch)]
        words += ["--device", self.device]
        return [*words, "--prompts", str(self.prompts)] if self.prompts else words

    @property
    def folder(self) -> str:
        """Its runs' folder within a table's."""
        name = "" if self.model == "bundled" else f"{Path(self.model).name}-"
        return f"{name}{self.images}x{self.steps}"

    def rounding(self, usual: int | None) -> tuple[str, ...]:
        """The iterations of learned rounding as words; ``usual`` is the table's own number, None the method's."""
        chosen = self.iterations or usual
        return () if chosen is None else ("--rounding-iters", str(chosen))

    @property
    def searching(self) -> tuple[str, ...]:
        """The initialization set of a format search as words."""
        return () if self.init_samples is None else ("--init-samples", str(self.init_samples))

    @property
    def tier(self) -> str:
        """A line that says what the numbers stand for."""
        images, steps, iterations = PAPER[self.prompts is not None]
        whole = self.images >= images and self.steps >= steps and (self.iterations or 0) >= iterations
        where = "CPU" if self.device == "cpu" else "CUDA"
        what = f"{self.images} images, {self.steps} steps, seed 0"
        if self.iterations:
            what += f", {self.iterations} iterations of learned rounding"
        if whole and where == "CUDA":
            return f"paper's settings: {what}"
        return f"{where} tier: {what} (the paper: {images} images, {steps} steps, {iterations} iterations)"


def add_options(parser: argparse.ArgumentParser, folder: str, images: int = 64) -> None:
    """The options of :class:`Setting`, and where runs are kept."""
    parser.add_argument("--model", default="bundled", help="bundled, or a local diffusers folder (SD 1.5, SDXL …)")
    parser.add_argument("--prompts", type=Path, help="text file, one prompt a line (text-to-image models)")
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounding-iters", type=int, help="iterations of learned rounding; the paper's: 20000")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lpips", type=Path, help="weights from convert_lpips.py: a column of paired LPIPS")
    parser.add_argument("--folder", type=Path, default=Path(folder))
    parser.add_argument("--smoke", action="store_true")


def setting(args: argparse.Namespace, few: int = 2) -> Setting:
    """What the options ask for; a smoke test is as small as it gets, with a few images."""
    small = {"images": few, "steps": 2, "iterations": 2, "init_samples": 2}
    given = {"images": args.images, "steps": args.steps, "iterations": args.rounding_iters}
    return Setting(
        model=args.model,
        prompts=args.prompts,
        batch=args.batch_size,
        device=args.device,
        lpips=args.lpips,
        **(small if args.smoke else given),
    )


def mean_psnr(reference: NDArray[np.uint8], images: NDArray[np.uint8]) -> float:
    """PSNR in dB of the mean squared error over all images, as the records of runs have it."""
    return PairedScores(psnr_db=psnr_db(reference, images), ssim=np.zeros(0)).psnr_db_mean


def called(words: list[str]) -> None:
    """Run the command line quietly; what it says is shown where it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(words)
    if code:
        sys.exit(f"fpsim {' '.join(words)}: exit code {code}\n{said.getvalue()}")


def simulated(words: tuple[str, ...], out: Path, how: Setting, *, as_is: bool = False) -> dict[str, Any]:
    """The record of a run: sampled, or gone on with, unless it is finished and taken as it is."""
    if not (as_is and (out / "run.json").is_file()):
        called(["simulate", *words, *how.sampling, "--num-images", str(how.images), "--out", str(out)])
    return dict(json.loads((out / "run.json").read_text(encoding="utf-8")))


def lpips_words(how: Setting, side: int) -> list[str]:
    """The words after ``fpsim score A B`` for LPIPS; images that are too small are resized."""
    words = ["--metric", "lpips", "--lpips", str(how.lpips)]
    return [*words, "--lpips-size", str(LPIPS_SIZE)] if side < LPIPS_SIZE // 2 else words


def lpips(out: Path, label: str, how: Setting) -> tuple[float, str] | None:
    """A row's mean paired LPIPS against full precision, and the resize rule; None without its weights."""
    if how.lpips is None:
        return None
    from fpsim.features.images import read

    side = min(read(f"{out}#full precision").images.shape[1:3])
    kept = out / "lpips.json"
    words = lpips_words(how, side)
    called(["score", f"{out}#{label}", f"{out}#full precision", *words, "--out", str(kept)])
    found = json.loads(kept.read_text(encoding="utf-8"))
    return float(found["scores"][0]["value"]), str(found["lpips"]["resize"])
