"""``fpsim search --timestep-bins``, and ``fpsim simulate --method chen2024`` with bins: what they say and refuse."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from simulate_checks import images, record, refused, results, simulate

from fpsim.cli.main import run
from fpsim.quant import policy_toml

FEW = ["--init-samples", "2", "--steps", "2"]
CHEN = ["--method", "chen2024", "--init-samples", "2", "--scale", "mse", "--quant", "e4m3/e4m3"]


def search(model: Path | str, *words: str) -> int:
    return run(["search", "--model", str(model), *FEW, *words])


def test_a_policy_with_bins_that_simulate_accepts(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--weights-bits", "8", "--acts-bits", "8", "--timestep-bins", "2"]
    assert search(model, *words, "--out", "found.toml", "--json") == 0
    printed = capsys.readouterr()
    assert "# inputs: a format in each of 2 timestep bins" in printed.err
    document = json.loads(printed.out)
    assert document["search"]["timestep_bins"] == 2
    inputs: dict[str, list[tuple[float | None, float | None, float]]] = {}
    for row in document["tensors"]:
        if row["tensor"] == "input":
            inputs.setdefault(row["layer"], []).append((row["from"], row["to"], row["bias"]))
        else:
            assert (row["from"], row["to"]) == (None, None)
    assert simulate(model, "--policy", "found.toml") == 0
    bins = record()["rows"][0]["act_bins"]
    for name, each in inputs.items():
        assert [(one["from"], one["to"]) for one in bins[name]] == [(None, 500.0), (500.0, None)]
        assert [(one["from"], one["to"], one["bias"]) for one in bins[name]] == each
    page = Path("run/report.html").read_text(encoding="utf-8")
    first = bins["conv_in"][0]
    assert "Activation formats and scales by timestep" in page
    assert f"{first['format']}, bias {first['bias']:.3f}<" in page


def test_simulate_searches_what_search_finds(model: Path, here: Path) -> None:
    """The same set, formats and images, whether the method searches or a policy says it."""
    shared = ["--timestep-bins", "2", "--steps", "2", "--batch-size", "2"]
    words = ["search", "--model", str(model), "--bits", "8", *shared, "--init-samples", "2", "--out", "p.toml"]
    assert run(words) == 0
    assert simulate(model, *CHEN, *shared, "--weights-granularity", "tensor", out="chen") == 0
    assert simulate(model, "--policy", "p.toml", out="policy") == 0
    assert (images("e4m3_e4m3", "chen") == images("p", "policy")).all()
    (ours,), (theirs,) = record("chen")["rows"], record("policy")["rows"]
    assert ours["act_bins"] == theirs["act_bins"]
    assert ours["layers"] == theirs["layers"]
    found = policy_toml.loads(ours["policy"])
    for rule in policy_toml.loads(Path("p.toml").read_text()).rules:
        assert found.layer(rule.match).acts == rule.acts


def test_table_and_csv(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--bits", "8", "--timestep-bins", "2", "--skip", "*.attentions.*", "--skip", "*.resnets.*"]
    assert search(model, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    (said,) = (line for line in lines if "timestep bins; encodings differ" in line)
    assert said.startswith("# an input has a format in each of 2 timestep bins; encodings differ between the bins of ")
    heads = next(line for line in lines if line.startswith("layer "))
    assert heads.split()[:3] == ["layer", "tensor", "timestep"]
    where = heads.index("timestep")
    found = [line[where:].split("  ")[0] for line in lines[lines.index(heads) + 1 :]]
    assert found[:3] == ["all", "below 500", "500 on"]
    assert search(model, *words, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["tensor"], row["from"], row["to"]) for row in rows[:3]] == [
        ("weights", "", ""), ("input", "", "500.0"), ("input", "500.0", "")
    ]  # fmt: skip
    assert rows[1]["bias"] != rows[2]["bias"]


def test_without_bins_there_is_no_word_about_them(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--acts-bits", "8", "--skip", "*.attentions.*"]
    assert search(model, *words, "--out", "none.toml") == 0
    printed = capsys.readouterr()
    assert "timestep" not in printed.out
    assert "bins" not in printed.out + printed.err
    assert search(model, *words, "--timestep-bins", "1", "--out", "one.toml") == 0
    assert Path("one.toml").read_text() == Path("none.toml").read_text()
    assert "bins" not in Path("one.toml").read_text()


def test_the_bundled_model(one_thread: None, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*CHEN, "--timestep-bins", "2", "--num-images", "1", "--init-samples", "1"]
    assert simulate("fashion-28", *words) == 0
    assert "static, in 2 timestep bins" in capsys.readouterr().err
    (row,) = record()["rows"]
    assert row["acts"].endswith("searched, in 2 timestep bins")
    assert len(row["act_bins"]) == 65
    before = results(here / "run")
    assert run(shlex.split(record()["command"])[1:]) == 0
    assert results(here / "run") == before


BAD: dict[str, tuple[list[str], str]] = {
    "weights alone": (["--weights-bits", "8"], "--timestep-bins is for inputs, and weights have one format; give --b"),
    "empty bin": (["--bits", "8", "--timestep-bins", "8"], "timestep bin 125 to 250 holds none of the 2 timesteps, so"),
    "none": (["--bits", "8", "--timestep-bins", "0"], "less than 1 timestep bins were asked for; give 1 to 1000"),
    "many": (["--bits", "8", "--timestep-bins", "1001"], "more than 1000 timestep bins were asked for"),
    "text": (["--bits", "8", "--timestep-bins", "two"], "Invalid value for '--timestep-bins'"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = BAD[case]
    refused(capsys, search(model, "--timestep-bins", "2", *words), message)
    assert not list(here.iterdir())


def test_tensors_have_no_timesteps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.ones(4, np.float32))
    refused(capsys, search("x.npy", "--bits", "8", "--timestep-bins", "2"), "but 'x.npy' is a file; pass the folder of")
    assert [file.name for file in here.iterdir()] == ["x.npy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timestep-bins", "8"], "holds none of the run's 2 timesteps, so it has no scale; take more --steps"),
        (["--timestep-bins", "2", "--act-scales", "dynamic"], "--timestep-bins is for static scales"),
    ],
)
def test_simulate_refuses(
    words: list[str], message: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, simulate(model, *CHEN, *words), message)
    assert not list(here.iterdir())
