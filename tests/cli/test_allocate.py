"""``fpsim allocate``: the table, the machine formats, plots, and policies that ``fpsim simulate`` takes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from simulate_checks import record, refused, simulate

from fpsim.cli.allocate_budgets import read_budget
from fpsim.cli.main import run

FEW = ["--calibration-images", "2", "--steps", "2", "--timesteps", "2", "--scale", "max", "--measure", "mse"]


def allocate(model: Path | str, *words: str) -> int:
    return run(["allocate", "--model", str(model), *FEW, *words])


def test_a_policy_that_simulate_runs(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--budget", "5bpw", "--budget", "6bpa", "--acts", "int4,e4m3", "--out", "mixed.toml", "--json"]
    assert allocate(model, *words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["weights"] for row in shown["layers"]} > {"int8"}
    assert simulate(model, "--policy", "mixed.toml") == 0
    layers = {layer["name"]: layer for layer in record()["rows"][0]["layers"]}
    for row in shown["layers"]:
        assert layers[row["layer"]]["weights"].startswith(row["weights"])
        assert layers[row["layer"]]["acts"].startswith(row["acts"][0])
    size = record()["rows"][0]["model_bytes"]
    assert 0 <= shown["allocation"]["model_bytes"] - size < len(layers), "whole bytes a tensor"


def test_formats_by_timestep(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--budget", "6bpa", "--acts", "int4,e4m3", "--timestep-bins", "2", "--out", "bins.toml", "--json"]
    assert allocate(model, *words, "--plot", "bins.png", "--front", "2") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["allocation"]["bins"] == ["0 to 500", "500 on"]
    assert all(len(row["acts"]) == 2 for row in shown["layers"])
    assert (here / "bins.png").read_bytes().startswith(b"\x89PNG")
    assert simulate(model, "--policy", "bins.toml") == 0


def test_budgets_are_kept_to_the_byte(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert allocate(model, "--budget", "24.3kB", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert sum(row["bytes"] for row in shown["layers"]) == shown["budgets"][0]["used"] <= 24_300
    assert shown["budgets"][0]["limit"] == 24_300


def test_table_and_front(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert allocate(model, "--budget", "5bpw", "--front", "4") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "# tiny-16: least relative squared error of the tensors by measure mse"
    assert lines[2].startswith("# weights: ")
    head = next(i for i, line in enumerate(lines) if line.startswith("layer"))
    assert lines[head].split() == ["layer", "weights", "inputs", "bytes", "harm", "parameters"]
    assert lines[head + 1].split()[0] == "time_embedding.linear_1", "in the order in which layers run"
    front = lines.index("# front")
    assert [line.split()[0] for line in lines[front + 2 :]] == sorted(
        (line.split()[0] for line in lines[front + 2 :]), key=lambda text: int(text.replace(",", ""))
    )
    assert "# measured on 2 images at 2 of 2 steps, seed 0" in printed.err


def test_what_inputs_harm_is_told(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The harms of all rows, weights and inputs, add up to the sum that was minimized."""
    words = ["--budget", "5bpw", "--budget", "6bpa", "--acts", "int4,e4m3", "--timestep-bins", "2"]
    assert allocate(model, *words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    about, rows = shown["allocation"], shown["layers"]
    assert all(len(row["act_harm"]) == 2 for row in rows)
    assert about["harm_of_inputs"] == pytest.approx(sum(sum(row["act_harm"]) for row in rows))
    assert about["harm_of_weights"] == pytest.approx(sum(row["harm"] for row in rows))
    assert about["harm"] == pytest.approx(about["harm_of_weights"] + about["harm_of_inputs"])
    for row in rows:
        assert row["choices"][row["weights"]] == {"bytes": row["bytes"], "harm": row["harm"]}
    assert allocate(model, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"(weights {about['harm_of_weights']:.4g}, inputs {about['harm_of_inputs']:.4g})" in lines[1]
    head = next(line for line in lines if line.startswith("layer"))
    assert head.endswith("harm  inputs' harm  parameters")


def test_why_a_layer_has_its_format(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--budget", "6bpw", "--only", "conv_in=e4m3,int8", "--share", "*.to_[qkv]", "--front", "0"]
    assert allocate(model, *words, "--why", "conv_in", "--why", "*.to_[qk]") == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert [table.splitlines()[0] for table in tables[1:]] == ["# choices of conv_in", "# choices of *.to_[qk]"]
    rows = [line.split() for line in tables[1].splitlines()[2:]]
    assert [row[-2:] == ["not", "allowed"] for row in rows] == [True, True, True, True, False, False]
    assert [row for row in rows if row[1] == "*"] == [["conv_in", "*", *rows[-1][2:]]]
    marked = {(line.split()[0].rpartition(".")[0], line.split()[2]) for line in tables[2].splitlines() if " * " in line}
    assert len({module for module, _ in marked}) == len(marked), "queries and keys of a module share a format"


def test_csv_holds_the_same(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--budget", "5bpw", "--measure", "orm", "--beta", "0.5", "--formats", "int2,int3,int4,int8"]
    assert allocate(model, *words, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["weights"] for row in rows} <= {"int2", "int3", "int4", "int8"}
    assert sum(int(row["bytes"]) for row in rows) * 8 / sum(int(row["parameters"]) for row in rows) <= 5


def test_measurements_serve_other_budgets(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second budget samples nothing and measures nothing again; the same result as in one go."""
    words = ["--measure", "output-mse", "--skip", "*resnets*", "--skip", "*attentions*", "--formats", "int2,int8"]
    assert allocate(model, *words, "--budget", "6bpw", "--out", "a.toml") == 0
    assert (here / "a.measures" / "numbers.json").is_file()
    capsys.readouterr()
    from fpsim.methods import allocation_data
    from fpsim.methods.importance import outputs

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(allocation_data, "run_calibration", never)
    monkeypatch.setattr(outputs, "_noise", never)
    assert allocate(model, *words, "--budget", "4bpw", "--work", "a.measures", "--out", "b.toml") == 0
    assert (here / "a.toml").read_text() != (here / "b.toml").read_text()


def test_time_on_a_device(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside everything that no format changes; a CPU, where widths matter at this size."""
    assert allocate(model, "--budget", "h100-sxm:1s", "--json") == 0
    budget = json.loads(capsys.readouterr().out)["budgets"][0]
    assert (budget["name"], budget["unit"], budget["limit"]) == ("time on h100-sxm", "ms", 1000)
    assert 0 < budget["least"] <= budget["used"] <= budget["most"]
    from fpsim.cost import estimate
    from fpsim.model.load import load

    whole = estimate(load(str(model)).denoiser, device="h100-sxm").latency_s
    assert budget["used"] == pytest.approx(1e3 * whole, rel=0.5)


def test_budget_texts() -> None:
    found = [read_budget(text) for text in ("4.5bpw", "12MB", "1.5 MiB".replace(" ", ""), "6bpa", "2e3Gbops", "x:8ms")]
    assert [(each.kind, each.value) for each in found] == [
        ("bpw", 4.5),
        ("bytes", 12e6),
        ("bytes", 1.5 * 2**20),
        ("bpa", 6),
        ("bops", 2e12),
        ("latency", 0.008),
    ]
    assert found[-1].device == "x"


ONE = ["--budget", "5bpw"]
BAD: dict[str, tuple[list[str], str]] = {
    "no budget": ([], "Missing option '--budget'"),
    "budget": (["--budget", "5"], "--budget '5' is none of 4.5bpw (bits a weight), 12MB"),
    "budget of nothing": (["--budget", "0MB"], "--budget '0MB': give a positive number"),
    "too small": (["--budget", "1bpw"], "bytes below the cheapest assignment, which takes"),
    "twice": ([*ONE, "--budget", "6bpw"], "another budget limits the same"),
    "inputs that are not chosen": (["--budget", "6bpa"], "limits activations; give several formats for them by --acts"),
    "device": (["--budget", "b2000:8ms"], "b2000"),
    "format": ([*ONE, "--formats", "int2,e9"], "unknown format 'e9'"),
    "no format": ([*ONE, "--formats", "int2,"], "--formats 'int2,' has an empty name"),
    "format twice": ([*ONE, "--formats", "int2,int2"], "'int2' is given twice"),
    "bins alone": ([*ONE, "--timestep-bins", "2"], "--timestep-bins is for inputs"),
    "no bin": ([*ONE, "--timestep-bins", "0"], "--timestep-bins 0"),
    "bins without steps": (["--budget", "6bpa", "--acts", "int4,int8", "--timestep-bins", "9"], "holds none of the 2"),
    "measure": ([*ONE, "--measure", "guess"], "Invalid value for '--measure'"),
    "option of another measure": ([*ONE, "--beta", "1"], "--beta is for the measures orm, orm-error, not for mse"),
    "beta": ([*ONE, "--measure", "orm", "--beta", "x"], "--beta 'x' is neither 'auto' nor a number above 0"),
    "sensitivity": ([*ONE, "--measure", "sensitivity", "--sensitivity-images", "0"], "--sensitivity-images 0"),
    "granularity": ([*ONE, "--weights-granularity", "row"], "granularity 'row' is not one of"),
    "scale": ([*ONE, "--scale", "best"], "scale rule 'best' is not one of"),
    "images": ([*ONE, "--calibration-images", "0"], "--calibration-images 0"),
    "timesteps": ([*ONE, "--timesteps", "0"], "--timesteps 0"),
    "front": ([*ONE, "--front", "1"], "--front 1: a front has at least 2 points"),
    "gap": ([*ONE, "--gap", "1"], "--gap is a part such as 1e-3"),
    "only": ([*ONE, "--only", "conv_in"], "--only 'conv_in' is no GLOB=LIST"),
    "only an empty name": ([*ONE, "--only", "conv_in=int8,"], "--only 'conv_in=int8,' is no GLOB=LIST"),
    "only twice": ([*ONE, "--only", "a=int8", "--only", "a=int2"], "--only: 'a' is given twice"),
    "only acts": ([*ONE, "--only-acts", "*=int8"], "inputs' formats are not chosen; give several by --acts"),
    "only of nothing": ([*ONE, "--only", "conv_inn=int8"], "--only 'conv_inn' matches no layer"),
    "share": ([*ONE, "--share", "conv_in"], "--share 'conv_in' matches only layers of different modules"),
    "why": ([*ONE, "--why", "conv_inn"], "--why 'conv_inn' matches no layer"),
    "glob": ([*ONE, "--skip", "conv_inn"], "rule 'conv_inn' matches no layer"),
    "all skipped": ([*ONE, "--skip", "*"], "no layer is left to allocate"),
    "plot": ([*ONE, "--plot", "p.pdf"], "a plot is written as .png or .svg"),
    "plot of nowhere": ([*ONE, "--plot", "no/p.png"], "the folder 'no' is not there"),
    "out is empty": ([*ONE, "--out", " "], "--out is empty"),
    "work is empty": ([*ONE, "--work", " "], "--work is empty"),
    "backend": ([*ONE, "--backend", "x"], "backend 'x'"),
    "prompts": ([*ONE, "--prompts", "no.txt"], "prompts file 'no.txt' cannot be read"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_refused(words: list[str], message: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, allocate(model, *words), message)
    assert not list(here.iterdir())


def test_a_file_in_the_way(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "m").write_text("mine")
    assert allocate(model, *ONE, "--work", "m") == 2
    assert "--work 'm' is a file" in capsys.readouterr().err
