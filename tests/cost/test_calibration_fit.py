"""Fitting: known parameters are found again, and left-out rows judge them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from latency_cases import conv, held, linear, silu

from fpsim.cost.device_file import find
from fpsim.cost.fitting import fit, predict
from fpsim.cost.latency import bounds, ideal
from fpsim.cost.observations import Observation, Prepared
from fpsim.cost.operations import Operation
from fpsim.cost.parameters import NAMES, STARTS, largest, starting
from fpsim.cost.runtime import Setting
from fpsim.cost.validation import calibrate, coverage, factor, leave_device_out, leave_one_out, median_error
from fpsim.cost.work import works

TRUE = {"tensor.conv": 0.3, "tensor.linear": 0.8, "bandwidth": 0.85, "t0": 8e-6, "launch.torch-2": 3e-5}
WORK = {
    "linear": (linear(16384), linear(8192)),
    "conv": (conv(64, 1280), conv(32, 640)),
    "memory": (linear(1), silu(1 << 26)),
    "kernels": tuple([linear(1, 16, 16)] * 50),
    "all": (linear(4096), conv(64, 640), silu(1 << 24), linear(1, 16, 16)),
}


def row(name: str, operations: tuple[Operation, ...], device: str, runtime: str, seconds: float = 1.0) -> Prepared:
    where, setting = find(device), Setting(runtime=runtime)
    done = list(works(operations, lambda _: held(None, None, where), setting))
    observation = Observation(
        id=name,
        device=where.name,
        model="",
        weights="",
        acts="",
        images=1,
        cfg=False,
        setting=setting,
        whole=False,
        steps=1,
        seconds=seconds,
        source="",
    )
    return Prepared(row=observation, times=ideal(done, where), computes=("fp16",))


def measured(item: Prepared, seconds: float) -> Prepared:
    return replace(item, row=replace(item.row, seconds=seconds))


def synthetic(noise: float = 0.0) -> list[Prepared]:
    """Rows whose times are those of known parameters, up to noise."""
    true, random = starting().replaced(TRUE), np.random.default_rng(1)
    rows = [
        row(f"{name} {device} {runtime}", operations, device, runtime)
        for name, operations in WORK.items()
        for device in ("a100", "h100", "l40s")
        for runtime in ("eager", "compiled")
    ]
    return [measured(item, predict(item, true) * math.exp(noise * random.standard_normal())) for item in rows]


@pytest.fixture(scope="module")
def noisy() -> list[Prepared]:
    return synthetic(0.1)


def test_known_parameters_are_found_again() -> None:
    found = fit(synthetic())
    for name, value in TRUE.items():
        assert found.values[name] == pytest.approx(value, rel=0.08), name
    assert all(abs(math.log(value)) < 0.05 for value in found.devices.values())
    assert found.values["vector.linear"] == STARTS["vector.linear"][0], "what no row depends on stays"


def test_a_slow_device_is_told_apart_from_slow_parameters() -> None:
    rows = [measured(r, r.row.seconds * (1.3 if r.row.device == "l40s" else 1)) for r in synthetic()]
    found = fit(rows)
    assert found.devices["l40s"] / found.devices["h100-sxm"] == pytest.approx(1.3, rel=0.08)


def test_no_prediction_is_below_its_bound() -> None:
    item = row("linear", WORK["linear"], "h100", "compiled")
    absurd = starting().replaced({}, {"h100-sxm": 1e-3})
    assert predict(item, absurd) == pytest.approx(float(bounds(item.times).sum()))


def test_one_outlier_moves_the_fit_less_than_its_error() -> None:
    rows = synthetic()
    moved = fit([measured(rows[0], 10 * rows[0].row.seconds), *rows[1:]])
    assert moved.values["tensor.linear"] == pytest.approx(TRUE["tensor.linear"], rel=0.15)


def test_left_out_rows_are_predicted_without_themselves(noisy: list[Prepared]) -> None:
    folds = leave_one_out(noisy)
    direct = predict(noisy[3], fit([item for item in noisy if item is not noisy[3]]))
    assert folds[3].predicted == direct != predict(noisy[3], fit(noisy))
    assert [fold.id for fold in folds] == [item.row.id for item in noisy]
    assert 0.02 < median_error(folds) < 0.15
    assert coverage(folds) >= 0.8


def test_left_out_devices_are_predicted_without_any_of_their_rows(noisy: list[Prepared]) -> None:
    folds = leave_device_out(noisy)
    others = fit([item for item in noisy if item.row.device != "a100-sxm-80"])
    first = next(fold for fold in folds if fold.device == "a100-sxm-80")
    item = next(item for item in noisy if item.row.id == first.id)
    assert first.predicted == predict(item, others)


def test_an_intervals_width_is_that_of_the_other_folds(noisy: list[Prepared]) -> None:
    folds = leave_one_out([measured(noisy[0], 2 * noisy[0].row.seconds), *noisy[1:6]])
    logs = [abs(math.log(fold.predicted / fold.measured)) for fold in folds]
    for place, fold in enumerate(folds):  # so few that the 90 % quantile is the largest
        others = max(logs[:place] + logs[place + 1 :])
        assert math.log(fold.high / fold.predicted) == pytest.approx(others)
        assert math.log(fold.predicted / fold.low) == pytest.approx(others)
    assert not folds[0].held


def test_a_calibration_knows_how_sure_it_is(noisy: list[Prepared]) -> None:
    found = calibrate(noisy, source="synthetic")
    assert found.spread.seen == factor(leave_one_out(noisy))
    assert found.spread.unseen >= found.spread.seen > 1
    assert (found.level, found.source, found.computes) == ("calibrated", "synthetic", ("fp16",))
    assert 1 < found.mape < 20


def test_starting_values_are_possible() -> None:
    assert set(STARTS) == set(NAMES)
    assert all(0 < value <= largest(name) for name, (value, _) in STARTS.items())
