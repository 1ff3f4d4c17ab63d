"""Figures 6 and 11 of Chen et al. 2024 on the bundled model: the regularizer of learned rounding, and zeros.

    python experiments/paper_figures.py [--out experiments/results] [--smoke]

Figure 6 is the regularizer, equation 14, that drives a weight's rounding to one side. Beside it stands what it does:
where the positions between two values of FP4 end up in one layer, without it, with the printed equation, and with the
exponent that falls from 20 to 2, and what hardening them at 0.5 then costs. Figure 11 is the share of weights that are
zero: full precision, FP8 and FP4 with formats searched tensor by tensor, FP4 with learned rounding, and integers
beside them. Its runs sample a few images for their record only, which holds every layer's zeros.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Setting, add_options, called, setting, simulated
from figure_plots import Regularized, Zeros, draw_regularizer, draw_zeros
from learned_rounding_layers import grams

import fpsim
from fpsim.model.layers import quantizable
from fpsim.model.load import load
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.grid import rounding_grid
from fpsim.quant.rounding.parametrization import Parametrization
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic
from fpsim.quant.rounding.regularizer import Schedule, penalty_slope

LAYER = "mid_block.resnets.0.conv1"
TENSOR = ("--weights-granularity", "tensor")
ITERATIONS = 1000
#: What is compared in figure 6: name, h(α), regularizer.
TRIED = (
    ("no regularizer", "sigmoid", Schedule(weight=0.0)),
    ("equation 14 as printed: exponent 20", "sigmoid", Schedule(weight=3.0, beta_end=20.0, warmup=0.0)),
    ("exponent 20 falling to 2, rectified", "rectified", Schedule(weight=3.0)),
)
#: Positions in between are undecided.
UNDECIDED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer's rounding as matrices: lower neighbours, steps, positions, and its output's quadratic form."""

    lower: torch.Tensor
    step: torch.Tensor
    fraction: torch.Tensor
    exact: torch.Tensor
    form: Any

    def loss(self, h: torch.Tensor) -> float:
        """Mean squared error of the output at positions between the neighbours."""
        return mean_squared_error(self.form, self.lower + self.step * h - self.exact)


def layer_of(how: Setting, name: str, samples: int) -> Layer:
    """A layer at FP4 (e2m1), per tensor, with the inputs of one calibration run."""
    model = load(how.model)
    weight = dict(quantizable(model.denoiser))[name].weight.detach()
    gram = grams(model, how.steps, samples, 0)[name]
    grid = rounding_grid(weight, fpsim.Quantizer("e2m1", fpsim.PerTensor()).fit(weight))
    parts = {"lower": grid.lower, "step": grid.step, "fraction": grid.fraction, "exact": weight}
    matrices = {key: as_matrices(part.double(), len(gram.hessian)) for key, part in parts.items()}
    return Layer(**matrices, form=quadratic(gram, weight))


def descended(layer: Layer, kind: str, schedule: Schedule, iterations: int) -> torch.Tensor:
    """Positions after Adam on the error relative to nearest's plus the mean penalty: equation 13."""
    shape = Parametrization(kind)
    alpha = shape.start(layer.fraction).requires_grad_()
    optimizer = torch.optim.Adam([alpha], lr=3e-2)
    groups, rows, _ = layer.step.shape
    factor = 1 / (layer.loss((layer.fraction >= 0.5).double()) * layer.form.count * groups * rows)
    for iteration in range(iterations):
        with torch.no_grad():
            h, slope = shape.value_and_slope(alpha)
            of_h = 2 * factor * layer.form.gradient(layer.lower + layer.step * h - layer.exact) * layer.step
            weight, beta = schedule.at(iteration, iterations)
            if weight:
                of_h += weight / layer.step.numel() * penalty_slope(h, beta)
            alpha.grad = of_h * slope
        optimizer.step()
    return shape.value(alpha).detach()


def regularized(how: Setting, iterations: int, samples: int) -> list[Regularized]:
    """Figure 6's panels: positions, and output errors of the soft and the hardened weight by that of nearest."""
    layer = layer_of(how, LAYER, samples)
    nearest = layer.loss((layer.fraction >= 0.5).double())
    found = []
    for name, kind, schedule in TRIED:
        h = descended(layer, kind, schedule, iterations)
        between = float(((h > UNDECIDED) & (h < 1 - UNDECIDED)).double().mean())
        soft, hard = layer.loss(h) / nearest, layer.loss((h >= 0.5).double()) / nearest
        found.append(Regularized(name=name, h=h.flatten().numpy(), undecided=between, soft=soft, hard=hard))
    return found


def zeros(how: Setting, folder: Path, *, smoke: bool) -> list[Zeros]:
    """Figure 11's rows: every layer's share of zeros, and that of all weights, with the run's hash."""
    layers = [module.weight.detach() for _, module in quantizable(load(how.model).denoiser)]
    found = [_row("full precision", [(float((w == 0).double().mean()), w.numel()) for w in layers], "–")]
    widths = (8,) if smoke else (8, 4, 3)
    words: dict[str, tuple[str, ...]] = {}
    for bits in widths:
        policy = folder / f"w{bits}.toml"
        if not policy.exists():
            folder.mkdir(parents=True, exist_ok=True)
            called(["search", "--weights-bits", str(bits), *how.sampling, *how.searching, "--out", str(policy)])
        words[f"FP{bits}"] = ("--policy", str(policy))
        if bits == 4:
            method = ("--method", "chen2024", "--quant", "e2m1/none", *how.rounding(300), *how.searching)
            words["FP4, learned rounding"] = (*method, *TENSOR)
    words |= {f"INT{bits}": ("--quant", f"int{bits}/none", *TENSOR) for bits in widths}
    for name, chosen in words.items():
        record = simulated(chosen, folder / name.lower().replace(", ", "-").replace(" ", "-"), how)
        shares = [(x["weight_sparsity"], x["weight_count"]) for x in record["rows"][0]["layers"]]
        found.append(_row(name, shares, record["run_hash"]))
    return found


def _row(name: str, layers: list[tuple[float, int]], run: str) -> Zeros:
    shares, counts = np.array([share for share, _ in layers]), np.array([count for _, count in layers])
    return Zeros(name=name, layers=shares, weights=int(counts.sum()), count=round((shares * counts).sum()), run=run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "runs/paper_figures", images=4)
    parser.add_argument("--out", type=Path, default=Path("experiments/results"))
    args = parser.parse_args()
    how = setting(args)
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"{how.model} model\n{how.tier}\n\nfigure 6: {LAYER}, e2m1 per tensor, output error by that of nearest")
    print(f"{'':<38} undecided    soft  hardened at 0.5")
    found = regularized(how, 5 if args.smoke else how.iterations or ITERATIONS, 2 if args.smoke else 5)
    for panel in found:
        print(f"{panel.name:<38} {panel.undecided:9.1%} {panel.soft:7.3f} {panel.hard:16.3f}")
    draw_regularizer(found, args.out / "figure6.png")
    rows = zeros(how, args.folder / how.folder, smoke=args.smoke)
    base = rows[0].total
    print("\nfigure 11: weights that are zero\n" + f"{'':<24} all weights  by full precision  median layer  most  run")
    for row in rows:
        times = f"x {row.total / base:,.1f}" if base else "–"
        print(f"{row.name:<24} {row.total:11.5%} {times:>18} {np.median(row.layers):13.2%} {row.layers.max():5.1%}"
              f"  {row.run}", flush=True)  # fmt: skip
    print(f"full precision has {rows[0].count} zeros among {rows[0].weights:,} weights")
    draw_zeros(rows, args.out / "figure11.png")


if __name__ == "__main__":
    main()
