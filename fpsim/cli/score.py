"""``fpsim score``: images against reference images, with the metrics of the papers."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.render import output_options
from fpsim.errors import FpsimError

_MISSED = 3


@click.command(epilog="Example: fpsim score 'runs/fp8#e4m3/e4m3' 'runs/fp8#full precision' --metric psnr,ssim")
@click.argument("images", metavar="A")
@click.argument("reference", metavar="[B]", required=False)
@click.option("--metric", "metrics", metavar="M,…", help="psnr, ssim, lpips, fid, sfid, kid, fid-inf, pr.")
@click.option("--features", metavar="FILE", help="Feature network: TorchScript (.pt), or safetensors of Inception.")
@click.option("--lpips", metavar="FILE", help="LPIPS weights (.safetensors); experiments/convert_lpips.py makes them.")
@click.option("--lpips-size", type=int, metavar="N", help="Resize to N x N pixels for LPIPS, bilinear; default none.")
@click.option(
    "--resize",
    default="tf1-bilinear",
    show_default=True,
    metavar="RULE",
    help="Before the feature network: tf1-bilinear or clean-bicubic to 299 x 299, or none.",
)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda", help="Where the feature network runs.")
@click.option("--reference-statistics", "statistics", metavar="FILE", help="npz with mu and sigma, in place of B.")
@click.option("--save-statistics", metavar="FILE", help="Keep B's mu and sigma in an npz file.")
@click.option("--floor", metavar="C", help="Another seed's images of B's model: what no change scores.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take the first N images of each set.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of fid-inf's subsets.")
@click.option("--require", "thresholds", multiple=True, metavar="T", help="Such as 'fid<=5' (repeatable); exit code 3.")
@click.option("--allow-unequal-n", is_flag=True, help="Figures that depend on the number of images, all the same.")
@click.option("--allow-singular", is_flag=True, help="FID of no more images than features, all the same.")
@click.option("--cache", metavar="DIR", help="Where features are kept; default beside each set.")
@click.option("--out", metavar="FILE", help="Write everything, image by image, as JSON.")
@output_options
def score(*, output: str, **options: Any) -> int:
    """Score images A against reference images B.

    A set is RUN#ROW (a folder of 'fpsim simulate' and a row's label, or 'full precision'), an npz file with uint8 NHWC
    images under arr_0, or a folder of PNGs. B is best the full-precision model's own images. Image-by-image metrics
    (psnr, ssim, lpips) need sets from the same noise; fid, sfid, kid, fid-inf and pr need --features. Features are
    computed once and kept.
    """
    if (options["reference"] is None) == (options["statistics"] is None):
        raise FpsimError("one reference is needed: B, or --reference-statistics FILE")
    if options["lpips_size"] is not None and not options["lpips"]:
        raise FpsimError("--lpips-size resizes images for LPIPS; name its weights as well: --lpips FILE")
    try:
        from fpsim.cli.score_run import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(f"'fpsim score' needs {missing.name}; pip install 'fpsim[models,plot]' brings it") from None
    return 0 if execute(options, output) else _MISSED
