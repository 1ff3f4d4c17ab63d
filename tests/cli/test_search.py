"""``fpsim search``: the table, the machine formats, and a policy that ``fpsim simulate`` takes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from simulate_checks import record, refused, simulate

from fpsim.cli.main import run

FEW = ["--init-samples", "2", "--steps", "2"]


def search(model: Path | str, *words: str) -> int:
    return run(["search", "--model", str(model), *FEW, *words])


def test_a_policy_that_simulate_accepts(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(model, "--weights-bits", "4", "--acts-bits", "8", "--out", "found.toml", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert simulate(model, "--policy", "found.toml") == 0
    layers = {layer["name"]: layer for layer in record()["rows"][0]["layers"]}
    rows = [row for row in document["tensors"] if row["tensor"] == "weights"]
    assert {row["layer"] for row in rows} == set(layers)
    for row in rows:
        layer = layers[row["layer"]]
        assert layer["weight_sqnr_db"] == pytest.approx(row["sqnr_db"], abs=0.01)
        assert row["encoding"] in ("e1m2", "e2m1")
        assert layer["weights"].startswith(row["encoding"])
        assert layer["acts"].endswith("no scale")


def test_the_bundled_model(here: Path, one_thread: None, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--init-samples", "1", "--steps", "1", "--out", "p.toml"]
    assert run(["search", "--bits", "8", *few]) == 0
    printed = capsys.readouterr()
    assert "time_embedding.linear_1" in printed.out
    assert "# inputs: e2m5 e3m4 e4m3 e5m2, 111 biases each, per tensor" in printed.err
    said = "# initialization set: 1 images at each of 1 steps, seed 0; inputs captured from the full precision model"
    assert said in printed.err
    few = ["--num-images", "1", "--steps", "1", "--calibration-images", "1"]
    assert run(["simulate", "--policy", "p.toml", *few, "--out", "run"]) == 0


def test_table(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(model, "--bits", "8", "--skip", "*.attentions.*") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# tiny-16: least squared error of encodings with 111 real biases each, all finite"
    assert lines[3].startswith("# errors of inputs are from sketches: too large by at most ")
    assert lines[4].split() == ["layer", "tensor", "encoding", "bias", "SQNR", "dB", "runner-up", "max"]
    first, second = (line.split() for line in lines[5:7])
    assert first[:3] == ["time_embedding.linear_1", "weights", "e2m5"]
    assert second[:2] == ["time_embedding.linear_1", "input"]
    assert first[-2] == "dB"
    assert float(first[-3]) < 0
    assert not any("attentions" in line for line in lines)


def test_csv_holds_the_same(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(model, "--acts-bits", "8", "--encodings", "e4m3,e5m2", "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["tensor"] for row in rows} == {"input"}
    assert {row["encoding"] for row in rows} | {row["runner_up"] for row in rows} == {"e4m3", "e5m2"}
    assert all(float(row["sqnr_db"]) > float(row["runner_up_sqnr_db"]) for row in rows)
    assert all(row["bias"] == row["bias_max"] for row in rows)


def test_channels(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(model, "--weights-bits", "8", "--granularity", "channel", "--out", "p.toml", "--markdown") == 0
    text = capsys.readouterr().out
    assert "weights per output channel: bias is the range over the channels; a policy holds each channel's" in text
    assert " to " in text
    assert 'granularity = "channel", scale = "none", biases = [' in (here / "p.toml").read_text()
    assert simulate(model, "--policy", "p.toml") == 0
    assert all("per channel, biases " in layer["weights"] for layer in record()["rows"][0]["layers"])


def test_split(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--weights-bits", "4", "--acts-bits", "8", "--split", "all", "--granularity", "channel", "--out", "p.toml"]
    assert search(model, *words, "--json") == 0
    printed = capsys.readouterr()
    assert "# split: all" in printed.err
    document = json.loads(printed.out)
    assert document["search"]["split"] == "all"
    halves = [row["layer"] for row in document["tensors"] if "[" in row["layer"]]
    assert len(halves) == len({name.partition("[")[0] for name in halves}) * 4
    assert simulate(model, "--policy", "p.toml") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "it names half of a split layer: split the same layers (--split) as the search did" in error
    assert simulate(model, "--policy", "p.toml", "--split", "all") == 0


def test_how_many_samples_by_default(model: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    from fpsim.cli import search_run

    asked: list[int] = []

    def stop(request: Any, *_: Any) -> Any:
        asked.append(request.images)
        raise KeyboardInterrupt

    monkeypatch.setattr(search_run, "search_formats", stop)
    assert run(["search", "--model", str(model), "--bits", "8"]) == 130
    assert search(model, "--bits", "8", "--calibration-images", "5") == 130  # its former name
    assert asked == [128, 5]


def test_captured_behind_quantized_layers(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--bits", "4", "--captured", "quantized-prefix", "--json"]
    assert search(model, *words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["search"]["captured"] == "quantized-prefix"
    assert search(model, *words) == 0
    assert json.loads(capsys.readouterr().out) == document


BAD: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "there is nothing to search; give --bits 8"),
    "both": (["--bits", "8", "--acts-bits", "8"], "--bits is for weights and inputs"),
    "one bit": (["--bits", "1"], "a search over 1 bits is not possible"),
    "text": (["--bits", "eight"], "Invalid value for '--bits'"),
    "encoding": (["--bits", "8", "--encodings", "e4m3,e9m9"], "encoding 'e9m9' is no all-finite eXmY"),
    "empty list": (["--bits", "8", "--encodings", ""], "encoding '' is no"),
    "other width": (["--bits", "8", "--encodings", "e2m1"], "--encodings: e2m1 has 4 bits, but 8 are searched"),
    "granularity": (["--bits", "8", "--granularity", "block:16"], "Invalid value for '--granularity'"),
    "captured": (["--bits", "8", "--captured", "x"], "Invalid value for '--captured'"),
    "images": (["--bits", "8", "--init-samples", "0"], "--init-samples 0: at least 1 sample is needed"),
    "many images": (["--bits", "8", "--init-samples", "9999999"], "at most 4194304 are possible"),
    "split": (["--bits", "8", "--split", "conv1"], "Invalid value for '--split'"),
    "steps": (["--bits", "8", "--steps", "0"], "steps is 0: give an integer of at least 1"),
    "seed": (["--bits", "8", "--seed", "-1"], "seed is -1"),
    "glob": (["--bits", "8", "--skip", "conv_inn"], "rule 'conv_inn' matches no layer; the nearest layer is"),
    "all skipped": (["--bits", "8", "--skip", "*"], "no layer is left to search"),
    "scheduler": (["--bits", "8", "--scheduler", "dimm"], "unknown scheduler 'dimm'; did you mean 'ddim'?"),
    "prompts": (["--bits", "8", "--prompts", "no.txt"], "prompts file 'no.txt' cannot be read"),
    "guidance": (["--bits", "8", "--guidance-scale", "7"], "this model is unconditional and has no guidance"),
    "out is empty": (["--bits", "8", "--out", " "], "--out is empty"),
    "out is a folder": (["--bits", "8", "--out", "."], "--out '.' is a folder"),
    "out of nowhere": (["--bits", "8", "--out", "no/p.toml"], "the folder 'no' is not there"),
    "overwrite nothing": (["--bits", "8", "--overwrite"], "--overwrite without --out has nothing to replace"),
    "no file name": (["--bits", "8", "--out", "a" * 300], "is no place for a file"),
    "two outputs": (["--bits", "8", "--json", "--csv"], "--json and --csv exclude each other"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_refused(words: list[str], message: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, search(model, *words), message)
    assert not list(here.iterdir())


def test_a_file_that_is_there_is_replaced_only_on_request(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.toml").write_text("mine")
    words = ["--weights-bits", "8", "--out", "p.toml"]
    assert search(model, *words) == 2
    assert "--out 'p.toml' exists" in capsys.readouterr().err
    assert (here / "p.toml").read_text() == "mine"
    assert search(model, *words, "--overwrite") == 0
    assert (here / "p.toml").read_text().startswith("[[rule]]")


def test_no_such_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--bits", "8", "--model", "./nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
