"""``fpsim simulate --method chen2024``: its options, its record, and the bundled model."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from simulate_checks import record, refused, results, simulate

from fpsim.cli.main import run

CHEN = ["--method", "chen2024", "--rounding-iters", "5", "--rounding-samples", "1", "--scale", "mse"]
SET = ["--init-samples", "2"]


def test_the_bundled_model(one_thread: None, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*CHEN, *SET, "--quant", "fp4/fp8", "--weights-granularity", "tensor", "--num-images", "1",
             "--rounding-lr", "0.1", "--rounding-lambda", "1", "--rounding-beta", "20", "--scale-aware"]  # fmt: skip
    assert simulate("fashion-28", *words) == 0
    printed = capsys.readouterr()
    header = [line for line in printed.err.splitlines() if line.startswith("# method: chen2024")]
    assert len(header) == 1
    assert "iterations: 5" in header[0]
    assert "captured: full-precision  split: none  init_samples: 2" in header[0]
    assert "fp4/fp8" in printed.out
    found = record()
    said = found["quantization"]
    assert (said["method"], said["lr"], said["lambda"], said["beta"], said["scale_aware"]) == (
        "chen2024", 0.1, 1, "20", True,
    )  # fmt: skip
    (row,) = found["rows"]
    assert len(row["rounding"]["layers"]) == 65
    assert all(layer["loss_learned"] <= layer["loss_nearest"] for layer in row["rounding"]["layers"].values())
    page = Path("run/report.html").read_text()
    assert "chen2024" in page
    assert "scale aware" in page.replace("_", " ")
    before = results(here / "run")
    assert run(shlex.split(found["command"])[1:]) == 0
    assert results(here / "run") == before


def test_blocks_and_given_formats(model: Path, here: Path) -> None:
    words = [*CHEN, "--quant", "int4/int8", "--reconstruct", "block", "--no-format-search", "--rounding-for", "all"]
    assert simulate(model, *words) == 0
    (row,) = record()["rows"]
    assert row["weights"] == "int4 (-7 to 7), per channel, mse scale"
    assert "mid_block.resnets.0" in {layer["unit"] for layer in row["rounding"]["layers"].values()}
    assert all(layer["weights"].endswith("learned rounding") for layer in row["layers"])
    assert "--no-format-search" in record()["command"]


def test_split_layers_behind_the_quantized_prefix(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*CHEN, *SET, "--quant", "fp4/fp8", "--split", "all", "--captured", "quantized-prefix"]
    assert simulate(model, *words) == 0
    assert "captured: quantized-prefix  split: all  init_samples: 2" in capsys.readouterr().err
    found = record()
    assert "--split all" in found["command"]
    assert "--captured quantized-prefix" in found["command"]
    (row,) = found["rows"]
    assert "biases per channel" not in row["acts"]
    split = [layer for layer in row["layers"] if layer["weights"] and ", split at " in layer["weights"]]
    assert len(split) > 6
    assert all(" and chen-e" in layer["weights"] for layer in split)
    before = results(here / "run")
    assert run(shlex.split(found["command"])[1:]) == 0
    assert results(here / "run") == before


def test_a_resumed_calibration_without_some_timestep(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data of a run of fewer steps do not stand for those of all steps."""
    words = [*CHEN, *SET, "--quant", "e4m3/e4m3"]
    assert simulate(model, *words, out="few") == 0
    assert simulate(model, *words, "--steps", "3") == 0
    capsys.readouterr()
    for part, label in (("[ps]*", "the calibration"), ("i*", "the initialization set")):
        shutil.copytree("run", f"lost {label}")
        shutil.rmtree(next(Path(f"lost {label}/resume").glob("e4m3*")))
        for file in Path("few/resume/calibration").glob(part):
            shutil.copy(file, f"lost {label}/resume/calibration")
        code = simulate(model, *words, "--steps", "3", out=f"lost {label}")
        refused(capsys, code, f"{label} lost {label}/resume/calibration")
        assert not Path(f"lost {label}/resume/e4m3%2Fe4m3").exists()


def test_another_method_is_another_run(
    model: Path, whole: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, "run")
    assert simulate(model, "--quant", "e4m3/int8", "--quant", "int4/uint8", "--method", "chen2024") == 2
    assert "run already holds another run (quantization." in capsys.readouterr().err.splitlines()[-1]
    assert results(here / "run") == results(whole)


BAD = {
    "method": (["--method", "gptq"], "Invalid value for '--method'"),
    "rtn": (["--rounding-iters", "3"], "--rounding-iters is for methods that learn"),
    "iterations": (["--method", "chen2024", "--rounding-iters", "-3"], "-3 iterations of learned rounding"),
    "rate": (["--method", "chen2024", "--rounding-lr", "-1"], "learning rate of the rounding is -1.0"),
    "beta": (["--method", "chen2024", "--rounding-beta", "x"], "--rounding-beta 'x' is no exponent such as 20"),
    "lambda": (["--method", "chen2024", "--rounding-lambda", "inf"], "the regularizer's weight is inf"),
    "samples": (["--method", "chen2024", "--rounding-samples", "0"], "--rounding-samples 0: at least 1 sample"),
    "set": (["--method", "chen2024", "--init-samples", "0"], "--init-samples 0: at least 1 sample is needed"),
    "set of nothing": (
        ["--method", "chen2024", "--init-samples", "4", "--no-format-search"],
        "--init-samples is for the search of formats, which --no-format-search leaves out",
    ),
    "set of another": (["--init-samples", "4"], "--init-samples is for methods that learn"),
    "captured": (["--method", "chen2024", "--captured", "prefix"], "Invalid value for '--captured'"),
    "forever": (["--method", "chen2024", "--rounding-iters", "9" * 12], "at most 10000000 are possible"),
    "reconstruct": (["--method", "chen2024", "--reconstruct", "net"], "Invalid value for '--reconstruct'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, wanted = BAD[case]
    refused(capsys, simulate(model, "--quant", "int4/int8", *words), wanted)
    assert not Path("run").exists()
