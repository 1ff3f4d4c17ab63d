"""Formats files and policies that are damaged: one line and exit code 2, soon, whatever is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz_harness import Tally, fuzz, put
from hypothesis import example, given
from hypothesis import strategies as st
from policy_strategies import policies
from strategies import damaged_bytes, nested
from toml_strategies import TABLES, formats_files

from fpsim.errors import FpsimError
from fpsim.number.catalogue import from_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")

FILE = "mine.toml"
VERBS: dict[str, Callable[[str], list[str]]] = {
    "list": lambda name: ["formats", "--formats-file", FILE, "--json"],
    "one": lambda name: ["formats", name, "--formats-file", FILE],
    "part": lambda name: ["formats", f"{FILE}#{name}"],
    "table": lambda name: ["table", "--format", f"{FILE}#{name}"],
    "inspect": lambda name: ["inspect", "1", "--format", name, "--formats-file", FILE],
    "quantize": lambda name: ["quantize", "in.safetensors", "--format", name, "--formats-file", FILE],
    "simulate": lambda name: ["simulate", "--quant", f"{FILE}#{name}/int8", "--out", "run"],
}
BLOCK = '[a]\nkind = "block"\nelement = "{}"\nblock = 32\nscale = "e8m0"\nrule = "floor"\n'
FLOAT = "[a]\nexponent_bits = 4\nmantissa_bits = 3\nbias = 7\n"


def valid() -> bool:
    """Whether the file holds formats."""
    from_file.cache_clear()
    try:
        return bool(from_file(FILE)) or True
    except FpsimError:
        return False


def test_the_tables_that_are_changed_are_valid(place: Path) -> None:
    put(FILE, "".join(map(str, TABLES)))
    assert valid()
    assert len(TABLES) > 30


def test_formats_files(place: Path) -> None:
    tally = Tally("formats files")

    @fuzz(1900)
    @given(formats_files(), st.sampled_from(sorted(VERBS)))
    @example((BLOCK.format("a"), "a"), "list")
    @example((FLOAT + 'check = { max = "1e99999999" }', "a"), "one")
    @example((FLOAT + 'check = { max = "1e5000^65536" }', "a"), "one")
    @example((FLOAT + f"check = {{ max = 0x{'f' * 20_000} }}", "a"), "list")
    @example((FLOAT.replace("7", "9" * 5000), "a"), "list")
    @example((FLOAT.replace("7", "0x" + "f" * 20_000), "a"), "table")
    @example((FLOAT.replace("4", "0x" + "f" * 20_000), "a"), "simulate")
    @example((FLOAT + f"signed = 0x{'f' * 20_000}", "a"), "inspect")
    @example(("a = " + nested(1000, "[", "]"), "a"), "list")
    @example(("a = " + nested(600, "{ a = ", " }", "1"), "a"), "quantize")
    @example(("a = 1979-13-99", "a"), "list")
    @example(("\ufeff" + FLOAT, "a"), "list")
    @example(("[a]\n" + "b = 1\n" * 100_000, "a"), "list")
    @example((f"[a]\nkind = 'codebook'\nvalues = [{'0,' * 70_000}]", "a"), "list")
    @example((FLOAT + f"specials = '{'x' * 1_000_000}'", "a"), "list")
    def check(file: tuple[str, str], verb: str) -> None:
        text, name = file
        put(FILE, text)
        # A valid file is work for most verbs; that it is valid is seen by the quickest of them.
        tally.check(VERBS["list" if valid() else verb](name), key=text)

    check()
    tally.finish()


def test_formats_files_of_damaged_bytes(place: Path) -> None:
    tally = Tally("formats files, binary")
    originals = st.sampled_from([str(table).encode() for table in TABLES])

    @fuzz(650)
    @given(st.one_of(damaged_bytes(originals), st.binary(min_size=1, max_size=60)), st.sampled_from(sorted(VERBS)))
    @example(b"\xff\xfe[\0a\0]\0", "list")
    @example(b"\xef\xbb\xbf[a]", "list")
    @example(b"\0" * 100_000, "list")
    def check(content: bytes, verb: str) -> None:
        put(FILE, content)
        tally.check(VERBS["list" if valid() else verb]("a"), key=content)

    check()
    tally.finish(share=0.85)  # a change within a comment or of a number may be as valid as the original


def test_policies(place: Path) -> None:
    tally = Tally("policies")

    @fuzz(1700)
    @given(policies())
    @example('[[rule]]\nmatch = "*"\nweights = 0x' + "f" * 20_000)
    @example('[[rule]]\nmatch = "*"\nacts = { format = "e4m3", granularity = "block:' + "9" * 5000 + '" }')
    @example(f'[[rule]]\nmatch = "*"\nweights = {{ format = "e4m3", bias = {"9" * 400} }}')
    @example("rule = " + nested(1000, "[", "]"))
    @example("[formats.a]\nvalues = " + nested(300, "[", "]") + '\n[[rule]]\nmatch = "*"\nskip = true')
    @example("[formats.a]\nb = " + nested(90, "{ a = ", " }", "1") + '\n[[rule]]\nmatch = "*"\nskip = true')
    def check(text: str) -> None:
        put("policy.toml", text)
        tally.check(["simulate", "--policy", "policy.toml", "--out", "run"], key=text)

    check()
    tally.finish()


@pytest.mark.parametrize("size", [1 << 24, 1 << 33])
def test_files_of_gigabytes_are_not_read(size: int, place: Path) -> None:
    with Path("large.toml").open("wb") as stream:
        stream.truncate(size + 1)
    tally = Tally("files")
    for words in (["formats", "--formats-file", "large.toml"], ["simulate", "--policy", "large.toml", "--out", "run"]):
        assert "longer than 16 MiB" in tally.check(words, malformed=True).err
