"""Wrong options of ``fpsim simulate``: one line each, exit code 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulate_checks import ONE, refused, simulate

from fpsim.cli.main import run

BAD: dict[str, tuple[list[str], str]] = {
    "no pair": ([], "there is nothing to simulate; give --quant W/A"),
    "unknown weights": (["--quant", "e4m3fm/int8"], "unknown format 'e4m3fm'. Did you mean 'e4m3fn'?"),
    "unknown acts": (["--quant", "int8/mxpf4"], "unknown format 'mxpf4'. Did you mean 'mxfp4'?"),
    "no slash": (["--quant", "int8"], "--quant 'int8' is not of the form WEIGHTS/ACTIVATIONS"),
    "no acts": (["--quant", "int8/"], "--quant 'int8/' is not of the form"),
    "no weights": (["--quant", "/int8"], "--quant '/int8' is not of the form"),
    "two slashes": (["--quant", "int8/int8/int8"], "is not of the form"),
    "twice": ([*ONE, *ONE], "'int8/int8' is given twice"),
    "twice in two ways": ([*ONE, "--weights", "INT8", "--acts", "int8"], "'int8/int8' is given twice"),
    "glob": ([*ONE, "--skip", "conv_inn"], "rule 'conv_inn' matches no layer; the nearest layer is 'conv_in'"),
    "scale": ([*ONE, "--scale", "best"], "scale rule 'best' is not one of max, percentile"),
    "percentile": ([*ONE, "--scale", "percentile:12"], "scale rule 'percentile:12' is not one of"),
    "scale of blocks": ([*ONE, "--scale", "e8m0-floor"], "scale rule 'e8m0-floor' is for blocks, not per channel"),
    "scale format": (
        ["--quant", "e2m1/none", "--weights-granularity", "block:8", "--scale", "e9m9-floor"],
        "e9m9",
    ),
    "scale of no row": (["--quant", "none/none", "--scale", "best"], "scale rule 'best'"),
    "granularity": ([*ONE, "--weights-granularity", "row"], "granularity 'row' is not one of tensor, channel, block:N"),
    "block of one": ([*ONE, "--weights-granularity", "block:1"], "block size 1: a block needs at least 2 values"),
    "acts per channel": ([*ONE, "--acts-granularity", "channel"], "activations per channel do not fold"),
    "unused granularity": (["--weights", "int8", "--acts-granularity", "rows"], "granularity 'rows'"),
    "scheduler": ([*ONE, "--scheduler", "dimm"], "unknown scheduler 'dimm'; did you mean 'ddim'?"),
    "backend": ([*ONE, "--backend", "nunba"], "no backend 'nunba'; there are numba, numpy, torch"),
    "cuda": ([*ONE, "--device", "cuda"], "device 'cuda' is not there (0 CUDA devices): use cpu"),
    "device": ([*ONE, "--device", "tpu9"], "unknown device 'tpu9'"),
    "dtype": ([*ONE, "--dtype", "float8"], "Invalid value for '--dtype'"),
    "no timestep bin": ([*ONE, "--timestep-bins", "0"], "less than 1 timestep bins were asked for"),
    "timestep bins": ([*ONE, "--timestep-bins", "1001"], "more than 1000 timestep bins were asked for"),
    "timestep bins of no step": ([*ONE, "--timestep-bins", "8"], "timestep bin 125 to 250 holds none of the run's 2"),
    "timestep bins in words": ([*ONE, "--timestep-bins", "few"], "Invalid value for '--timestep-bins'"),
    "bins of dynamic scales": ([*ONE, "--timestep-bins", "2", "--act-scales", "dynamic"], "is for static scales"),
    "bins beside a policy": (["--policy", "rule.toml", "--timestep-bins", "2"], "is for --quant and --acts"),
    "bins of weights": (["--weights", "int4", "--timestep-bins", "2"], "is for --quant and --acts"),
    "act scales": ([*ONE, "--act-scales", "fixed"], "Invalid value for '--act-scales'"),
    "no images": ([*ONE, "--num-images", "0"], "num_images is 0: give an integer of at least 1"),
    "no steps": ([*ONE, "--steps", "0"], "steps is 0: give an integer of at least 1"),
    "too many steps": ([*ONE, "--steps", "1001"], "1001 steps are more than the 1000 timesteps"),
    "no batch": ([*ONE, "--batch-size", "0"], "batch_size is 0: give an integer of at least 1"),
    "negative seed": ([*ONE, "--seed", "-1"], "seed is -1"),
    "text for a number": ([*ONE, "--steps", "many"], "Invalid value for '--steps'"),
    "no calibration": ([*ONE, "--calibration-images", "0"], "--calibration-images 0: at least 1 image"),
    "prompts for images": ([*ONE, "--prompts", "prompts.txt"], "this model is unconditional and takes no prompts"),
    "guidance for images": ([*ONE, "--guidance-scale", "7"], "this model is unconditional and has no guidance"),
    "guidance": ([*ONE, "--guidance-scale", "nan"], "guidance_scale is nan"),
    "no prompts file": ([*ONE, "--prompts", "no.txt"], "prompts file 'no.txt' cannot be read"),
    "empty prompts": ([*ONE, "--prompts", "empty.txt"], "prompts file 'empty.txt' holds no prompt"),
    "binary prompts": ([*ONE, "--prompts", "bytes"], "prompts file 'bytes' cannot be read"),
    "no policy file": (["--policy", "no.toml"], "policy file 'no.toml' cannot be read: No such file"),
    "policy folder": (["--policy", "."], "policy file '.' cannot be read: Is a directory"),
    "binary policy": (["--policy", "bytes"], "policy file 'bytes' cannot be read: it is not UTF-8 text"),
    "policy": (["--policy", "prompts.txt"], "prompts.txt: not valid TOML"),
    "policy rule": (["--policy", "rule.toml"], "rule.toml: rule 2: unknown key 'wieghts'"),
    "policy glob": (["--policy", "glob.toml"], "rule 'conv_inn' matches no layer; the nearest layer is 'conv_in'"),
    "policy of a reserved name": (["--policy", "calibration.toml"], "'calibration' cannot name a quantization"),
    "no formats file": ([*ONE, "--formats-file", "no.toml"], "formats file 'no.toml' cannot be read"),
    "formats file": ([*ONE, "--formats-file", "formats.toml"], "formats.toml: [mine]: unknown key 'bit'; did you mean"),
    "formats file's name": (["--quant", "rule.toml#x/int8"], "rule.toml: key 'rule' is outside a table"),
    "unknown option": ([*ONE, "--step", "3"], "No such option"),
}  # fmt: skip
FILES = {
    "prompts.txt": b"a dog\n",
    "empty.txt": b"\n  \n",
    "bytes": b"\xff\xfe\x00",
    "rule.toml": b'[[rule]]\nmatch = "*"\nweights = "int4"\n[[rule]]\nmatch = "conv_in"\nwieghts = "int8"\n',
    "glob.toml": b'[[rule]]\nmatch = "conv_inn"\nweights = "int4"\n',
    "calibration.toml": b'[[rule]]\nmatch = "*"\nweights = "int4"\n',
    "formats.toml": b"[mine]\nkind = 'int'\nbit = 3\n",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, wanted = BAD[case]
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    before = sorted(here.rglob("*"))
    refused(capsys, simulate(model, *words), wanted)
    assert sorted(here.rglob("*")) == before  # the corrected command may use the same folder


def test_an_output_folder_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, run(["simulate", *ONE]), "Missing option '--out'")


def test_strict_blocks_that_do_not_divide(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--weights", "mxfp4", "--acts", "none"]
    refused(
        capsys,
        simulate(model, *words, "--strict"),
        "3 input channels, which is no multiple of the block of 32; drop --strict",
    )
    assert simulate(model, *words) == 0  # a short last block has its own scale
