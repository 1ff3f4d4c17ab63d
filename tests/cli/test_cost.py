"""``fpsim cost``: what it prints, what it refuses, and the calibration of the machine at hand."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from fpsim.cli.main import run

BASE = "cost --model bundled"
MINE = """[tiny-gpu]
architecture = "hopper"
processors = 4
memory_gb = 0.02
bandwidth_gb_s = 100
tdp_w = 20
peaks = { fp32 = 1, fp16 = 10, fp8 = 20 }
"""


def printed(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(words.split()) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def rows(words: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(printed(f"{words} --json", capsys))["rows"]
    return found


def test_a_row_for_each_device_and_batch_with_level_bound_and_interval(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(f"{BASE} --weights e2m1 --acts e4m3 --device h100-sxm,b200,orin-agx --batch 1,8", capsys)
    assert [(row["device"], row["batch"]) for row in found] == [
        (device, batch) for device in ("h100-sxm", "b200", "orin-agx") for batch in (1, 8)
    ]
    for row in found:
        assert row["level"] == "calibrated"
        assert 0 < row["mape_percent"] < 15
        assert row["step_bound_s"] <= row["step_low_s"] < row["step_s"] < row["step_high_s"]
        assert row["fits"] is True
        assert row["energy_bound_j"] > 0


def test_the_table_says_how_each_format_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(f"{BASE} --weights e2m1 --acts e4m3 --device b200,orin-agx", capsys)
    flat = " ".join(line.removeprefix("# ").strip() for line in text.splitlines())
    assert "b200 multiplies e2m1 by e4m3 natively" in flat
    assert "orin-agx does not multiply e2m1 by e4m3" in flat
    assert "calibrated to published measurements (MAPE" in flat
    assert "no prediction" in flat
    assert "weights/inputs e2m1/e4m3" in flat
    assert all(len(line) <= 96 for line in text.splitlines())


def test_csv_holds_what_json_holds(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{BASE} --device h100 --batch 1,2"
    as_json = rows(words, capsys)
    as_csv = list(csv.DictReader(io.StringIO(printed(f"{words} --csv", capsys))))
    assert [row["step_s"] for row in as_csv] == [str(row["step_s"]) for row in as_json]
    assert list(as_csv[0]) == list(as_json[0])


def test_classes_and_layers_add_up_to_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    (whole,) = rows(f"{BASE} --device l40s", capsys)
    for by in ("class", "layer"):
        found = rows(f"{BASE} --device l40s --by {by}", capsys)
        assert sum(row["seconds"] for row in found) == pytest.approx(whole["step_s"], rel=1e-4)
        assert sum(row["bound_s"] for row in found) == pytest.approx(whole["step_bound_s"], rel=1e-4)
        assert all(row["level"] == "calibrated" for row in found)
    assert "conv" in printed(f"{BASE} --device l40s --by class", capsys)


def test_choices_change_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    steps = {
        extra: rows(f"{BASE} --device h100 {extra}", capsys)[0]["step_s"]
        for extra in ("", "--runtime compiled", "--runtime tensorrt", "--cfg", "--dtype fp32", "--attention naive")
    }
    assert steps["--runtime tensorrt"] < steps["--runtime compiled"] < steps[""] <= steps["--cfg"]
    assert steps["--attention naive"] > steps[""]
    assert steps["--dtype fp32"] >= steps[""]


def test_the_best_batch_fits(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(f"{BASE} --device h100 --batch best --runtime compiled", capsys)
    assert row["batch"] > 1
    assert row["fits"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return path


def test_a_users_device_is_a_table(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(f"{BASE} --device tiny-gpu --devices {mine}", capsys)
    assert (row["device"], row["device_in_fit"], row["device_bytes"]) == ("tiny-gpu", False, 20_000_000)


def test_the_only_batch_that_does_not_fit_is_an_error(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{BASE} --device tiny-gpu --devices {mine} --batch 5000".split()) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "GB more than tiny-gpu has (0.02 GB); the largest batch that fits is " in message


def test_one_batch_of_several_that_does_not_fit_is_marked(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{BASE} --device tiny-gpu --devices {mine} --batch 1,5000"
    assert [row["fits"] for row in rows(words, capsys)] == [True, False]
    text = printed(words, capsys)
    assert "does not fit" in text
    assert "the largest that fits is" in " ".join(text.split())


def test_a_policy_file_says_the_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        '[[rule]]\nmatch = "*"\nweights = "e2m1"\nacts = "int8"\n[[rule]]\nmatch = "conv_in"\nskip = true\n'
    )
    found = json.loads(printed(f"{BASE} --device b200 --policy {file} --json", capsys))
    assert {(row["weights"], row["acts"]) for row in found["formats"]} == {("e2m1", "int8"), ("fp16", "fp16")}


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_roofline_plot_is_written(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"plot.{suffix}"
    assert run(f"{BASE} --device h100,orin-agx --plot {path}".split()) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    assert path.stat().st_size > 5000


BAD = {
    "--device h1000": "unknown device 'h1000'.",
    "": "no device is given; name some with --device, known are v100-sxm2",
    "--device h100 --weights e9m9": "eXmY takes",
    "--device h100 --acts fp5x": "unknown format 'fp5x'",
    "--device h100 --batch 0": "batch '0' is neither a number of images from 1 to 1048576 nor 'best'",
    "--device h100 --batch x": "batch 'x' is neither",
    "--device h100 --batch ,": "no batch is given",
    "--device h100 --policy none.toml": "none.toml",
    "--device h100 --policy none.toml --acts e4m3": "--policy excludes --weights and --acts",
    "--device h100 --devices none.toml": "none.toml",
    "--device h100 --calibration none.toml": "none.toml",
    "--device h100 --plot plot.pdf": "plot.pdf: a plot is written as .png or .svg",
    "--device h100 --runtime jit": "'jit' is not one of",
    "--device h100 --json --csv": "exclude each other",
    "--device h100 --model nothing": "nothing",
    "--device h100 benchmark": "No such command 'benchmark'",
    "calibrate --out x.toml": "Missing option '--device-name'",
    "calibrate --device-name a/b --out x.toml": "device name 'a/b'",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = [] if "--model" in words else ["--model", "bundled"]
    assert run(["cost", *model, *words.split()]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1
    assert BAD[words] in found.err


def test_a_malformed_device_table_names_file_line_and_key(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine.write_text(MINE.replace("tdp_w = 20", "tdp_w = -3"))
    assert run(f"{BASE} --device tiny-gpu --devices {mine}".split()) == 2
    assert f"{mine}:6: [tiny-gpu]: key 'tdp_w'" in capsys.readouterr().err


def test_calibrating_the_machine_makes_a_file_that_cost_takes(
    one_thread: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "here.toml"
    words = f"cost calibrate --device-name here --out {file} --model bundled --seconds 3 --on cpu --threads 1"
    assert run(words.split()) == 0
    assert capsys.readouterr().out.startswith("here: fp32 ")
    (row,) = rows(f"{BASE} --calibration {file}", capsys)
    assert (row["device"], row["level"], row["dtype"]) == ("here", "measured", "fp32")
    assert 0 < row["step_bound_s"] < row["step_s"] < 1
    found = rows(f"{BASE} --calibration {file} --device here,h100", capsys)
    assert [item["level"] for item in found] == ["measured", "calibrated"]
    assert "level" in printed(f"{BASE} --calibration {file} --device here,h100", capsys)
    assert run(words.split()) == 2
    assert f"{file} exists; give --overwrite to replace it" in capsys.readouterr().err
