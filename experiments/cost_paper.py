"""What Chen et al. 2024, section III, say about time on a GPU and a CPU, beside the model's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fpsim.cost.device_file import find
from fpsim.cost.latency import seconds
from fpsim.cost.parameters import Parameters
from fpsim.cost.runtime import Setting
from fpsim.cost.workload import Part, load, parts

#: "Conv2d and linear layers (including layers inside the attention units)": the products of attention are among them.
PRODUCTS = ("conv", "linear", "attention")


def paper(parameters: Parameters, target: Callable[..., Any]) -> list[Any]:
    """Print the paper's characterization of SD 1.5 beside ours and return the targets."""
    model, times = load("sd15"), {}
    setting = Setting(attention="naive", dtype="fp32", stack="torch-1")
    print("\nSD 1.5 in FP32, naive attention, a step with guidance: seconds and shares of time")
    for name in ("v100-sxm2", "xeon-5115"):
        for images in (1, 8):
            part = parts(model, find(name), setting, policy=None, images=images, cfg=True, steps=50)[0]
            each = seconds(part.ideal, parameters, setting) * parameters.devices.get(name, 1.0)
            times[name, images] = summary(f"{name:10s} batch {images}", part, each.tolist())
    gpu, cpu = times["v100-sxm2", 1], times["xeon-5115", 1]
    ratio = {images: times["xeon-5115", images]["total"] / times["v100-sxm2", images]["total"] for images in (1, 8)}
    print(f"  CPU over GPU: {ratio[1]:.0f} at batch 1, {ratio[8]:.0f} at batch 8")
    print(
        "  The paper contradicts itself here: 304 s over 6.1 to 6.6 s is 46 to 50 times (sections I and III), while\n"
        "  its figure 4 says 31 times at batch 1 and 72 times at batch 8."
    )
    return [
        target(
            what="conv + linear (with attention's products) about three quarters of GPU time, 65 to 85 %",
            found=f"{gpu['products']:.0%}",
            held=0.65 <= gpu["products"] <= 0.85,
        ),
        target(
            what="and nearly all of CPU time, at least 90 %",
            found=f"{cpu['products']:.0%}",
            held=cpu["products"] >= 0.9,
        ),
    ]


def summary(label: str, part: Part, each: list[float]) -> dict[str, float]:
    """Print the shares of a step's time; return the total and the share of products."""
    share: dict[str, float] = {}
    for work, time in zip(part.works, each, strict=True):
        kind = "softmax" if work.kind == "attention" and not work.compute else work.kind
        share[kind] = share.get(kind, 0.0) + time
    total = sum(each)
    ordered = sorted(share.items(), key=lambda item: -item[1])
    print(f"  {label}: {total:7.3f} s  " + ", ".join(f"{kind} {time / total:.0%}" for kind, time in ordered))
    return {"total": total, "products": sum(share.get(kind, 0.0) for kind in PRODUCTS) / total}
