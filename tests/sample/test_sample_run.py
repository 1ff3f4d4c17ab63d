"""Whole series: interrupted, resumed, never repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sample_checks import Models, files

from fpsim.sample.run import sample_into
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import BatchStore


class TestInterruption:
    SPEC = SampleSpec(steps=3, num_images=5, batch_size=2, seed=0, scheduler="ddpm")

    @pytest.mark.parametrize("kind", ["bare", "sd"])
    def test_resumed_bytes_are_the_same_and_no_batch_is_repeated(
        self, model: Models, tmp_path: Path, kind: str
    ) -> None:
        spec = replace(self.SPEC, prompts=("red", "blue", "dog") if kind == "sd" else None)
        whole, cut = BatchStore(tmp_path / "whole", "fp32"), BatchStore(tmp_path / "cut", "fp32")
        assert sample_into(whole, model(kind), spec, keep_trajectory=True) == 3

        def interrupt(number: int, finished: int, _total: int) -> None:
            if (number, finished) == (1, 2):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sample_into(cut, model(kind), spec, keep_trajectory=True, on_step=interrupt)
        assert [cut.has(number) for number in range(3)] == [True, False, False]
        stamp = cut.path(0).stat().st_mtime_ns
        reports: list[tuple[int, int, int]] = []
        resumed = sample_into(cut, model(kind), spec, keep_trajectory=True, on_step=lambda *r: reports.append(r))
        assert resumed == 2
        assert reports[:2] == [(0, 1, 1), (1, 1, 3)]
        assert cut.path(0).stat().st_mtime_ns == stamp
        assert files(whole.folder) == files(cut.folder)
        assert whole.merge(3, tmp_path / "a.npz").shape[0] == 5
        cut.merge(3, tmp_path / "b.npz")
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()

    def test_the_trajectory_is_kept_with_its_batch(self, model: Models, tmp_path: Path) -> None:
        store = BatchStore(tmp_path, "fp32")
        sample_into(store, model("bare"), self.SPEC, keep_trajectory=True)
        images, trajectory = store.read(2)
        assert images.shape == (1, 8, 8, 1)
        assert trajectory is not None
        assert trajectory.latents.shape == (3, 1, 1, 8, 8)
        assert trajectory.timesteps.tolist() == [666.0, 333.0, 0.0]
