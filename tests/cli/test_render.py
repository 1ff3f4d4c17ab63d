"""Rendering: aligned, never cut, dim comments on a terminal only."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fpsim.cli.render import Column, Table, csv_text, json_text, markdown_text, plain_text

TABLE = Table(
    columns=(Column(name="name"), Column(name="n", right=True), Column(name="note", optional=True)),
    rows=[("a", "1", "x" * 100), ("long", "-12", 'a, "b" | c')],
    comments=("what it is",),
)


def test_columns_align_and_nothing_is_cut() -> None:
    assert plain_text(TABLE).splitlines() == [
        "# what it is",
        "name    n  note",
        "a       1  " + "x" * 100,
        'long  -12  a, "b" | c',
    ]


def test_a_narrow_terminal_does_without_optional_columns_and_says_so() -> None:
    assert plain_text(TABLE, width=40).splitlines() == [
        "# what it is",
        "# left out for want of width: note",
        "name    n",
        "a       1",
        "long  -12",
    ]
    assert plain_text(TABLE, width=5).splitlines()[-1] == "long  -12"
    assert plain_text(TABLE, width=111) == plain_text(TABLE)


def test_comments_are_dim_when_asked() -> None:
    assert plain_text(TABLE, dim=True).splitlines()[0] == "\x1b[2m# what it is\x1b[0m"


def test_csv_quotes_and_leaves_comments_out() -> None:
    assert csv_text(TABLE).splitlines()[0] == "name,n,note"
    assert csv_text(TABLE).splitlines()[2] == 'long,-12,"a, ""b"" | c"'


def test_markdown() -> None:
    assert markdown_text(TABLE).splitlines()[:4] == ["what it is", "", "| name | n | note |", "| :-- | --: | :-- |"]
    assert markdown_text(TABLE).splitlines()[-1] == '| long | -12 | a, "b" \\| c |'


def test_a_table_without_rows() -> None:
    empty = Table(columns=TABLE.columns, rows=[])
    assert plain_text(empty) == "name  n  note\n"
    assert csv_text(empty) == "name,n,note\n"


def test_json_is_strict() -> None:
    document = {"a": 1, "rows": [{"x": -0.0}, {"x": None}], "empty": [], "plain": [1, 2]}
    text = json_text(document)
    assert json.loads(text) == document
    assert text.splitlines()[3] == '    {"x": -0.0},'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            json_text({"a": value})
        with pytest.raises(ValueError, match="JSON"):
            json_text({"rows": [{"a": value}]})


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a verb prints on a terminal of 80 columns."""
    import fcntl
    import pty
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fpsim", *words], stdout=child, env={**kept, "TERM": "xterm", **environment}
    )
    os.close(child)
    text = b""
    try:
        while part := os.read(parent, 65536):
            text += part
    except OSError:  # Linux reports the closed terminal so
        pass
    os.close(parent)
    assert process.wait() == 0
    return text.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal() -> None:
    words = ("table", "--format", "e2m1", "--range", "0:2")
    assert on_a_terminal(*words).startswith("\x1b[2m# e2m1")
    assert on_a_terminal(*words, NO_COLOR="1").startswith("# e2m1")
    assert on_a_terminal(*words, TERM="dumb").startswith("# e2m1")
    assert "\x1b" not in on_a_terminal(*words, "--json")
    listing = on_a_terminal("formats", NO_COLOR="1").splitlines()
    assert "# left out for want of width: aliases, source" in listing
    assert max(map(len, listing[8:])) <= 80
    assert "source" in on_a_terminal("formats", NO_COLOR="1", COLUMNS="250").splitlines()[7]
