"""Devices files and calibrations that are damaged: one line and exit code 2, soon, whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cost_tables import CALIBRATION, DEVICE, OWN, damaged
from fuzz_harness import Tally, fuzz, outcome, put
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import nested

pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")

COST = ("cost", "--model", "bundled", "--weights", "int8", "--acts", "int8", "--json")
DEVICES = (*COST, "--devices", "mine.toml", "--device")
OURS = (*COST, "--calibration", "mine.toml", "--device")


def test_the_files_that_are_damaged_are_valid(place: Path) -> None:
    put("mine.toml", DEVICE)
    assert all(outcome([*DEVICES, name]).code == 0 for name in ("mine", "my", "other"))
    put("mine.toml", OWN)
    assert all(outcome([*OURS, name]).code == 0 for name in ("mine", "h100-sxm"))


def test_devices_files(place: Path) -> None:
    tally = Tally("devices files")

    @fuzz(420)
    @given(damaged(DEVICE), st.sampled_from(("mine", "other")))
    @example("", "mine")
    @example("[mine]\ninherit = 'mine'", "mine")
    @example("[mine]\ninherit = 'h100'\nprocessors = 0x" + "f" * 20_000, "mine")
    @example("[mine]\ninherit = 'h100'\n'\\u0000' = 1", "mine")
    @example("['\x7f']\ninherit = 'h100'", "mine")
    @example("".join(f"[a{n}]\ninherit = 'a{n + 1}'\n" for n in range(500)), "a0")
    @example("".join(f"[a{n}]\ninherit = 'h100'\n" for n in range(1001)), "a0")
    @example("[mine]\ninherit = 'h100'\nmemory_gb = " + "9" * 400, "mine")
    @example("[mine]\ninherit = 'h100'\nmemory_gb = 1e-320\n[mine.peaks]\nfp16 = 5e-324", "mine")
    @example("[mine]\ninherit = 'h100'\nbandwidth_gb_s = 1e-300", "mine")
    def check(text: str, name: str) -> None:
        put("mine.toml", text)
        tally.check([*DEVICES, name], key=text)

    check()
    tally.finish(share=0.6)  # a figure may be as valid as the original


def test_calibrations(place: Path) -> None:
    tally = Tally("calibrations")

    @fuzz(420)
    @given(st.sampled_from((CALIBRATION, OWN)).flatmap(damaged))
    @example("")
    @example("level = 'measured'\nmape = " + "9" * 400)
    @example("level = 'measured'\nmape = 0x" + "f" * 20_000)
    @example("level = 'measured'\nmape = inf")
    @example("level = 'measured'\nmape = -5")
    @example("level = 0x" + "f" * 20_000)
    @example("level = '" + "x" * 5000 + "'")
    @example("level = 'measured'\n'" + "x" * 5000 + "' = 1")
    @example("level = 'measured'\nsource = 0x" + "f" * 20_000)
    @example("level = 'measured'\ncomputes = " + nested(900, "[", "]"))
    @example("level = 'measured'\n[values]\nt0 = " + "9" * 400)
    @example("level = 'measured'\n[values]\nt0 = 1e308\nbandwidth = 5e-324")
    @example("level = 'measured'\n[values]\npointwise = 5e-324\nbandwidth = 1e-300")
    @example("level = 'measured'\n[spread]\nforeign = 1e308")
    @example("level = 'measured'\n[devices]\nh100-sxm = 1e308")
    @example("level = 'measured'\n[device.h100-sxm]\ninherit = 'h100'")
    def check(text: str) -> None:
        put("mine.toml", text)
        tally.check([*OURS, "h100-sxm"], key=text)

    check()
    tally.finish(share=0.6)  # a parameter may be as valid as the original
