"""Names of formats and numbers that are none: one line and exit code 2, from every verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz_harness import TOTAL, WANTED, Tally, fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import ANY_TEXT, NAMES, NO_FLOATS, VALID

import fpsim

pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")

VERBS: dict[str, Callable[[str], list[str]]] = {
    "formats": lambda name: ["formats", name],
    "table": lambda name: ["table", "--format", name],
    "inspect": lambda name: ["inspect", "0.3", "--format", name],
    "compare": lambda name: ["compare", "e4m3", name, "--samples", "16"],
    "quantize": lambda name: ["quantize", "in.safetensors", "--format", name],
    "vectors": lambda name: ["vectors", "--format", name, "--count", "0", "--out", "-"],
    "conformance": lambda name: ["conformance", "--backend", "numpy", "--format", name, "--quick"],
    "weights": lambda name: ["simulate", "--weights", name, "--out", "run"],
    "acts": lambda name: ["simulate", "--weights", "int8", "--acts", name, "--out", "run"],
    "pair": lambda name: ["simulate", "--quant", f"{name}/int8", "--out", "run"],
}
FLOATS = ("e4m3", "e2m1", "binary16", "e5m2", "bfloat16")


def valid(name: str) -> bool:
    """Whether a name, or a part of it, stands for a format."""
    for part in {name, *name.split(",", 3), *name.split("/", 3)}:
        try:
            fpsim.format(part)
        except fpsim.FpsimError:
            continue
        return True
    return name.strip().lower() in ("", "none")


def test_the_tests_together_try_ten_thousand_inputs() -> None:
    assert sum(WANTED.values()) >= TOTAL


@pytest.mark.parametrize("name", VALID)
def test_the_names_that_are_edited_are_valid(name: str) -> None:
    assert valid(name)


@pytest.mark.parametrize("name", ["mxfp4-even-even", "mxfp4-even" * 2, "int4-even", "mxfp4-"])
def test_one_rule_of_scales_is_enough(name: str) -> None:
    assert not valid(name)


def test_names(place: Path) -> None:
    tally = Tally("names")

    @fuzz(2400)
    @given(NAMES, st.sampled_from(sorted(VERBS)))
    @example("mxfp4" + "-even" * 3000, "formats")
    @example("x" * 100_000, "table")
    @example("e4m3\u202e\x1b[2J", "formats")
    @example("\0#x", "formats")
    @example("\ud800#x", "table")
    @example("file.toml#", "vectors")
    @example("e99999999999999999999m3", "inspect")
    @example("E-1M3", "quantize")
    @example("ε4m3", "weights")
    @example("int0", "acts")
    def check(name: str, verb: str) -> None:
        # A valid name is work for most verbs; that it is valid is seen by the quickest of them.
        tally.check(VERBS["formats" if valid(name) else verb](name))

    check()
    tally.finish()


def test_formats_files_of_such_names(place: Path) -> None:
    tally = Tally("formats files of such names")

    @fuzz(350)
    @given(st.one_of(ANY_TEXT, NAMES), st.sampled_from(("formats", "table", "inspect", "quantize", "pair")))
    def check(name: str, verb: str) -> None:
        words = VERBS[verb]("e4m3")
        tally.check([*words, "--formats-file", f"{name}.toml"], malformed=True)

    check()
    tally.finish()


def test_biases(place: Path) -> None:
    tally = Tally("biases")

    @fuzz(750)
    @given(NO_FLOATS, st.sampled_from(FLOATS), st.sampled_from(("formats", "inspect", "quantize", "vectors")))
    @example("1e-320", "e4m3", "formats")
    @example("-5e-324", "e4m3", "formats")
    @example("4096", "e4m3", "formats")
    def check(text: str, name: str, verb: str) -> None:
        verb = "formats" if _is_bias(text) else verb
        tally.check([*VERBS[verb](name), f"--bias={text}"])

    check()
    tally.finish()


def _is_bias(text: str) -> bool:
    try:
        return abs(float(text)) <= 4096
    except ValueError:
        return False


NO_NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "-", "+", "--", "0x", "1", "1e", "2^", "3*2^", "1/", "0x1p")),
    st.sampled_from(("", "9" * 2001, "1.5.", ".", "1e6e", "abc", "999999", "-999999", "1" * 300, "½", "%s", "{}")),
    st.sampled_from(("/", "^", "*", "p", "e", "e-", "**", "p-", "^^", "/-", "#", "\0", "%", "\u2212", "_")),
    st.sampled_from(("", "0", "999999", "-9999999", "1/2", "x", "9" * 300, "1e9", "\n", "\ud800", "٣", "inf")),
)


def test_numbers_to_inspect(place: Path) -> None:
    tally = Tally("numbers")

    @fuzz(750)
    @given(st.one_of(NO_NUMBERS, NO_NUMBERS, ANY_TEXT), st.booleans())
    @example("1e99999", False)
    @example("9" * 3000, True)
    @example("1^99999", False)
    @example("1/0", True)
    def check(text: str, piped: bool) -> None:
        tally.check(["inspect", "-" if piped else text, "--format", "e4m3"], stdin=text)

    check()
    tally.finish()
