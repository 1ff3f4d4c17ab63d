"""``fpsim cost``: time, memory, throughput and energy of a model on hardware, and how sure they are."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.options import complete_format
from fpsim.cli.render import output_options
from fpsim.errors import FpsimError


@click.group(invoke_without_command=True, subcommand_metavar="[calibrate]")
@click.option("--model", default="sd15", metavar="NAME", show_default=True, help="A known name, or a folder's config.")
@click.option("--device", metavar="LIST", help="Devices, such as h100-sxm,b200,orin-agx.")
@click.option("--weights", metavar="FORMAT", shell_complete=complete_format, help="Number format of the weights.")
@click.option("--acts", metavar="FORMAT", shell_complete=complete_format, help="Number format of the layers' inputs.")
@click.option("--policy", metavar="FILE", help="Formats by layer, instead of --weights and --acts.")
@click.option("--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable).")
@click.option("--batch", default="1", metavar="LIST", show_default=True, help="Images, such as 1,8,best.")
@click.option("--steps", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Steps of an image.")
@click.option("--cfg/--no-cfg", default=None, help="Classifier-free guidance; default as the model's pipeline does.")
@click.option(
    "--runtime",
    type=click.Choice(["eager", "compiled", "tensorrt"]),
    default="eager",
    show_default=True,
    help="Fusion.",
)
@click.option(
    "--attention",
    type=click.Choice(["fused", "naive"]),
    default="fused",
    show_default=True,
    help="Naive attention keeps its scores in memory.",
)
@click.option(
    "--quantize-ops",
    type=click.Choice(["fused", "separate"]),
    default="fused",
    show_default=True,
    help="Quantize inputs in the kernel before, or in kernels of their own.",
)
@click.option(
    "--act-scales",
    type=click.Choice(["static", "dynamic"]),
    default="static",
    show_default=True,
    help="Dynamic ones cost separate kernels one more pass.",
)
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "tf32", "fp16", "bf16"]),
    help="What is not quantized; default fp16, on CPUs fp32.",
)
@click.option("--devices", "device_files", multiple=True, metavar="FILE", help="TOML file of devices (repeatable).")
@click.option("--calibration", metavar="FILE", help="What 'fpsim cost calibrate' wrote.")
@click.option("--by", type=click.Choice(["class", "layer"]), help="One step by class of operation, or by layer.")
@click.option("--plot", metavar="FILE", help="Write a roofline plot, every layer a dot: .png or .svg.")
@output_options
def cost(*, output: str, **options: Any) -> None:
    """Say what a model costs on a device: time, memory, throughput and energy.

    Times are of one denoising step of a batch of images, as three levels that are never mixed: a bound (the speed of
    light, no prediction), calibrated to published measurements, or measured on the machine at hand by
    'fpsim cost calibrate'. A prediction has an interval. One batch that does not fit into memory is an error; among
    several it is a marked row.

    \b
    fpsim cost --model sd15 --weights e2m1 --acts e4m3 --device h100-sxm,b200,orin-agx --batch 1,8
    fpsim cost --model sdxl --device h200 --runtime tensorrt --by class
    fpsim cost calibrate --device-name mine --out mine.toml
    fpsim cost --model bundled --calibration mine.toml --device mine
    """
    if click.get_current_context().invoked_subcommand:
        return
    try:
        from fpsim.cli.cost_run import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(f"'fpsim cost' needs {missing.name}; pip install 'fpsim[models]' brings it") from None
    execute(options, output)


@cost.command()
@click.option("--device-name", "name", required=True, metavar="NAME", help="What the machine is called from now on.")
@click.option("--out", required=True, metavar="FILE", help="TOML file for --calibration.")
@click.option("--on", type=click.Choice(["cpu", "cuda"]), help="What to measure; default CUDA where there is one.")
@click.option("--model", default="bundled,sd15", metavar="LIST", show_default=True, help="Whose shapes are timed.")
@click.option(
    "--dtype", type=click.Choice(["fp32", "tf32", "fp16", "bf16"]), help="Working type; default fp16, on CPUs fp32."
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default what torch takes.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60, show_default=True, help="Time to spend.")
@click.option("--tdp-w", type=click.FloatRange(0.1, 1e5), help="Power limit of the device, for energies.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
def calibrate(**options: Any) -> None:
    """Measure this machine: time a U-Net's own convolutions, products and elementwise operations, and fit to them."""
    try:
        from fpsim.cli.cost_calibrate import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(
            f"'fpsim cost calibrate' needs {missing.name}; pip install 'fpsim[models]' brings it"
        ) from None
    execute(options)
