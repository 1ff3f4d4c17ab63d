"""Watching the denoiser's calls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sample_checks import SPEC, Models, interrupt, spec_for

from fpsim.sample.denoise import sample_batch
from fpsim.sample.noise import generators, initial_noise
from fpsim.sample.observe import StepRecord, observing


class TestObserver:
    @pytest.mark.parametrize(
        ("kind", "scheduler", "calls", "steps"),
        [
            ("bare", "ddim", 5, 5),
            ("ddpm", None, 5, 5),
            ("ldm", "heun", 9, 9),
            ("bare", "pndm", 14, 14),
            ("sd", None, 6, 6),  # PNDM takes its second step twice
            ("sdxl", "euler", 5, 5),
        ],
    )
    def test_sees_each_call(self, model: Models, kind: str, scheduler: str | None, calls: int, steps: int) -> None:
        records: list[StepRecord] = []
        reports: list[tuple[int, int]] = []
        spec = spec_for(kind, steps=5, scheduler=scheduler)
        sample_batch(
            model(kind), spec, range(2), observer=records.append, on_step=lambda *report: reports.append(report)
        )
        assert [record.step for record in records] == list(range(calls))
        assert reports == [(step, steps) for step in range(1, steps + 1)]
        assert all(a.t >= b.t for a, b in pairwise(records)) or scheduler == "pndm"
        config = model(kind).denoiser.config
        rows = 4 if kind.startswith("sd") else 2  # guidance: the unconditional half first
        for record in records:
            assert record.latents.shape == record.output.shape == (rows, config.in_channels, 8, 8)
            assert record.latents.dtype == record.output.dtype == np.float32

    def test_records_what_the_denoiser_does(self, model: Models) -> None:
        records: list[StepRecord] = []
        bare = model("bare")
        sample_batch(bare, SPEC, range(2), observer=records.append)
        start = initial_noise(generators(0, range(2)), (1, 8, 8))
        assert np.array_equal(records[0].latents, start.numpy())
        for record in tuple(records):
            with torch.no_grad():
                again = bare.denoiser(torch.from_numpy(record.latents), torch.tensor(int(record.t))).sample
            assert np.array_equal(again.numpy(), record.output)

    def test_keeps_its_arrays_when_the_tensors_change(self) -> None:
        class Denoiser(torch.nn.Module):
            def forward(self, hidden_states: torch.Tensor, timestep: float) -> tuple[torch.Tensor]:
                return (hidden_states * timestep,)

        records: list[StepRecord] = []
        denoiser, latents = Denoiser(), torch.ones(1, 1, 2, 2)
        with observing(denoiser, records.append):
            (output,) = denoiser(latents, timestep=2.5)
        for tensor in (latents, output):
            tensor.zero_()
        assert (records[0].t, records[0].latents.mean(), records[0].output.mean()) == (2.5, 1.0, 2.5)

    def test_changes_nothing_and_leaves_nothing_behind(self, model: Models) -> None:
        bare = model("bare")
        watched = sample_batch(bare, SPEC, range(2), observer=lambda _record: None)
        assert np.array_equal(watched, sample_batch(bare, SPEC, range(2)))
        with pytest.raises(KeyboardInterrupt):
            sample_batch(bare, SPEC, range(2), observer=interrupt)
        assert not bare.denoiser._forward_hooks
