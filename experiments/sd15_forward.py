"""One forward pass of the full-size Stable Diffusion 1.5 U-Net in number formats, on the CPU, with random weights.

    python experiments/sd15_forward.py [--weights e2m1 --acts e4m3] [--smoke]

The architecture is the published one (859,520,964 parameters), the latents are 64 × 64, the context 77 × 768. Prints
the time of each phase and the peak memory of the process. Random weights say nothing about images; this shows that
a real model's size fits and what it costs. ``--smoke`` takes a small U-Net of the same kind.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import pairwise

import torch
from diffusers import UNet2DConditionModel

import fpsim

#: config.json of the SD 1.5 U-Net, as published; everything else is the class's default.
SD15 = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
    "norm_num_groups": 32,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
PARAMETERS = 859_520_964


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="e2m1")
    parser.add_argument("--acts", default="e4m3")
    parser.add_argument("--scale", default="mse")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    config = {**SD15, "block_out_channels": [32, 64, 64, 64], "attention_head_dim": 4} if args.smoke else SD15
    torch.manual_seed(0)
    marks = [("start", time.monotonic())]
    model = UNet2DConditionModel.from_config(config).eval()
    count = sum(p.numel() for p in model.parameters())
    if not args.smoke and count != PARAMETERS:
        raise SystemExit(f"error: the U-Net has {count:,} parameters, but SD 1.5's has {PARAMETERS:,}")
    marks.append(("build with random weights", time.monotonic()))
    x, context = torch.randn(args.batch, 4, 64, 64), torch.randn(args.batch, 77, 768)
    with torch.no_grad():
        exact = model(x, 500, context).sample
        marks.append(("full-precision forward", time.monotonic()))
        policy = fpsim.Policy.uniform(weights=args.weights, acts=args.acts, scale=args.scale)
        handle = fpsim.quantize_(model, policy)
        marks.append((f"quantize the weights to {args.weights}", time.monotonic()))
        rounded = model(x, 500, context).sample
        marks.append((f"{args.weights}/{args.acts} forward", time.monotonic()))
    signal, noise = exact.double().square().sum(), (exact.double() - rounded.double()).square().sum()
    print(f"{count:,} parameters, {len(handle.coverage.quantized)} layers quantized, batch {args.batch}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for (_, before), (what, after) in pairwise(marks):
        print(f"{what:34s} {after - before:8.1f} s")
    size, full = handle.coverage.bytes / 1e6, 4 * count / 1e6
    sqnr = 10 * torch.log10(signal / noise)
    print(f"output SQNR {sqnr:.1f} dB (random weights); {size:.0f} MB instead of {full:.0f} MB")
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
