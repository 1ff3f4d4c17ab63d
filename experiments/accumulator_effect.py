"""What does a tensor core's accumulator do to layers and images? E4M3 weights and activations, several arithmetics.

    python experiments/accumulator_effect.py [--images 16] [--steps 20] [--batch 4] [--plot FILE.png] [--smoke]

All rows have the same quantized weights and activation scales; only what adds up the products differs: exact sums
(float64, rounded to FP32 once), torch's FP32, and GPUs' cores bit for bit. Layer by layer, each arithmetic multiplies
the same operands, and its output is compared with that of exact sums. Then each samples the same images.

A rounded activation that flips to its neighbour because a sum differs in its last bit changes what follows, so two
equally good arithmetics give images that differ. How far is shown by torch's FP32 against exact sums: what a core adds
must be seen above that. Finished batches are kept in --folder: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from accumulator_layers import Exact, layer_errors
from accumulator_plot import draw

import fpsim
from fpsim.cli.progress import Bar
from fpsim.measure.paired import psnr_db
from fpsim.methods.calibration import Calibration, calibrate
from fpsim.methods.environment import environment
from fpsim.methods.timesteps import timestep_errors
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.compute import compute_with
from fpsim.model.load import LoadedModel, load
from fpsim.sample.run import sample_into
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import BatchStore, RunFolder

EXACT, FULL, TORCH = "exact sums", "full precision", "torch FP32"
POLICY = fpsim.Policy.uniform("e4m3", "e4m3")
PROMOTED = ("hopper", "hopper, promoted every 128")
CORES = {
    "hopper": Arithmetic(arch="hopper"),
    "hopper, promoted every 128": Arithmetic(arch="hopper", promote_every=128),
    "ada": Arithmetic(arch="ada"),
    "blackwell-sm100": Arithmetic(arch="blackwell-sm100"),
}


def attached(model: LoadedModel, name: str, found: Calibration) -> fpsim.model.attach.Handle:
    """Quantize the model and let an arithmetic compute."""
    handle = fpsim.quantize_(model.denoiser, POLICY, found.samples)
    if name in CORES or name == EXACT:
        compute_with(model.denoiser, handle, CORES.get(name, CORES["hopper"]))
    if name == EXACT:
        for module in model.denoiser.modules():
            product = getattr(vars(module).get("forward"), "product", None)
            if product is not None:
                product.cores = [Exact()] * len(product.cores)
    return handle


def sampled(
    model: LoadedModel, spec: SampleSpec, folder: RunFolder, name: str, found: Calibration | None
) -> BatchStore:
    """Sample what is not there yet; in full precision without a calibration."""
    store, batches = folder.store(name), len(spec.batches())
    with Bar("step") as bar:

        def on_step(batch: int, done: int, total: int) -> None:
            bar(name, batch * total + done, batches * total)

        if found is None:
            sample_into(store, model, spec, keep_trajectory=True, on_step=on_step)
        elif not all(store.has(batch) for batch in range(batches)):
            print(f"sampling: {name}", file=sys.stderr, flush=True)
            with attached(model, name, found):
                sample_into(store, model, spec, keep_trajectory=True, on_step=on_step)
    return store


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured, as JSON values."""
    model = load("bundled")
    spec = SampleSpec(steps=args.steps, num_images=args.images, batch_size=args.batch, seed=0)
    identity = {"model": model.sha256, "steps": args.steps, "images": args.images, "batch": args.batch}
    folder = RunFolder(args.folder, {**identity, "cores": [str(core) for core in CORES.values()], **environment()})
    full, batches = sampled(model, spec, folder, FULL, None), len(spec.batches())
    found = calibrate(model, spec, min(8, args.images), args.folder / "resume" / "calibration", lambda *_: None)
    stores = {name: sampled(model, spec, folder, name, found) for name in (EXACT, TORCH, *CORES)}
    kept = args.folder / "resume" / "layers.json"
    if not kept.is_file():
        kept.write_text(json.dumps(layer_errors(model, POLICY, found, CORES)), encoding="utf-8")
    reference, exact = full.merge(batches), stores[EXACT].merge(batches)
    return {
        "hash": folder.sha256[:16],
        "model": model.name,
        "layers": json.loads(kept.read_text(encoding="utf-8")),
        "psnr": {name: psnr_db(reference, store.merge(batches)).tolist() for name, store in stores.items()},
        "psnr_exact": {name: psnr_db(exact, store.merge(batches)).tolist() for name, store in stores.items()},
        "steps": {name: timestep_errors(full, store, batches) for name, store in stores.items()},
        "steps_exact": {name: timestep_errors(stores[EXACT], store, batches) for name, store in stores.items()},
    }


def mean_db(values: list[float]) -> float:
    """The PSNR of the mean squared error."""
    error = float(np.mean(10 ** (-np.array(values) / 10)))
    return -10 * float(np.log10(error)) if error else float("inf")


def spread(values: list[float]) -> str:
    """A mean with its standard error."""
    return f"{statistics.mean(values):+.2f} ± {statistics.stdev(values) / len(values) ** 0.5:.2f}"


def tables(found: dict[str, Any], args: argparse.Namespace) -> None:
    """Print what was found."""
    print(f"{found['model']}, e4m3/e4m3 (weights per channel, activations per tensor), {args.images} images,")
    print(f"{args.steps} steps, seed 0; run {found['hash']}")
    print("\nLayers' outputs against exact sums of the same operands, SQNR in dB")
    print(f"{'':28}{'median':>8}{'worst':>8}  worst layer (K)")
    for name, layers in found["layers"].items():
        worst = min(layers, key=lambda layer: layer["sqnr_db"])
        middle = statistics.median(layer["sqnr_db"] for layer in layers)
        print(f"{name:28}{middle:8.1f}{worst['sqnr_db']:8.1f}  {worst['name']} ({worst['k']})")
    print("\nImages: PSNR in dB against full precision, its difference from exact sums image by image, PSNR against")
    print("the images of exact sums; latent SQNR in dB against full precision at the last step")
    print(f"{'':28}{'PSNR':>8}{'difference':>18}{'to exact':>10}{'last latent':>13}")
    for name, values in found["psnr"].items():
        apart = [a - b for a, b in zip(values, found["psnr"][EXACT], strict=True)]
        last = found["steps"][name][-1]["latent_sqnr_db"]
        same = mean_db(found["psnr_exact"][name])
        print(f"{name:28}{mean_db(values):8.2f}{spread(apart):>18}{same:10.2f}{last:13.2f}")
    print("\nDenoiser's output against that of exact sums along its own trajectory, SQNR in dB, by step")
    chosen = sorted({round(i * (args.steps - 1) / 5) for i in range(6)})
    print(f"{'step':28}" + "".join(f"{step:8}" for step in chosen))
    for name, steps in found["steps_exact"].items():
        if name != EXACT:
            print(f"{name:28}" + "".join(f"{steps[step]['output_sqnr_db']:8.1f}" for step in chosen))


def verdict(found: dict[str, Any]) -> None:
    """Print what follows from it."""
    quantized, psnr = found["layers"]["quantization"], found["psnr"]
    print("\nVerdict")
    for name in (TORCH, *CORES):
        pairs = zip(found["layers"][name], quantized, strict=True)
        margins = [ours["sqnr_db"] - rounding["sqnr_db"] for ours, rounding in pairs]
        apart = [a - b for a, b in zip(psnr[name], psnr[EXACT], strict=True)]
        seen = abs(statistics.mean(apart)) > 2 * statistics.stdev(apart) / len(apart) ** 0.5
        print(
            f"- {name}: sums err {statistics.median(margins):.0f} dB below the rounding of the operands (median layer; "
            f"least {min(margins):.0f} dB);\n  images {spread(apart)} dB against exact sums: "
            f"{'more' if seen else 'no more'} than two standard errors."
        )
    plain, promoted = (found["layers"][name] for name in PROMOTED)
    gains = {layer["k"]: 0.0 for layer in plain}
    for k in gains:
        gains[k] = statistics.mean(
            b["sqnr_db"] - a["sqnr_db"] for a, b in zip(plain, promoted, strict=True) if a["k"] == k
        )
    said = ", ".join(f"{gains[k]:.0f} dB (K {k})" for k in sorted(gains) if k >= 128)
    print(f"- Promotion every 128 gains, by the length of hopper's sums: {said}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("runs/accumulator_effect"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.images < 2:
        raise SystemExit("error: --images: at least 2 are needed for a standard error")
    if args.smoke:
        args.images, args.steps, args.batch, args.folder = 2, 2, 2, args.folder / "smoke"
    found = run(args)
    tables(found, args)
    verdict(found)
    draw(found, args.plot or args.folder / "accumulator_effect.png")


if __name__ == "__main__":
    main()
