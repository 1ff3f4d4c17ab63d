"""Why do images collapse at few bits, and through which layers? Evidence layer by layer.

    python experiments/bits_layers.py [--format int3] [--granularity tensor] [--images 16] [--steps 20] [--smoke]

Only weights are rounded, to nearest, with one format for all layers. For every layer: its weight's shape (kurtosis,
largest magnitude by root mean square, spread over output channels), what rounding does to the weight (SQNR, zeros,
levels in use) and to the layer's own output, then PSNR of whole sampling runs with this layer alone rounded, and with
all others but it. Below: what the layers' harm goes with (rank correlation), how many layers must stay in full
precision until the images come back, and what is left when only the mean of each output channel's error is taken out
of its bias. `learned` has learned rounding (Chen et al. 2024) in place of nearest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bits_layer_facts import Call, Facts, mean_errors, measured
from common import Setting, add_options, mean_psnr, setting
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fpsim.methods.chen2024 import settings
from fpsim.methods.environment import code_hash
from fpsim.methods.rounding_calls import record_calls
from fpsim.methods.rounding_settings import options as rounding_options
from fpsim.model.attach import quantize_
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel, load
from fpsim.quant.policy import Policy, Rule, spec
from fpsim.report.files import write_atomically
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec

OTHERS = [
    (fmt, where) for fmt in ("int4", "e2m1", "int3", "e2m0", "int2") for where in ("tensor", "channel", "block:32")
]
ITERATIONS, SAMPLES = 300, 5
#: Layers that a smoke test looks at.
FEW = 3
KEPT = (1, 2, 4, 8, 16, 32)


class Sampled:
    """PSNR of sampling runs in which some layers are rounded, kept in a file as they are found."""

    def __init__(self, model: LoadedModel, how: Setting, kind: tuple[str, str], folder: Path) -> None:
        prompts = tuple(how.prompts.read_text(encoding="utf-8").split("\n")) if how.prompts else None
        self.spec = SampleSpec(
            steps=how.steps, num_images=how.images, batch_size=how.batch, seed=0, prompts=prompts and _lines(prompts)
        )
        self.model, self.kind = model, kind
        decides = [model.sha256, code_hash(), *kind, how.images, how.steps, how.batch, how.device, prompts]
        self.hash = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]
        self.path = folder / f"{self.hash}.json"
        self.known: dict[str, float] = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self._reference: NDArray[np.uint8] | None = None

    def psnr(self, key: str, names: Sequence[str]) -> float:
        """PSNR in dB, of the mean squared error over all images, with these layers rounded."""
        if key not in self.known:
            value = mean_psnr(self.reference(), self._images(names))
            self.known[key] = value if np.isfinite(value) else 99.0
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.known).encode())
        return self.known[key]

    def reference(self) -> NDArray[np.uint8]:
        """The full-precision images, sampled once."""
        if self._reference is None:
            self._reference = self._images([])
        return self._reference

    def _images(self, names: Sequence[str]) -> NDArray[np.uint8]:
        weights = spec(*self.kind, "mse")
        policy = Policy(tuple(Rule(match=name, weights=weights, acts=None) for name in names))
        with quantize_(self.model.denoiser, policy):
            return np.concatenate([sample_batch(self.model, self.spec, batch) for batch in self.spec.batches()])


def _lines(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


def corrected(sampled: Sampled, calls: Sequence[Call], names: Sequence[str]) -> float:
    """PSNR with every layer rounded and the mean of its error taken out of its bias."""
    layers: dict[str, Any] = dict(quantizable(sampled.model.denoiser))
    means = mean_errors(sampled.model.denoiser, calls, sampled.kind)
    kept = {name: layers[name].bias.detach().clone() for name in means if layers[name].bias is not None}
    sampled.reference()
    try:
        with torch.no_grad():
            for name in kept:
                layers[name].bias -= means[name]
        return sampled.psnr("mean error corrected", names)
    finally:
        with torch.no_grad():
            for name, bias in kept.items():
                layers[name].bias.copy_(bias)


def layer_table(facts: Mapping[str, Facts], alone: Mapping[str, float], without: Mapping[str, float]) -> None:
    """The layers, the most harmful first."""
    print(f"{'layer':<42} weights  kurt  peak spread |  SQNR zero % levels | output align first learned | alone others")
    for name in sorted(facts, key=lambda name: alone[name]):
        f = facts[name]
        learned = f"{f.learned:7.1f}" if f.learned is not None else "      –"
        print(f"{name:<42} {f.count:>7} {f.kurtosis:5.1f} {f.peak:5.1f} {f.spread:6.2f} | {f.sqnr:5.1f} "
              f"{100 * f.zeros:6.1f} {f.levels:6.0f} | {f.output:6.1f} {f.aligned:5.1f} {f.first:5.2f} {learned} | "
              f"{alone[name]:5.1f} {without[name]:6.1f}")  # fmt: skip


def summaries(found: Mapping[tuple[str, str], Mapping[str, Facts]]) -> None:
    """Medians and extremes over layers, a line a format and granularity."""
    print(f"\n{'format':<6} {'weights':<9} SQNR dB: median, least   zeros: median, most   output dB: median, least")
    for (fmt, where), layers in found.items():
        every = list(layers.values())
        sqnr, zeros, output = ([getattr(f, key) for f in every] for key in ("sqnr", "zeros", "output"))
        middle = statistics.median
        print(f"{fmt:<6} {where:<9} {middle(sqnr):15.1f} {min(sqnr):7.1f} {100 * middle(zeros):14.1f} % "
              f"{100 * max(zeros):4.1f} % {middle(output):17.1f} {min(output):7.1f}")  # fmt: skip


def relations(facts: Mapping[str, Facts], alone: Mapping[str, float]) -> None:
    """Rank correlations of the error of each layer's output, and of the images, with what a layer is like."""
    names = list(facts)
    tried: dict[str, Callable[[Facts], float]] = {
        "weight SQNR": lambda f: f.sqnr, "kurtosis": lambda f: f.kurtosis, "peak": lambda f: f.peak,
        "spread": lambda f: f.spread, "zeros": lambda f: f.zeros, "count": lambda f: f.count,
        "alignment": lambda f: f.aligned, "output SQNR": lambda f: f.output,
    }  # fmt: skip
    targets = {"weight SQNR": [facts[n].sqnr for n in names], "output SQNR": [facts[n].output for n in names],
               "PSNR alone": [alone[n] for n in names]}  # fmt: skip
    print(f"\nrank correlation over {len(names)} layers with {', '.join(targets)}")
    for what, value in tried.items():
        values = [value(facts[name]) for name in names]
        found = (spearmanr(values, target).statistic for target in targets.values())
        print(f"{what:<12}" + "".join(f"{each:+8.2f}" for each in found))


def report(sampled: Sampled, how: Setting, learn: int, *, smoke: bool) -> None:
    model, kind = sampled.model, sampled.kind
    names = [name for name, _ in quantizable(model.denoiser)]
    chosen = settings({"rounding_iters": learn}, model.kind, how.steps)
    calls = record_calls(model, sampled.spec, 2 if smoke else SAMPLES, lambda _done, _total: None)
    kinds = [kind, *(other for other in OTHERS if other != kind)][: 2 if smoke else None]
    found = measured(model.denoiser, calls, kinds, rounding_options(chosen), FEW if smoke else None)
    tried = [name for name in names if name in found[kind]]
    everything = sampled.psnr("all", names)
    alone = {name: sampled.psnr(f"alone {name}", [name]) for name in tried}
    without = {name: sampled.psnr(f"without {name}", [n for n in names if n != name]) for name in tried}
    facts = found[kind]
    layer_table(facts, alone, without)
    summaries(found)
    relations(facts, alone)
    print(f"\nPSNR, {kind[0]} per {kind[1]}: all {len(names)} layers {everything:.2f} dB")
    worst = sorted(tried, key=lambda name: alone[name])
    for count in KEPT[: 1 if smoke else None]:
        kept = set(worst[:count])
        value = sampled.psnr(f"kept {count}", [name for name in names if name not in kept])
        share = sum(facts[name].count for name in kept) / sum(f.count for f in found[kind].values())
        print(f"the {count} most harmful layers in full precision ({share:.1%} of the weights): {value:.2f} dB")
    print(f"mean of each channel's error taken out of the bias: {corrected(sampled, calls, names):.2f} dB")
    loss = statistics.median(f.sqnr - (f.learned_sqnr or f.sqnr) for f in facts.values())
    gain = statistics.median((f.learned or f.output) - f.output for f in facts.values())
    print(f"learned rounding, median over layers: weight SQNR {-loss:+.1f} dB, output SQNR {gain:+.1f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", default="int3")
    parser.add_argument("--granularity", default="tensor")
    add_options(parser, "runs/bits_layers", images=16)
    args = parser.parse_args()
    how = setting(args)
    model = load(how.model, device=how.device)
    sampled = Sampled(model, how, (args.format, args.granularity), args.folder)
    print(f"{args.format} per {args.granularity}, {model.name}, run {sampled.hash}\n{how.tier}")
    report(sampled, how, how.iterations or ITERATIONS, smoke=args.smoke)


if __name__ == "__main__":
    main()
