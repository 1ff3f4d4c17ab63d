"""Line numbers of keys in a TOML text."""

from __future__ import annotations

import pytest

from fpsim.cost.device_lines import line_of

TEXT = """# [a] is not here
[a]  # but here
b = 1
"q.r" = 2
peaks.fp8 = 3
[ a . "c@d" ]
e = { f = 1,
  g = 2 }
[aa]
b = 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("a", "b"), 3),
        (("a", "q.r"), 4),
        (("a", "peaks", "fp8"), 5),
        (("a", "peaks", "fp16"), 2),
        (("a", "c@d"), 6),
        (("a", "c@d", "e", "f"), 7),
        (("aa", "b"), 10),
        (("aa", "missing"), 9),
        (("z",), None),
    ],
)
def test_line_of(path: tuple[str, ...], line: int | None) -> None:
    assert line_of(TEXT, path) == line


def test_long_lines_do_not_take_long() -> None:
    assert line_of("[" + " " * 1_000_000 + "\n[a]\n", ("a",)) == 2
