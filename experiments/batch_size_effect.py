"""How much does the batch size change images? Same model, noise and format; batches of 16, 4 and 1.

    python experiments/batch_size_effect.py [--model bundled] [--steps 20] [--num-images 16] [--smoke]

Each image has its own seed, so the noise is the same; float32 convolutions differ in the last bits between batch
sizes, and sampling and rounding amplify that. Prints how far the images of smaller batches are from those of one
batch, for full precision and for a quantized model with the same scales.
"""

from __future__ import annotations

import argparse

import numpy as np

import fpsim
from fpsim.measure.paired import paired_scores
from fpsim.model.load import load
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--num-images", type=int, default=16)
    parser.add_argument("--quant", nargs=2, default=["e4m3", "e4m3"], metavar=("W", "A"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.steps, args.num_images = 2, 4
    model = load(args.model)

    def images(batch: int, first: int = 0) -> np.ndarray:
        count = first + args.num_images
        spec = SampleSpec(
            steps=args.steps, num_images=count, batch_size=batch, seed=0, scheduler=None, prompts=None,
            guidance_scale=None,
        )  # fmt: skip
        chunks = [range(i, min(i + batch, count)) for i in range(first, count, batch)]
        return np.concatenate([sample_batch(model, spec, chunk) for chunk in chunks])

    print(f"{model.name}, {args.steps} steps, {args.num_images} images; each row against batches of {args.num_images}")
    print(f"{'format':24s}{'batch':>6s}{'pixels that differ':>20s}{'largest, of 255':>17s}{'PSNR dB':>9s}")
    policy = fpsim.Policy.uniform(*args.quant)
    for label in ("full precision", "/".join(args.quant)):
        quantized = label != "full precision"
        # Static scales from other noise, so that every batch size rounds with the same ones.
        handle = fpsim.quantize_(model.denoiser, policy, lambda _: images(args.num_images, 1000)) if quantized else None
        whole = images(args.num_images)
        for batch in (args.num_images // 4, 1):
            parts = images(batch)
            differ = np.abs(parts.astype(int) - whole)
            psnr = paired_scores(whole, parts).psnr_db_mean
            print(f"{label:24s}{batch:6d}{(differ > 0).mean():20.2%}{differ.max():17d}{psnr:9.1f}")
        if handle is not None:
            handle.remove()


if __name__ == "__main__":
    main()
