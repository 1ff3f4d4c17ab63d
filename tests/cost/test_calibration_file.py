"""Calibrations as TOML: the published one, the way out and in, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from latency_cases import measured_machine

from fpsim.cost.calibration_file import dumps, load, loads
from fpsim.cost.device_file import find
from fpsim.cost.parameters import NAMES, Spread, starting
from fpsim.errors import FpsimError


def test_the_published_calibration_is_whole_and_its_intervals_are_narrow_enough() -> None:
    found = load().parameters
    assert set(found.values) == set(NAMES)
    assert found.level == "calibrated"
    assert len(found.devices) == 10
    assert all(find(name).name == name for name in found.devices)
    assert found.spread.seen**2 <= 2
    assert found.spread.unseen**2 <= 3
    assert found.spread.foreign**2 <= 3.001
    assert 0 < found.mape < 15


def test_what_is_written_is_read_back() -> None:
    spread = Spread(seen=1.25, unseen=1.5, foreign=1.7)
    before = starting().replaced({"t0": 3e-6}, {"h200": 1.125})
    before = type(before)(
        level="measured",
        values=before.values,
        devices=before.devices,
        computes=("fp16",),
        mape=12.5,
        spread=spread,
        source='a "quoted" source',
    )
    after = loads(dumps(before, comments=("why",)), "mine.toml").parameters
    assert after == before


def test_a_measured_machine_is_a_device() -> None:
    found = loads(measured_machine(), "mine.toml")
    assert found.devices["mine"].peaks["fp32"].dense.value == 1e11
    assert found.parameters.values == starting().values
    assert math.isnan(found.parameters.mape)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level = 3", "key 'level' is 3; it is one of calibrated, measured"),
        ("", "key 'level' is None"),
        ('level = "measured"\nspeed = 2', "unknown key 'speed'"),
        ('level = "measured"\nvalues = 3', r"key 'values' is no table; write \[values\]"),
        ('level = "measured"\n[values]\nwarp = 1.0', r"\[values\]: unknown key 'warp'"),
        ('level = "measured"\n[values]\n"tensor.conv" = 1.5', "'tensor.conv' is 1.5; it needs .* from 1e-12 to 1$"),
        ('level = "measured"\n[values]\n"t0" = 0.0', "'t0' is 0.0; it needs a number from 1e-12 to"),
        ('level = "measured"\n[values]\n"t0" = true', "'t0' is True"),
        ('level = "measured"\n[devices]\nmine = "fast"', "'mine' is 'fast'"),
        ('level = "measured"\n[device]\nmine = 3', r"write \[device.NAME\]"),
        ('level = "measured"\n[device.mine]\nprocessors = 2', r"\[device.mine\]: .*missing"),
        ('level = "measured"\nmape = "low"', "key 'mape' is 'low'"),
        ('level = "measured"\ncomputes = 3', "key 'computes' is 3"),
        ("level = ", "mine.toml"),
    ],
)
def test_what_is_malformed_is_named(text: str, message: str) -> None:
    with pytest.raises(FpsimError, match=message) as caught:
        loads(text, "mine.toml")
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match=r"none\.toml"):
        load(str(tmp_path / "none.toml"))
