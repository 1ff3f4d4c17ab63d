"""How ``fpsim quantize`` prints, what it imports, and what it keeps of its input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from quantize_cases import TENSORS, document, prepare
from safetensors.numpy import save_file
from test_startup import heavy, loaded_by

from fpsim.cli.main import run


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of tensors in the working folder."""
    return prepare(tmp_path, monkeypatch)


TEXT = """\
# e2m1 (bias 1, all finite, max 6), per channel, max scale; ties-to-even, saturate
# 1 of 3 tensors quantized; copied: 1 of type I64, 1 of fewer than 2 dims
# 8 quantized values of 12.00 bits each, scales included
# {after} bytes instead of {before} ({percent:.1f}%), not written: no --out
tensor    SQNR dB  bytes  max error  saturated   zeros  shape  dtype  bytes before  zeros before
steps      copied     16          -          -       -  2      I64              16             -
bias       copied     16          -          -       -  4      F32              16             -
we\\tight    33.90     12       0.25         0%  25.00%  2x4    F32              32        12.50%
total                {after}                                                       {before}
"""


def test_the_table_is_whole_when_piped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The squared errors are 0.25² twice, the squares sum up to 306.625: 33.90 dB."""
    monkeypatch.setenv("COLUMNS", "40")
    x = np.float32([[6, 4, 3.25, 0.25], [-12, 0, 8, 6]])
    tensors = {"we\tight": x, "bias": np.zeros(4, np.float32), "steps": np.arange(2)}
    words = [str(tmp_path / "in.safetensors"), "--format", "e2m1", "--scale", "max"]
    save_file(tensors, words[0])
    assert run(["quantize", *words]) == 0
    printed, before = capsys.readouterr().out, os.path.getsize(words[0])
    after = document(capsys, *words)["total"]["bytes_after"]
    assert printed == TEXT.format(before=before, after=after, percent=100 * after / before)


def test_csv_and_markdown(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["quantize", "in.safetensors", "--format", "e4m3", "--scale", "max"]
    assert run([*words, "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("name,shape,dtype,status,copied_because,sqnr_db,max_abs_error")
    assert len(lines) == 1 + len(TENSORS)
    assert run([*words, "--markdown"]) == 0
    assert "| conv.bias | copied |" in capsys.readouterr().out


def test_the_help_needs_nothing_heavy() -> None:
    assert heavy(loaded_by("quantize", "--help")) == set()


def test_a_file_is_read_without_torch(source: Path) -> None:
    assert "torch" not in loaded_by("quantize", str(source), "--format", "int4", "--scale", "max")


def test_the_metadata_of_the_input_survive(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors import safe_open

    document(capsys, "in.safetensors", "--format", "int4", "--scale", "max", "--out", "out.safetensors")
    document(capsys, "out.safetensors", "--dequantize", "--out", "plain.safetensors")
    for file in ("out.safetensors", "plain.safetensors"):
        with safe_open(file, "np") as opened:
            assert opened.metadata()["format"] == "pt"
    with safe_open("plain.safetensors", "np") as opened:
        assert opened.metadata() == {"format": "pt"}
