"""The options of ``fpsim simulate`` that decide what is rounded, how and by whom."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from simulate_checks import PAIRS, images, record, results, simulate


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--batch-size", "3"], "sampling.batch_size 2 there, 3 now"),
        (["--seed", "5"], "sampling.seed 0 there, 5 now"),
        (["--skip", "conv_in"], "policies."),
        (["--scale", "mse"], "quantization.scale"),
        (["--quant", "int8/int8"], "policies.int8/int8 absent there"),
    ],
)
def test_another_command_needs_another_folder(
    words: list[str], key: str, model: Path, whole: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, "run")
    assert simulate(model, *PAIRS, *words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: run already holds another run (")
    assert key in line
    assert results(here / "run") == results(whole)


def test_backends_give_identical_images(model: Path, here: Path, plain_backend: str) -> None:
    pairs = ["--quant", "e4m3/int8", "--quant", "mxfp4/uint4", "--quant", "nf4/nvfp4"]
    found = []
    for backend in ("numba", "numpy", "torch", plain_backend):
        assert simulate(model, *pairs, "--backend", backend, out=backend) == 0
        assert record(backend)["quantization"]["backend"] == backend
        found.append({file.name: file.read_bytes() for file in Path(backend, "images").iterdir()})
        found[-1]["layers"] = json.dumps([row["layers"] for row in record(backend)["rows"]]).encode()
    assert all(other == found[0] for other in found[1:])
    assert len({found[0][name] for name in found[0]}) == 5


def test_a_policy_file_is_one_more_row(model: Path, here: Path) -> None:
    Path("mixed.toml").write_text(
        '[[rule]]\nmatch = "*"\nweights = "int4"\nacts = "int8"\n\n[[rule]]\nmatch = "*attn*"\nskip = true\n\n'
        '[[rule]]\nmatch = "conv_in"\nweights = { format = "e3m4", bias = 5.7, granularity = "tensor" }\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpsim.methods.run_row.measure_layers", lambda *_: [])
        assert simulate(model, "--policy", "mixed.toml", "--skip", "*attn*", "--quant", "int8/int8") == 2
    Path("mixed.toml").write_text(Path("mixed.toml").read_text().replace("*attn*", "*attentions*"))
    assert simulate(model, "--policy", "mixed.toml", "--skip", "conv_out", "--quant", "int8/int8") == 0
    int8, mixed = record()["rows"]
    assert (int8["label"], mixed["label"], mixed["weights"]) == ("int8/int8", "mixed", "rules of mixed.toml")
    layers = {layer["name"]: layer for layer in mixed["layers"]}
    assert not any("attentions" in name for name in layers)
    assert layers["conv_in"]["weights"].startswith("e3m4")
    assert "bias 5.7" in layers["conv_in"]["weights"]
    assert layers["conv_in"]["acts"] is None
    assert "conv_out" not in layers
    assert "conv_out" in [left["name"] for left in int8["left"]]
    # What the row records is the whole policy, which alone gives the same images.
    Path("again.toml").write_text(mixed["policy"])
    assert simulate(model, "--policy", "again.toml", out="again") == 0
    assert np.array_equal(images("again", "again"), images("mixed"))


def test_skip_leaves_layers_alone(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "int4/int4", "--skip", "*", "--skip", "conv_in") == 0
    (row,) = record()["rows"]
    assert row["layers"] == []
    assert np.array_equal(images("int4_int4"), images("full-precision"))
    assert record()["quantization"]["skip"] == ["*", "conv_in"]


def test_none_leaves_weights_or_activations_alone(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "none/none", "--quant", "none/int4", "--quant", "int4/none") == 0
    rows = {row["label"]: row for row in record()["rows"]}
    assert rows["none/none"]["psnr_db"]["mean"] == float("inf")
    assert (rows["none/none"]["weights"], rows["none/none"]["acts"]) == ("full precision", "full precision")
    assert {layer["weights"] for layer in rows["none/int4"]["layers"]} == {None}
    assert {layer["acts"] for layer in rows["int4/none"]["layers"]} == {None}
    assert rows["none/int4"]["model_bytes"] == rows["none/int4"]["model_bytes_full"]


def test_dynamic_scales(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "int8/int4", "--act-scales", "dynamic") == 0
    assert record()["rows"][0]["acts"] == "int4 (-7 to 7), per sample, max scale, dynamic"
    assert record()["quantization"]["act_scales"] == "dynamic"
    dynamic = images("int8_int4")
    assert simulate(model, "--quant", "int8/int4", out="static") == 0
    assert not np.array_equal(dynamic, images("int8_int4", "static"))


def test_granularities_scales_and_formats_files(model: Path, here: Path) -> None:
    Path("d").mkdir()
    Path("d/mine.toml").write_text('[warm]\nexponent_bits = 3\nmantissa_bits = 2\nbias = 4.3\n\n'
        '[runs]\nkind = "block"\nelement = "int4"\nblock = 8\nscale = "e8m0"\nrule = "ceil"\n')  # fmt: skip
    words = ["--quant", "warm/runs", "--quant", "int8/d/mine.toml#warm", "--quant", "d/mine.toml#runs/d/mine.toml#warm"]
    blocks = ["--weights-granularity", "block:8", "--scale", "mse"]
    assert simulate(model, *words, *blocks, "--formats-file", "d/mine.toml") == 0
    rows = record()["rows"]
    assert rows[0]["weights"] == "warm (bias 4.3, all finite, max 11.3715), per block of 8, mse scale"
    assert rows[0]["acts"].startswith("runs (int4 (-7 to 7) in blocks of 8, scale e8m0-ceil")
    assert [row["slug"] for row in rows[1:]] == ["int8_d_mine.toml_warm", "d_mine.toml_runs_d_mine.toml_warm"]
    assert simulate(model, "--quant", "e2m1/e2m1", *blocks[:2], "--acts-granularity", "block:8", "--scale",
                    "e8m0-floor", out="mx") == 0  # fmt: skip
    assert simulate(model, "--quant", "bf16/bf16", "--scale", "none", out="bf16") == 0
    assert record("bf16")["rows"][0]["psnr_db"]["mean"] > 40


def test_bfloat16_networks(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "e4m3/int8", "--dtype", "bfloat16") == 0
    assert record()["sampling"]["dtype"] == "bfloat16"
    assert record()["rows"][0]["psnr_db"]["mean"] > 15


def test_schedulers_are_recorded_by_their_class(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "int8/int8", "--scheduler", "euler") == 0
    assert record()["sampling"]["scheduler"] == "EulerDiscreteScheduler"


def test_strict_refuses_short_blocks(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(model, "--quant", "mxfp4/none", "--strict") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: conv_in.weight has 3 input channels, which is no multiple of the block of 32")
    assert not Path("run").exists()
    assert simulate(model, "--quant", "none/mxfp4", "--strict") == 2
    assert "the input of conv_in has 3 input channels" in capsys.readouterr().err
    assert (
        simulate(model, "--quant", "e2m1/none", "--weights-granularity", "block:8", "--strict", "--skip", "conv_in")
        == 0
    )
    assert "--strict" in record()["command"]


def test_overwrite_starts_afresh(model: Path, whole: Path, here: Path) -> None:
    shutil.copytree(whole, "run")
    assert simulate(model, "--quant", "int8/int8", "--overwrite") == 0
    assert [row["label"] for row in record()["rows"]] == ["int8/int8"]
    assert "--overwrite" not in record()["command"]
    first = results(here / "run")
    assert simulate(model, "--quant", "int8/int8", "--overwrite") == 0  # the same run: nothing to start afresh
    assert results(here / "run") == first


def test_timestep_bins_are_said_everywhere_and_one_is_none(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--steps", "4", "--num-images", "1", "--quant", "int8/int8"]
    assert simulate(model, *words, "--timestep-bins", "2", out="two") == 0
    assert "# int8/int8" in (said := capsys.readouterr().err)
    assert "static, in 2 timestep bins" in said
    assert simulate(model, *words, "--timestep-bins", "1", out="one") == 0
    assert simulate(model, *words, out="none") == 0
    two, one, none = (record(name) for name in ("two", "one", "none"))
    assert two["quantization"]["timestep_bins"] == 2
    assert "--timestep-bins 2" in two["command"]
    assert "timestep_bins = [500.0]" in two["rows"][0]["policy"]
    assert set(two["rows"][0]["act_bins"]) == {layer["name"] for layer in two["rows"][0]["layers"]}
    page = Path("two/report.html").read_text(encoding="utf-8")
    assert "Activation formats and scales by timestep" in page
    assert ">t below 500<" in page
    assert "timestep" not in json.dumps([none["quantization"], none["rows"][0]["policy"], none["rows"][0]["layers"]])
    assert one["run_hash"] == none["run_hash"] != two["run_hash"]
    assert (images("int8_int8", "one") == images("int8_int8", "none")).all()
    assert "Activation formats and scales by timestep" not in Path("none/report.html").read_text(encoding="utf-8")
