"""Figures of costs: a roofline of SD 1.5 on four devices, and figures 4 and 5 of Chen et al. 2024.

    python experiments/cost_figures.py [--out experiments/results]

Figure 4 is time by class on the paper's GPU and CPU at batch 1 and 8, from the published calibration; figure 5 is peak
memory on an A100 with 80 GB, three score matrices alive at once. ``--smoke`` takes the bundled model.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from fpsim.cost.catalogue import lookup
from fpsim.cost.device_file import find
from fpsim.cost.estimating import estimate
from fpsim.cost.memory import sweep
from fpsim.cost.memory_options import PAPER_SCORE_COPIES, MemoryOptions
from fpsim.cost.result import Estimate
from fpsim.cost.workload import Model, load
from fpsim.quant.policy import Policy
from fpsim.report.cost_charts import memory_by_batch, roofline, time_by_class
from fpsim.report.cost_plots import write

#: Bytes that the paper measured, by batch.
PAPER = {1: 8.37e9, 16: 54.9e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw("bundled" if args.smoke else "sd15", Path(folder) if args.smoke else args.out)


def draw(name: str, out: Path) -> None:
    model = load(name)
    policy = Policy.uniform(weights="e4m3", acts="e4m3")
    devices = ("v100", "orin-agx", "h100-sxm", "b200")
    rooflines = [estimate(model, device=device, policy=policy, batch=8, runtime="compiled") for device in devices]
    write(lambda: roofline(rooflines), out / "cost_roofline.png")
    bars = [
        (f"{label}\nbatch {batch}", paper_step(model, device, batch))
        for label, device in (("Xeon 5115", "xeon-5115"), ("V100", "v100"))
        for batch in (1, 8)
    ]
    write(lambda: time_by_class(bars), out / "cost_figure4.png")
    options = MemoryOptions(
        attention="naive",
        score_copies=PAPER_SCORE_COPIES,
        cfg=True,
        resident=lookup(name).resident,
    )
    found = sweep(model.traces[0], (1, 2, 4, 8, 16), options)
    write(lambda: memory_by_batch(found, PAPER, find("a100-80").memory.value), out / "cost_figure5.png")
    for path in ("cost_roofline.png", "cost_figure4.png", "cost_figure5.png"):
        print(f"{path}: {(out / path).stat().st_size / 1e3:.0f} kB")
    print("figure 5, GB:", ", ".join(f"batch {item.images}: {item.total / 1e9:.2f}" for item in found))


def paper_step(model: Model, device: str, batch: int) -> Estimate:
    """A step as the paper ran it: FP32, naive attention, guidance."""
    return estimate(model, device=device, batch=batch, dtype="fp32", attention="naive", cfg=True)


if __name__ == "__main__":
    main()
