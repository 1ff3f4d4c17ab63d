"""What turns few bits into a collapse: channels of unlike size in one tensor. The same function, other weights.

    python experiments/bits_spread.py [--images 16] [--steps 20] [--smoke]

A residual block's first convolution and its time projection end in a group norm, which undoes any scale of a whole
group of channels. So one group of each block (one eighth of its channels) can be made 4, 16 or 64 times as strong
without another image: the table's `exact` compares full precision before and after. What such outlier channels do to
formats that share one scale over the tensor, and not to scales per channel, stands in the columns. Factors are powers
of two, which leave every per-channel code as it was. Weights only; a bare U-Net is needed, as the bundled model is.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import Setting, add_options, mean_psnr, setting, simulated
from torch import nn

from fpsim.model.layers import quantizable
from fpsim.model.load import load
from fpsim.report.files import load_images

FACTORS = (1, 4, 16, 64)
NEAREST = ("int8", "e4m3", "e5m2", "int6", "int4", "e2m1")
LEARNED = ("int4", "e2m1")
ITERATIONS = 300


def strengthened(model: Any, factor: int) -> list[str]:
    """Make one group of each residual block's first outputs so many times as strong; the layers that it touches."""
    touched = []
    names = {id(module): name for name, module in model.named_modules()}
    blocks = [module for module in model.modules() if type(module).__name__ == "ResnetBlock2D"]
    for number, block in enumerate(blocks):
        norm: nn.GroupNorm = block.norm2
        size, group = norm.num_channels // norm.num_groups, number % norm.num_groups
        rows = slice(group * size, (group + 1) * size)
        for layer in (block.conv1, block.time_emb_proj):
            with torch.no_grad():
                layer.weight[rows] *= factor
                layer.bias[rows] *= factor
            touched.append(names[id(layer)])
    return touched


def saved(how: Setting, factor: int, folder: Path) -> tuple[Path, float]:
    """The folder of the model with strengthened groups, and the median over them of largest by rms weight."""
    model = load(how.model)
    if model.pipeline is not None:
        raise SystemExit("error: this experiment takes a bare U-Net; give a folder with a UNet2DModel")
    touched = strengthened(model.denoiser, factor)
    if not touched:
        raise SystemExit("error: the model has no residual block with a group norm after its first convolution")
    layers: dict[str, Any] = dict(quantizable(model.denoiser))
    weights = [layers[name].weight.detach() for name in touched]
    out = folder / f"model-{factor}"
    if not out.is_dir():
        model.denoiser.save_pretrained(out)
        model.scheduler.save_pretrained(out)
    return out, statistics.median(float(w.abs().max() / w.square().mean().sqrt()) for w in weights)


def cells(how: Setting, out: Path, *, smoke: bool) -> dict[str, tuple[float, str]]:
    """PSNR and run hash of every column: nearest per tensor and per channel, and learned per tensor."""
    found: dict[str, tuple[float, str]] = {}
    learned = ("--method", "chen2024", "--no-format-search", *how.rounding(ITERATIONS))
    parts = [
        ("tensor", "nearest", NEAREST, ()),
        ("channel", "nearest", NEAREST, ()),
        ("tensor", "learned", LEARNED, learned),
    ]
    for where, rounding, names, method in parts[: 2 if smoke else None]:
        chosen = names[:2] if smoke else names
        words = tuple(word for name in chosen for word in ("--quant", f"{name}/none"))
        record = simulated((*words, *method, "--weights-granularity", where), out / f"{where}-{rounding}", how)
        for name, row in zip(chosen, record["rows"], strict=True):
            found[f"{where} {rounding} {name}"] = float(row["psnr_db"]["mean"]), record["run_hash"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "runs/bits_spread", images=16)
    args = parser.parse_args()
    how = setting(args)
    folder = args.folder / how.folder
    print(f"one group of channels a block made stronger: {how.model} model\n{how.tier}")
    columns: dict[int, dict[str, tuple[float, str]]] = {}
    first = None
    for factor in FACTORS[: 2 if args.smoke else None]:
        path, peak = saved(how, factor, folder)
        columns[factor] = cells(replace(how, model=str(path)), folder / f"x{factor}", smoke=args.smoke)
        images = load_images(folder / f"x{factor}" / "tensor-nearest" / "images" / "full-precision.npz")
        first = images if first is None else first
        exact = mean_psnr(first, images)
        print(
            f"x{factor}: largest by rms weight {peak:.1f} (median of touched layers); exact {exact:.1f} dB", flush=True
        )
    print(f"\n{'PSNR dB':<24}" + "".join(f"{f'x{factor}':>8}" for factor in columns) + "  runs")
    for name in next(iter(columns.values())):
        values = "".join(f"{found[name][0]:8.2f}" for found in columns.values())
        print(f"{name:<24}{values}  {' '.join(found[name][1] for found in columns.values())}")


if __name__ == "__main__":
    main()
