"""``fpsim simulate --arithmetic``: what is recorded, resumed and refused, and that FP32 runs are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulate_checks import ONE, images, record, refused, results, simulate
from test_simulate_resume import Stop

FP8 = ("--quant", "e4m3/e4m3")
HOPPER = ("--arithmetic", "hopper", "--promote-every", "64")


@pytest.fixture(scope="module")
def on_hopper(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a tensor core that nothing interrupted; only to be read."""
    home = tmp_path_factory.mktemp("hopper")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert simulate(model, *FP8, *HOPPER) == 0
    return home / "run"


def test_a_run_says_what_multiplied(on_hopper: Path) -> None:
    run = record(on_hopper)
    assert run["arithmetic"] == {"arch": "hopper", "promote_every": 64}
    (row,) = run["rows"]
    assert set(row["products"]) == {layer["name"] for layer in row["layers"]}
    assert set(row["products"].values()) == {"e4m3 (wgmma, K 32)"}
    assert " --arithmetic hopper --promote-every 64 " in run["command"]
    page = (on_hopper / "report.html").read_text(encoding="utf-8")
    assert "<h3>Arithmetic</h3>" in page
    assert f"e4m3 (wgmma, K 32): {len(row['products'])} layers" in page


def test_the_header_says_it_too(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(model, "--quant", "int8/int8", "--arithmetic", "ampere") == 0
    layers = len(record()["rows"][0]["products"])
    said = capsys.readouterr().err
    assert f"# int8/int8  arithmetic: ampere: {layers} layers in int8 (mma, K 16)" in said


def test_rows_differ_from_fp32_and_the_reference_does_not(on_hopper: Path, model: Path, here: Path) -> None:
    assert simulate(model, *FP8) == 0
    assert np.array_equal(images("full-precision"), images("full-precision", on_hopper))
    assert not np.array_equal(images("e4m3_e4m3"), images("e4m3_e4m3", on_hopper))
    plain = record()
    assert "arithmetic" not in plain
    assert "products" not in plain["rows"][0]
    first, again = results(here / "run"), here / "again"
    again.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(again)
        assert simulate(model, *FP8, "--arithmetic", "fp32") == 0
    assert results(again / "run") == first


def test_an_interrupted_run_goes_on_where_it_stopped(
    on_hopper: Path, model: Path, here: Path, sampled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Stop(patch, 9)  # in the second batch of the row
        assert simulate(model, *FP8, *HOPPER) == 130
    sampled.clear()
    assert simulate(model, *FP8, *HOPPER) == 0
    assert len(sampled) == 1
    assert results(here / "run") == results(on_hopper)


def test_another_arithmetic_is_another_run(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(model, *ONE, "--arithmetic", "ampere") == 0
    capsys.readouterr()
    for words in ((), ("--arithmetic", "hopper")):
        refused(capsys, simulate(model, *ONE, *words), "already holds another run (arithmetic")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quant", "e3m4/e3m4", *HOPPER), "fp16 holds it: add --operand-type fp16"),
        (("--quant", "mxfp8/mxfp8", *HOPPER), "its instructions take no scales of blocks"),
        (("--quant", "e4m3/none", *HOPPER), "has activations in full precision, which no tensor core takes"),
        ((*FP8, "--arithmetic", "hopper", "--promote-every", "100"), "sums 32 elements of e4m3 at once"),
        ((*FP8, "--arithmetic", "hopper", "--promote-every", "-1"), "--promote-every -1: give a positive number"),
        ((*FP8, "--arithmetic", "hopper", "--operand-type", "fp7"), "operand type 'fp7' is none of hopper; it has"),
        ((*FP8, "--promote-every", "128"), "--promote-every 128 is for tensor cores; add --arithmetic"),
        ((*FP8, "--operand-type", "fp16"), "--operand-type fp16 is for tensor cores; add --arithmetic"),
        ((*FP8, "--arithmetic", "pascal"), "'pascal' is not one of 'fp32', 'volta'"),
    ],
)
def test_refused_before_any_work(
    words: tuple[str, ...], message: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, simulate(model, *words), message)
    assert not (here / "run").exists()


def test_a_type_that_was_asked_for(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "e3m4/e3m4", "--arithmetic", "hopper", "--operand-type", "fp16") == 0
    assert set(record()["rows"][0]["products"].values()) == {"fp16 (wgmma, K 16)"}
    assert record()["arithmetic"] == {"arch": "hopper", "operand_type": "fp16"}


def test_learned_rounding_is_learned_in_fp32(model: Path, here: Path) -> None:
    """The weights of both runs are the same; only the rows' products differ."""
    words = ("--method", "chen2024", "--no-format-search", "--quant", "e2m1/e4m3", "--rounding-iters", "2")
    assert simulate(model, *words) == 0
    assert simulate(model, *words, *HOPPER, out="hopper") == 0
    plain, ours = (record(name)["rows"][0]["layers"] for name in ("run", "hopper"))
    for key in ("weight_sqnr_db", "act_sqnr_db"):
        assert [layer[key] for layer in plain][:1] == [layer[key] for layer in ours][:1]
    assert [layer["weight_sqnr_db"] for layer in plain] == [layer["weight_sqnr_db"] for layer in ours]
    assert record("hopper")["rows"][0]["products"]
