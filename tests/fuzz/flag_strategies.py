"""Command lines with something wrong in them, and paths that are no files to read or to write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from command_tables import BAD_CHOICES, CHOICES, CONTRADICTIONS, FILES, GOOD, HARMLESS, INTEGERS, REALS, Words
from hypothesis import strategies as st
from strategies import ANY_TEXT, NO_FLOATS, NO_INTS, edited_names

_SUFFIXES = (".toml", ".npy", ".npz", ".safetensors", ".json", ".txt", ".csv", "")
#: What ``make_places`` makes, of each kind one with each suffix.
_KINDS = ("folder", "pipe", "zero", "full", "empty", "garbage", "loop", "broken", "sparse")
PLACES = tuple(f"{kind}{suffix}" for kind in (*_KINDS, "missing", "folder/missing") for suffix in _SUFFIXES)
ODD_PATHS = ("", " ", ".", "..", "/", "\0", "a\0.toml", "\ud800.npy", "x" * 300, "/dev/zero", "/dev/null", "a\nb", "#")
_OUTPUTS = ("--json", "--csv", "--markdown")


def make_places(home: Path) -> None:
    """Make a folder, a pipe without a writer, links to devices, and files that are not what they should be."""
    for suffix in _SUFFIXES:
        (home / f"folder{suffix}").mkdir()
        os.mkfifo(home / f"pipe{suffix}")
        (home / f"zero{suffix}").symlink_to("/dev/zero")
        (home / f"full{suffix}").symlink_to("/dev/full")
        (home / f"empty{suffix}").touch()
        (home / f"garbage{suffix}").write_bytes(bytes(range(256)) * 4)
        (home / f"loop{suffix}").symlink_to(f"loop{suffix}")
        (home / f"broken{suffix}").symlink_to("nowhere")
        with (home / f"sparse{suffix}").open("wb") as stream:
            stream.truncate(1 << 35)


def inputs() -> st.SearchStrategy[str]:
    """Paths that hold nothing to read."""
    return st.one_of(st.sampled_from(PLACES), st.sampled_from(PLACES), st.sampled_from(ODD_PATHS))


_BAD_CHOICES = st.one_of(
    st.sampled_from(BAD_CHOICES),
    edited_names().map(lambda name: f"{name}?"),
    ANY_TEXT.map(lambda text: f"x{text}y"),
)
_UNKNOWN = st.one_of(
    st.sampled_from(("--fromat", "--jsn", "-q", "-1x", "--=", "--bias2=3", "--help=3", "---", "-\0", "--é", "-🦆")),
    st.text(st.sampled_from("abcxyz"), min_size=3, max_size=9).map(lambda text: f"--q{text}"),
    ANY_TEXT.map(lambda text: f"--q{text}"),
)
_FAULTS = ("unknown", "missing", "file", "integer", "real", "choice", "contradiction", "outputs")


@st.composite
def faults(draw: st.DrawFn, verb: str) -> Words:
    """A piece of a command line that makes it wrong."""
    kind = draw(st.sampled_from(_FAULTS))
    if kind == "integer" and verb in INTEGERS:
        return (f"{draw(st.sampled_from(INTEGERS[verb]))}={draw(NO_INTS)}",)
    if kind == "real" and verb in REALS:
        return (f"{draw(st.sampled_from(REALS[verb]))}={draw(NO_FLOATS)}",)
    if kind == "choice":
        return (f"{draw(st.sampled_from(CHOICES[verb]))}={draw(_BAD_CHOICES)}",)
    if kind == "file":
        return (f"{draw(st.sampled_from(FILES[verb]))}={draw(inputs())}",)
    if kind == "missing":
        options = (*INTEGERS.get(verb, ()), *REALS.get(verb, ()), *CHOICES[verb], *FILES[verb])
        return (draw(st.sampled_from(options)),)
    if kind == "outputs" and verb not in ("simulate", "vectors"):
        return tuple(draw(st.permutations(_OUTPUTS)))[:2]
    return draw(st.sampled_from(CONTRADICTIONS[verb])) if kind == "contradiction" else (draw(_UNKNOWN),)


@st.composite
def command_lines(draw: st.DrawFn, verbs: Sequence[str]) -> list[str]:
    """A command line that works but for one or two faults, with harmless options around them."""
    verb = draw(st.sampled_from(verbs))
    pieces: list[Words] = [draw(st.sampled_from(HARMLESS[verb])) for _ in range(draw(st.integers(0, 2)))]
    wrong = draw(faults(verb))
    # An option without its value takes the next word for it, so it comes last.
    last = len(wrong) == 1 and wrong[0].startswith("--") and "=" not in wrong[0]
    pieces.insert(len(pieces) if last else draw(st.integers(0, len(pieces))), wrong)
    return [*GOOD[verb], *(word for piece in pieces for word in piece)]


@st.composite
def wrong_files(draw: st.DrawFn) -> list[str]:
    """A command line whose data, or whose output, is at a place that has none."""
    path = draw(inputs())
    lines: Sequence[Words] = (
        ("quantize", path, "--format", "e4m3", "--scale", "max"),
        ("quantize", path, "--dequantize", "--out", "new.safetensors"),
        ("quantize", "in.safetensors", path, "--format", "e4m3", "--scale", "max"),
        ("compare", "e2m1", "--samples", "16", "--data", path),
        ("compare", "e2m1", "--samples", "16", "--data", f"{path}:w"),
        ("formats", "--formats-file", path),
        ("table", "--format", f"{path}#e4m3"),
        ("simulate", "--policy", path, "--out", "run"),
        ("simulate", "--quant", "int8/int8", "--prompts", path, "--out", "run"),
    )
    return list(draw(st.sampled_from(lines)))
