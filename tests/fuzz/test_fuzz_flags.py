"""Command lines with wrong options: one line and exit code 2, before any model, pipe or device is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_tables import GOOD, HARMLESS, METHOD_FAULTS
from flag_strategies import command_lines, make_places, wrong_files
from fuzz_harness import Tally, fuzz, outcome, tree
from hypothesis import example, given
from strategies import ANY_TEXT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers and pipes as POSIX has them")

SAMPLING = ("allocate", "search", "simulate")
VERBS = tuple(verb for verb in GOOD if verb not in SAMPLING)


@pytest.fixture(scope="module")
def places(place: Path) -> Path:
    make_places(place)
    return place


@pytest.mark.parametrize("verb", GOOD)
def test_the_command_lines_are_right_but_for_their_faults(verb: str, places: Path) -> None:
    for piece in HARMLESS[verb]:
        words = [*GOOD[verb], *piece]
        assert outcome(words).code == 0, words


def test_flags(places: Path) -> None:
    tally, before = Tally("flags"), tree(places)

    @fuzz(1900)
    @given(command_lines(VERBS))
    @example(["vectors", "--format", "e2m1", "--count", "0", "--out", "\0.csv"])
    @example(["vectors", "--format", "e2m1", "--count", "0", "--out", "full.csv", "--overwrite"])
    @example(["quantize", "in.safetensors", "--format", "e4m3", "--out", "\0"])
    @example(["quantize", "x" * 300, "--format", "e4m3"])
    @example(["table", "--format", "e2m1", "--range", f"0:{'9' * 5000}"])
    @example(["score", "a.npz", "b.npz", "--lpips", "sparse.toml"])
    @example(["score", "a.npz", "b.npz", "--network", "sparse.npy"])
    @example(["score", "a.npz", "b.npz", "--network", "sparse.safetensors"])
    @example([])
    def check(words: list[str]) -> None:
        tally.check(words)

    check()
    assert tree(places) == before
    tally.finish()


def test_flags_of_simulate(places: Path) -> None:
    tally, before = Tally("simulate flags"), tree(places)

    @fuzz(1000)
    @given(command_lines(SAMPLING))
    @example(["simulate", "--quant", "int8/int8", "--out", "run", "--prompts", ""])
    @example(["simulate", "--quant", "int8/int8", "--out", "run", "--policy", ""])
    def check(words: list[str]) -> None:
        tally.check(words)

    check()
    assert tree(places) == before
    tally.finish()


def test_wrong_options_of_methods_are_refused_before_a_model_is_loaded(places: Path) -> None:
    tally = Tally("methods")
    for words in METHOD_FAULTS:
        tally.check(["simulate", "--quant", "int8/int8", "--out", "run", *words], malformed=True)


@pytest.mark.parametrize("out", ["\0", "\ud800", "x" * 300, "pipe", "empty"])
def test_places_to_write_are_checked_before_a_model_is_loaded(out: str, places: Path) -> None:
    Tally("out").check(["simulate", "--quant", "int8/int8", "--out", out], malformed=True)


@pytest.mark.parametrize("option", ["--prompts", "--policy", "--weights", "--acts", "--quant", "--formats-file"])
def test_an_empty_option_is_not_none(option: str, places: Path) -> None:
    Tally("empty").check(["simulate", "--quant", "int8/int8", "--out", "run", option, ""], malformed=True)


def test_places_without_data(places: Path) -> None:
    tally, before = Tally("places"), tree(places)

    @fuzz(850)
    @given(wrong_files())
    @example(["formats", "--formats-file", "pipe.toml"])
    @example(["simulate", "--policy", "zero.toml", "--out", "run"])
    @example(["simulate", "--quant", "int8/int8", "--prompts", "pipe.txt", "--out", "run"])
    @example(["compare", "e2m1", "--data", "pipe.npy"])
    @example(["compare", "e2m1", "--data", "zero.npz"])
    @example(["compare", "e2m1", "--data", "sparse.npy"])
    @example(["compare", "e2m1", "--data", "a\0.npy"])
    @example(["quantize", "pipe.json", "--format", "e4m3"])
    @example(["quantize", "sparse.json", "--format", "e4m3"])
    def check(words: list[str]) -> None:
        tally.check(words)

    check()
    assert tree(places) == before
    tally.finish()


def test_verbs_that_there_are_not(place: Path) -> None:
    tally = Tally("verbs")

    @fuzz(300)
    @given(ANY_TEXT.map(lambda text: f"x{text}"))
    @example("tabel")
    @example("\0")
    @example("a" * 100_000)
    def check(verb: str) -> None:
        tally.check([verb, "--format", "e4m3"], malformed=True)

    check()
    tally.finish()
