"""Run folders: nothing half, nothing twice, nothing mixed up."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_checks import files

from fpsim.errors import FpsimError
from fpsim.sample.npz import atomic, read_npz, write_npz
from fpsim.sample.store import BatchStore, RunFolder, canonical

IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


class TestNpz:
    def test_bytes_do_not_depend_on_the_day(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_npz(tmp_path / "now.npz", {"arr_0": IMAGES})
        monkeypatch.setattr("time.time", lambda: 2e9)
        write_npz(tmp_path / "later.npz", {"arr_0": IMAGES})
        assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()
        with zipfile.ZipFile(tmp_path / "now.npz") as archive:
            assert [entry.date_time for entry in archive.infolist()] == [(1980, 1, 1, 0, 0, 0)]

    def test_numpy_reads_them(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "a.npz", {"arr_0": IMAGES[:, ::-1], "scalar": np.float32(3)})
        with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
            assert np.array_equal(archive["arr_0"], IMAGES[:, ::-1])
            assert archive["scalar"] == 3

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_nothing_half(self, tmp_path: Path, error: type[BaseException]) -> None:
        file = tmp_path / "a.bin"
        file.write_bytes(b"old")

        def write_half() -> None:
            with atomic(file) as stream:
                stream.write(b"half of the n")
                raise error

        with pytest.raises(error):
            write_half()
        assert files(tmp_path) == {"a.bin": b"old"}

    def test_what_a_killed_run_left_is_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / ".a.npz.tmp").write_bytes(b"half")
        write_npz(tmp_path / "a.npz", {"arr_0": IMAGES})
        assert list(files(tmp_path)) == ["a.npz"]

    def test_a_full_disk_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(FpsimError, match=r"a\.npz cannot be written \(No space left on device\)"):
            write_npz(tmp_path / "a.npz", {"arr_0": IMAGES})
        assert files(tmp_path) == {}

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 garbage", b"nonsense"])
    def test_damaged_files(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(FpsimError, match="cannot be read as npz"):
            read_npz(tmp_path / "a.npz")


class TestBatchStore:
    def test_write_and_read(self, tmp_path: Path) -> None:
        store = BatchStore(tmp_path, "e4m3/int8")
        assert not store.has(0)
        store.write(0, IMAGES)
        images, trajectory = store.read(0)
        assert store.has(0)
        assert not store.has(1)
        assert np.array_equal(images, IMAGES)
        assert trajectory is None

    def test_labels_never_share_a_folder(self, tmp_path: Path) -> None:
        labels = ["e4m3/int8", "e4m3_int8", "e4m3%2Fint8", "e3m4@6.37/int8", "../up", "fp32", "a b", "ü"]
        folders = {BatchStore(tmp_path, label).folder for label in labels}
        assert len(folders) == len(labels)
        assert all(folder.parent == tmp_path for folder in folders)

    @pytest.mark.parametrize("label", ["", ".", "..", " "])
    def test_labels_that_name_nothing(self, tmp_path: Path, label: str) -> None:
        with pytest.raises(FpsimError, match="cannot name a series"):
            BatchStore(tmp_path, label)

    def test_merge(self, tmp_path: Path) -> None:
        store = BatchStore(tmp_path, "fp32")
        store.write(1, IMAGES[:1])
        store.write(0, IMAGES)
        merged = store.merge(2, tmp_path / "images.npz")
        assert np.array_equal(merged, np.concatenate([IMAGES, IMAGES[:1]]))
        assert np.array_equal(np.load(tmp_path / "images.npz")["arr_0"], merged)
        with pytest.raises(FpsimError, match=r"batch-00002\.npz cannot be read"):
            store.merge(3)

    def test_a_file_without_images(self, tmp_path: Path) -> None:
        store = BatchStore(tmp_path, "fp32")
        store.write(0, IMAGES)
        write_npz(store.path(0), {"other": IMAGES})
        with pytest.raises(FpsimError, match="holds no images"):
            store.read(0)


class TestRunFolder:
    CONFIG: dict[str, Any] = {"model": "bundled", "sample": {"steps": 20, "seed": 0}, "pairs": ["e4m3/e4m3"]}  # noqa: RUF012

    def test_new_then_resumed(self, tmp_path: Path) -> None:
        first = RunFolder(tmp_path / "a" / "run", self.CONFIG)
        again = RunFolder(tmp_path / "a" / "run", dict(reversed(self.CONFIG.items())))
        assert (first.resumed, again.resumed) == (False, True)
        assert first.sha256 == again.sha256 != RunFolder(tmp_path / "b", {"model": "x"}).sha256

    def test_another_configuration_names_the_keys(self, tmp_path: Path) -> None:
        RunFolder(tmp_path, self.CONFIG)
        before = files(tmp_path)
        changed = {**self.CONFIG, "sample": {"steps": 50, "seed": 0}, "device": "cpu"}
        with pytest.raises(FpsimError) as caught:
            RunFolder(tmp_path, changed)
        text = str(caught.value)
        assert 'device absent there, "cpu" now, sample.steps 20 there, 50 now' in text
        assert "pass another --out" in text
        assert "seed" not in text
        assert "\n" not in text
        assert files(tmp_path) == before

    def test_long_values_are_compared_whole(self, tmp_path: Path) -> None:
        RunFolder(tmp_path, {"hash": "0" * 63 + "1"})
        with pytest.raises(FpsimError, match="hash "):
            RunFolder(tmp_path, {"hash": "0" * 63 + "2"})

    def test_out_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        for path in (tmp_path / "out", tmp_path / "out" / "deeper"):
            with pytest.raises(FpsimError, match=r"cannot be made \(.*out is a file\)"):
                RunFolder(path, self.CONFIG)

    def test_out_cannot_be_made(self) -> None:
        with pytest.raises(FpsimError, match="output folder /proc/fpsim-test cannot be made"):
            RunFolder(Path("/proc/fpsim-test"), self.CONFIG)

    def test_damaged_record(self, tmp_path: Path) -> None:
        RunFolder(tmp_path, self.CONFIG)
        (tmp_path / "resume" / "config.json").write_text("{")
        with pytest.raises(FpsimError, match=r"config\.json is damaged"):
            RunFolder(tmp_path, self.CONFIG)

    @pytest.mark.parametrize("value", [float("nan"), {1, 2}, Path("a")])
    def test_values_that_are_not_json(self, value: object) -> None:
        with pytest.raises(FpsimError, match="is not JSON"):
            canonical({"a": value})
