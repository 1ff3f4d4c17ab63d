"""Bad input of ``fpsim quantize``: one line, exit code 2; a failed write exits 1 and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fpsim.cli import quantize_run
from fpsim.cli.main import run
from fpsim.quant import packed_stream

OPTIONS: dict[str, str] = {
    "in.safetensors": "--format is missing",
    "--format e4m3": "Missing argument 'FILE...'",
    "in.safetensors --format e4m99": "eXmY takes",
    "in.safetensors --format e4m3 --granularity row": "granularity 'row' is not one of",
    "in.safetensors --format e4m3 --granularity block:1": "a block needs at least 2 values",
    "in.safetensors --format e4m3 --scale best": "scale rule 'best' is not one of",
    "in.safetensors --format e4m3 --scale e8m0-floor": "is for blocks, not per channel",
    "in.safetensors --format mxfp4 --granularity channel": "blocks of 32 of its own; drop --granularity channel",
    "in.safetensors --format mxfp4 --scale mse": "scale rule e8m0-floor of its own; drop --scale mse",
    "in.safetensors --format e4m3 --rounding nearest": "does not say what happens to ties",
    "in.safetensors --format e4m3 --seed 0": "belong to stochastic rounding",
    "in.safetensors --format e4m3 --rounding stochastic": "stochastic rounding needs a seed",
    "in.safetensors --format e2m1 --overflow special": "neither",
    "in.safetensors --format e4m3 --min-dims 0": "0 is not in the range",
    "in.safetensors --format e4m3 --min-dims 9": "no tensor is left to quantize: 1 of type I64, 2 of fewer than 9 dims",
    "in.safetensors --format e4m3 --include wieght": "glob 'wieght' matches no tensor; the nearest is 'weight'",
    "in.safetensors --format e4m3 --exclude nope*": "matches no tensor",
    "in.safetensors --format e4m3 --overwrite": "--overwrite without --out has nothing to replace",
    "in.safetensors --format e4m3 --json --csv": "exclude each other",
    "in.safetensors --format e4m3 --out in.safetensors --overwrite": "the output in.safetensors is an input",
    "in.safetensors --format e4m3 --out link.safetensors --overwrite": "is an input",
    "in.safetensors --format e4m3 --out old.safetensors": "exists; choose another name",
    "in.safetensors --format e4m3 --out .": "is a folder",
    "in.safetensors --format e4m3 --out no/where": "lies in no existing folder; make no first",
    "in.safetensors --format e4m3 --out /dev/null --overwrite": "is no regular file",
    "in.safetensors in.safetensors --format e4m3": "in.safetensors and in.safetensors both have a tensor 'steps'",
    "in.safetensors --dequantize": "--dequantize needs --out FILE",
    "in.safetensors --dequantize --out x": "holds no packed codes of fpsim",
    "in.safetensors --dequantize --out x --seed 0": "takes everything from the file; drop --seed",
    "in.safetensors --dequantize --out x --format e4m3": "takes everything from the file; drop --format",
    "in.safetensors old.safetensors --dequantize --out x": "reads one packed file, not in.safetensors, old.safetensors",
    "up.json --dequantize --out x": "reads one packed file, not up.json",
    "packed.safetensors --format e4m3": "holds packed codes already; --dequantize makes plain tensors of it",
    "none.safetensors --format e4m3": "none.safetensors cannot be read: No such file",
    ". --format e4m3": "is a folder; name the safetensors file",
    "/dev/zero --format e4m3": "is no regular file",
    "old.safetensors --format e4m3": "3 bytes, too few for a safetensors file",
    "bad.safetensors --format e4m3": "announce a header of 9,223,372,036,854,775,808 bytes",
    "nan.safetensors --format e4m3": "tensor 'blocks.1' holds NaN or Inf; repair it, or leave it out",
    "nan.safetensors --format mxfp4 --out x": "tensor 'blocks.1' holds NaN or Inf",
    "list.json --format e4m3": "is no index of shards",
    "up.json --format e4m3": "shard '../in.safetensors' is no name of a file beside it",
    "gone.json --format e4m3": "gone.safetensors cannot be read",
    "nothing.json --format e4m3": "names no shard",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are wrong in one way each."""
    home = tmp_path_factory.mktemp("bad")
    good = {"weight": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32), "steps": np.arange(4)}
    save_file(good, home / "in.safetensors")
    save_file({"blocks.1": np.float32([[1, np.nan]])}, home / "nan.safetensors")
    (home / "link.safetensors").symlink_to("in.safetensors")
    (home / "old.safetensors").write_text("old")
    (home / "bad.safetensors").write_bytes((1 << 63).to_bytes(8, "little") + b"{}")
    (home / "list.json").write_text("[1]")
    for name, shard in (("up", "../in.safetensors"), ("gone", "gone.safetensors")):
        (home / f"{name}.json").write_text(json.dumps({"weight_map": {"weight": shard}}))
    (home / "nothing.json").write_text('{"weight_map": {}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run("quantize in.safetensors --format int4 --scale max --out packed.safetensors".split()) == 0
    return home


@pytest.mark.parametrize("words", OPTIONS)
def test_bad_input(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(os.listdir())
    assert run(["quantize", *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert OPTIONS[words] in printed.err
    assert sorted(os.listdir()) == before


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "words", ["in.safetensors --format int4 --scale max", "packed.safetensors --dequantize"], ids=["pack", "unpack"]
)
def test_a_full_disk_exits_1(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(packed_stream.os, "fsync", full)
    before = sorted(os.listdir())
    assert run(["quantize", *words.split(), "--out", "x.safetensors"]) == 1
    assert capsys.readouterr().err == "error: x.safetensors cannot be written: No space left on device\n"
    assert sorted(os.listdir()) == before


def test_ctrl_c_leaves_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(folder)
    monkeypatch.setattr(quantize_run, "measure", stop)
    before = sorted(os.listdir())
    assert run("quantize in.safetensors --format int4 --scale max --out x.safetensors".split()) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(os.listdir()) == before
