"""``fpsim simulate --method q-diffusion`` and ``--split``: a run, its record, and one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulate_checks import images, record, refused, simulate

pytestmark = pytest.mark.usefixtures("here")
FEW = (
    "--rounding-iters 6 --act-iters 2 --recon-batch 2 --rounding-samples 1 --calibration-steps 1 --act-init mse"
).split()


def test_a_run_and_its_record(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "q-diffusion", "--quant", "int4/int8", "--split", "all", *FEW]
    assert simulate(model, *words) == 0
    printed = capsys.readouterr()
    assert "int4/int8" in printed.out
    run = record()
    said = run["quantization"]
    assert (said["method"], said["split"], said["iterations"], said["compat"]) == ("q-diffusion", "all", 6, "none")
    row = run["rows"][0]
    assert row["weights"] == "uint4, per channel, asymmetric (Q-Diffusion)"
    assert row["acts"] == "int8-full, per tensor, mse start, learned steps (Q-Diffusion)"
    assert all(unit["loss_learned"] <= unit["loss_nearest"] for unit in row["rounding"]["units"].values())
    assert len(row["rounding"]["split"]) == 8
    shortcut = next(layer for layer in row["layers"] if layer["name"] == "up_blocks.1.resnets.1.conv_shortcut")
    assert shortcut["weights"].endswith("split at 8")
    assert shortcut["act_sqnr_db"] > 20
    assert "--method q-diffusion" in run["command"]
    first = images("int4_int8")
    assert simulate(model, *words) == 0  # all of it is kept
    np.testing.assert_array_equal(first, images("int4_int8"))


def test_rounding_to_nearest_can_be_split(model: Path) -> None:
    layers: list[dict[str, Any]] = []
    for split, out in ((["--split", "shortcut"], "split"), ([], "whole")):
        assert simulate(model, "--quant", "int4/int8", *split, out=out) == 0
        layers.append({layer["name"]: layer for layer in record(out)["rows"][0]["layers"]})
        assert ("split" in record(out)["quantization"]) == bool(split)
    name = "up_blocks.0.resnets.0.conv_shortcut"
    assert layers[0][name]["acts"].endswith("split at 16")
    assert layers[0][name]["weight_sqnr_db"] > layers[1][name]["weight_sqnr_db"]
    assert layers[0]["conv_in"]["weight_sqnr_db"] == layers[1]["conv_in"]["weight_sqnr_db"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("--method q-diffusion --quant e4m3/int8", "quantizes to integers, not to e4m3"),
        ("--method q-diffusion --quant int4/int8 --act-scales dynamic", "drop --act-scales dynamic"),
        ("--method q-diffusion --quant int4/int8 --scale-aware", "--scale-aware is no option"),
        ("--method q-diffusion --quant int4/int8 --calibration-steps 3", "of 2 sampling steps, keep 1 to 2"),
        ("--quant int4/int8 --compat q-diffusion", "--compat is for methods that learn"),
        ("--quant int4/int8 --split both", "'both' is not one of"),
    ],
)
def test_refused_in_one_line(model: Path, words: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = simulate(model, *words.split())
    refused(capsys, code, wanted)
    assert not Path("run").exists()
