"""``fpsim score``: the figures, where they come from, and thresholds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from score_cases import COUNT, images, make_network, make_run, score

from fpsim.features.network import load
from fpsim.measure.frechet import FeatureStatistics, frechet_distance
from fpsim.measure.kid import kid
from fpsim.measure.paired import paired_scores
from fpsim.measure.precision_recall import precision_recall

ROW, FULL = "run#int8/int8", "run#full precision"
FEATURES = ("--features", "net.pt", "--resize", "none")


@pytest.fixture
def place(here: Path) -> Path:
    """A folder with a run, one of another seed, and a feature network."""
    make_run(here / "run")
    make_run(here / "other", seed=7)
    make_network(here / "net.pt")
    return here


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert score(*words, "--json") == 0
    return dict(json.loads(capsys.readouterr().out))


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {record["metric"]: record for record in document["scores"]}


def pooled(place: Path, file: str) -> Any:
    with np.load(place / file) as arrays:
        return load(place / "net.pt", "none")(arrays["arr_0"]).pooled


def test_without_a_network_the_paired_metrics(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(capsys, ROW, FULL)
    with np.load("run/images/int8_int8.npz") as a, np.load("run/images/full-precision.npz") as b:
        wanted = paired_scores(b["arr_0"], a["arr_0"])
    found = by_name(document)
    assert list(found) == ["psnr", "ssim"]
    assert found["psnr"]["value"] == pytest.approx(wanted.psnr_db_mean)
    assert found["ssim"]["value"] == pytest.approx(wanted.ssim_mean)
    assert found["ssim"]["images"] == found["ssim"]["reference_images"] == COUNT
    assert document["network"] is None


def test_metrics_on_features_are_those_of_the_measure_layer(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(capsys, ROW, FULL, *FEATURES, "--metric", "fid,sfid,kid,pr")
    found = by_name(document)
    a, b = pooled(place, "run/images/int8_int8.npz"), pooled(place, "run/images/full-precision.npz")
    wanted = frechet_distance(*(FeatureStatistics.of(x).gaussian() for x in (a, b)))
    assert found["fid"]["value"] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert found["sfid"]["value"] == pytest.approx(wanted, rel=1e-6, abs=1e-9)  # this network's maps are its features
    assert found["kid"]["value"] == pytest.approx(kid(a, b).value)
    assert found["kid"]["error"] == pytest.approx(kid(a, b).error)
    both = precision_recall(a, b)
    assert (found["precision"]["value"], found["recall"]["value"]) == (both.precision, both.recall)
    record = document["network"]
    assert (record["name"], record["resize"], len(record["sha256"])) == ("net.pt", "none", 64)
    assert any("seed is the same" in note for note in document["notes"])


def test_features_are_kept_beside_the_run_and_used_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROW, FULL, *FEATURES, "--metric", "fid")
    first = printed(capsys, *words)
    files = sorted((place / "run").glob("features-*.npz"))
    assert len(files) == 2
    changed = {file: file.stat().st_mtime_ns for file in files}
    assert printed(capsys, *words) == first
    assert {file: file.stat().st_mtime_ns for file in files} == changed
    printed(capsys, *words, "--cache", "elsewhere")
    assert len(list((place / "elsewhere").glob("features-*.npz"))) == 2


def test_a_floor_is_scored_against_the_same_reference(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_name(printed(capsys, ROW, FULL, *FEATURES, "--floor", "other#full precision"))
    alone = by_name(printed(capsys, "other#full precision", FULL, *FEATURES))
    for name in ("fid", "kid", "precision", "recall"):
        assert found[name]["floor"] == alone[name]["value"]
    assert found["psnr"]["floor"] is None  # another seed has no pairs
    assert found["fid"]["value"] < found["fid"]["floor"]


def test_sets_of_different_seeds_get_no_paired_metrics_by_default(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = printed(capsys, "other#full precision", FULL, *FEATURES)
    assert list(by_name(document)) == ["fid", "kid", "precision", "recall"]
    assert document["notes"] == []


def test_statistics_serve_in_place_of_the_reference(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = by_name(printed(capsys, ROW, FULL, *FEATURES, "--metric", "fid,sfid", "--save-statistics", "b.npz"))
    words = (ROW, *FEATURES, "--metric", "fid,sfid", "--reference-statistics", "b.npz")
    found = by_name(printed(capsys, *words))
    assert {name: record["value"] for name, record in found.items()} == {n: r["value"] for n, r in whole.items()}
    assert found["fid"]["reference_images"] == COUNT
    with np.load("b.npz") as arrays:
        np.savez("theirs.npz", mu=arrays["mu"], sigma=arrays["sigma"])
    document = printed(capsys, ROW, *FEATURES, "--reference-statistics", "theirs.npz")
    assert by_name(document)["fid"]["reference_images"] is None
    assert any("does not say which network" in note for note in document["notes"])


def test_infinitely_many_samples(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROW, FULL, *FEATURES, "--metric", "fid-inf")
    first, other = (by_name(printed(capsys, *words, "--seed", seed))["fid-inf"] for seed in ("0", "1"))
    assert first["value"] != other["value"]
    assert first["error"] > 0
    assert score(*words, "--seed", "5", "--limit", "39") == 0
    text = capsys.readouterr().out
    assert "# seed     5, of fid-inf's subsets" in text
    assert "# limit    the first 39 images of each set" in text


def test_the_first_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("a.npz", arr_0=images(1, count=20))
    np.savez("b.npz", arr_0=images(2, count=30))
    document = printed(capsys, "a.npz", "b.npz", *FEATURES, "--limit", "18", "--metric", "fid,psnr")
    assert {record["images"] for record in document["scores"]} == {18}
    assert any("taken on trust" in note for note in document["notes"])


def test_thresholds_decide_the_exit_code(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROW, FULL, "--metric", "psnr,ssim")
    assert score(*words, "--require", "psnr>=20", "--require", "ssim<=1") == 0
    capsys.readouterr()
    assert score(*words, "--require", "psnr>=90", "--require", "ssim>=0") == 3
    done = capsys.readouterr()
    assert done.err.startswith("missed: psnr>=90 (psnr is ")
    assert done.err.count("\n") == 1
    assert "psnr" in done.out


def test_everything_is_recorded(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(capsys, ROW, FULL, "--out", "scores.json")
    written = json.loads((place / "scores.json").read_text())
    assert len(written["scores"][0].pop("per_image")) == COUNT
    assert len(written["scores"][1].pop("per_image")) == COUNT
    assert written == document


def test_identical_images_are_infinitely_good(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_name(printed(capsys, FULL, FULL, *FEATURES, "--out", "scores.json"))
    assert found["psnr"]["value"] == "inf"
    assert found["ssim"]["value"] == found["precision"]["value"] == found["recall"]["value"] == 1.0
    assert found["fid"]["value"] == pytest.approx(0, abs=1e-6)
    assert json.loads((place / "scores.json").read_text())["scores"][0]["per_image"] == ["inf"] * COUNT


def test_text_csv_and_markdown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROW, FULL, *FEATURES, "--floor", "other#full precision")
    assert score(*words) == 0
    text = capsys.readouterr().out
    assert "# network  net.pt, sha256 " in text
    assert "resize none" in text
    heading = next(line for line in text.splitlines() if line.startswith("metric"))
    assert heading.split() == ["metric", "value", "+-", "unit", "better", "N", "N", "of", "B", "floor"]
    assert next(line for line in text.splitlines() if line.startswith("kid")).count("x 1e-3") == 1
    assert score(*words, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["metric"] for row in rows] == ["psnr", "ssim", "fid", "kid", "precision", "recall"]
    assert float(rows[2]["floor"]) > float(rows[2]["value"])
    assert score(*words, "--markdown") == 0
    assert "| fid " in capsys.readouterr().out


def test_fid_of_too_few_images_is_left_out_unless_it_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROW, FULL, *FEATURES, "--limit", "12")
    document = printed(capsys, *words)
    assert list(by_name(document)) == ["psnr", "ssim", "kid", "precision", "recall"]
    assert any(note.startswith("fid is left out") and "needs more than 12" in note for note in document["notes"])
    assert score(*words, "--metric", "fid,kid") == 2
    assert score(*words, "--require", "fid<=5") == 2
    assert capsys.readouterr().err.count("needs more than 12") == 2
