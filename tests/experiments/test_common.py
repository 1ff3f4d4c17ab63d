"""What the tables share: the tier that every table names, the words of runs, LPIPS of small images."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

import common

PLAIN = common.Setting(
    model="bundled", prompts=None, images=64, steps=20, batch=16, iterations=None, device="cpu", lpips=None
)


def parsed(*words: str, few: int = 2) -> common.Setting:
    parser = argparse.ArgumentParser()
    common.add_options(parser, "runs/x")
    return common.setting(parser.parse_args(list(words)), few)


def test_the_defaults_are_the_cpu_tier() -> None:
    assert parsed() == PLAIN
    assert PLAIN.tier.startswith("CPU tier: 64 images, 20 steps, seed 0 (the paper: 50000 images, 200 steps")


@pytest.mark.parametrize(
    ("changed", "tier"),
    [
        ({}, "paper's settings: 50000 images"),
        ({"device": "cpu"}, "CPU tier: "),
        ({"images": 49_999}, "CUDA tier: "),
        ({"steps": 199}, "CUDA tier: "),
        ({"iterations": None}, "CUDA tier: "),
        ({"images": 10_000, "steps": 50, "prompts": Path("p.txt")}, "paper's settings: 10000 images"),
        ({"images": 10_000, "steps": 50}, "CUDA tier: "),
    ],
)
def test_only_the_whole_of_the_papers_settings_bears_their_name(changed: dict[str, Any], tier: str) -> None:
    words = ("--images", "50000", "--steps", "200", "--rounding-iters", "20000", "--device", "cuda")
    assert replace(parsed(*words), **changed).tier.startswith(tier)


def test_words_of_runs() -> None:
    how = parsed("--model", "a/sd", "--prompts", "p.txt", "--device", "cuda", "--batch-size", "4")
    assert " ".join(how.sampling) == "--model a/sd --steps 20 --batch-size 4 --device cuda --prompts p.txt"
    assert (how.folder, PLAIN.folder) == ("sd-64x20", "64x20")
    assert how.rounding(None) == ()
    assert how.rounding(300) == ("--rounding-iters", "300")
    assert replace(how, iterations=7).rounding(300) == ("--rounding-iters", "7")


def test_a_smoke_test_is_small() -> None:
    how = parsed("--smoke", "--images", "999", few=8)
    assert (how.images, how.steps, how.iterations) == (8, 2, 2)


def test_small_images_are_resized_for_lpips() -> None:
    how = replace(PLAIN, lpips=Path("l.safetensors"))
    assert common.lpips_words(how, 28)[-2:] == ["--lpips-size", "64"]
    assert "--lpips-size" not in common.lpips_words(how, 512)
    assert common.lpips(Path("nowhere"), "a", PLAIN) is None


def test_mean_psnr_is_that_of_the_mean_error() -> None:
    black = np.zeros((2, 4, 4, 1), np.uint8)
    other = black.copy()
    other[0] = 51  # a fifth of the range: 13.98 dB, and one image without error
    assert common.mean_psnr(black, other) == pytest.approx(-10 * np.log10(0.04 / 2))


def test_a_command_that_fails_says_what_it_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"(?s)fpsim score x: exit code 2.*one reference is needed"):
        common.called(["score", "x"])
    assert capsys.readouterr().out == ""


def test_finished_runs_are_taken_as_they_are_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(common, "called", asked.append)
    (tmp_path / "run.json").write_text('{"run_hash": "ab"}')
    assert common.simulated((), tmp_path, PLAIN, as_is=True) == {"run_hash": "ab"}
    assert asked == []
    assert common.simulated(("--quant", "int8/int8"), tmp_path, PLAIN) == {"run_hash": "ab"}
    assert asked[0][:3] == ["simulate", "--quant", "int8/int8"]
    assert asked[0][-4:] == ["--num-images", "64", "--out", str(tmp_path)]
