"""Run folders that are missing, damaged or something else: one line, and no half-written report."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.report import files
from fpsim.report.html import write_html

MakeRun = Callable[..., dict[str, Any]]
MakeFolder = Callable[..., Path]


def test_a_folder_that_is_no_run_is_one_line(make_run: MakeRun, make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match="finished `fpsim simulate`"):
        write_html(tmp_path)
    folder = make_folder(make_run(["e4m3/e4m3"]))
    for contents, message in [
        ("{", "not JSON"),
        ("[]", "no 'model'"),
        ('{"model": {}}', "no 'sampling'"),
    ]:
        (folder / "run.json").write_text(contents)
        with pytest.raises(FpsimError, match=message) as error:
            write_html(folder)
        assert "\n" not in str(error.value)
        assert "run.json" in str(error.value)
    assert not (folder / "report.html").exists()


def test_damaged_images_are_one_line(make_run: MakeRun, make_folder: MakeFolder) -> None:
    folder = make_folder(make_run(["e4m3/e4m3"]))
    path = folder / "images" / "row-0.npz"
    damaged: list[tuple[bytes | dict[str, Any], str]] = [
        (b"PK\x03\x04 half a file", "not an npz file"),
        ({"other": np.zeros(3)}, "not an npz file"),
        ({"arr_0": np.array([None])}, "not an npz file"),
        ({"arr_0": np.zeros((1, 4, 4, 3), np.float32)}, "float32"),
    ]
    for contents, message in damaged:
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            np.savez(path, **contents)
        with pytest.raises(FpsimError, match=message) as error:
            write_html(folder)
        assert "row-0.npz" in str(error.value)
    path.unlink()
    with pytest.raises(FpsimError, match="not an npz file"):
        write_html(folder)


def test_a_missing_library_is_named_with_its_cure() -> None:
    with pytest.raises(FpsimError, match=r"pip install 'fpsim\[plot\]'"):
        files.require("a_library_that_nobody_has")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    files.write_atomically(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FpsimError, match="No space left on device"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
