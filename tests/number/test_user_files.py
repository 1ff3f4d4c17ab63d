"""Files and TOML that users give: one error, soon, whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpsim.errors import FpsimError
from fpsim.number.catalogue import fraction
from fpsim.number.floats import FloatFormat
from fpsim.number.user_files import LONGEST, check_name, parse_toml, read_text


def test_a_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("µ = 1\r\n".encode())
    assert read_text(str(tmp_path / "a"), "file") == "µ = 1\r\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices as POSIX has them")
def test_a_pipe_or_a_device_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(FpsimError, match=r"^formats file '.*' cannot be read: it is no regular file"):
            read_text(path, "formats file")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("\0", "no file can have this name"), ("missing", "No such file"), (".", "Is a directory"), ("raw", "not UTF-8")],
)
def test_what_cannot_be_read(name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").write_bytes(b"\xff")
    with pytest.raises(FpsimError, match=reason):
        read_text(name, "file")


def test_a_long_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as stream:
        stream.truncate(LONGEST)
    assert len(read_text(str(tmp_path / "long"), "file")) == LONGEST
    os.truncate(tmp_path / "long", LONGEST + 1)
    with pytest.raises(FpsimError, match="longer than 16 MiB"):
        read_text(str(tmp_path / "long"), "file")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a =", "not valid TOML: Invalid value"),
        ("a = " + "[" * 2000 + "]" * 2000, "nests too deep"),
        ("a = " + "[" * 100 + "]" * 100, "nests deeper than 100 levels"),
        ("a = " + "9" * 5000, "an integer is too long"),
        ("a = [1, {b = 0x" + "f" * 4000 + "}]", "more than 10,000 bits"),
        ("a = 1979-13-99", "not valid TOML"),
    ],
)
def test_toml_that_cannot_be_a_format(text: str, reason: str) -> None:
    with pytest.raises(FpsimError, match=reason):
        parse_toml(text, "mine.toml")


def test_names_under_which_no_file_can_be(tmp_path: Path) -> None:
    check_name(tmp_path / "missing" / "x")
    for name in ("\0", "\ud800", "x" * 300):
        with pytest.raises(FpsimError, match=r"no name that a file can have|File name too long"):
            check_name(tmp_path / name)


@pytest.mark.parametrize("text", ["1e99999999", "2^99999999", "1e5000^65536", "9" * 6000, "1/0", "nan", "0^-1"])
def test_check_values_that_would_take_forever(text: str) -> None:
    with pytest.raises(FpsimError, match="is not a number"):
        fraction(text)


@pytest.mark.parametrize("bias", [10**400, -(10**5000), 2**64], ids=["400", "5000", "64"])
def test_a_bias_beyond_float64(bias: int) -> None:
    with pytest.raises(FpsimError, match="bias is beyond 2\\^64"):
        FloatFormat(name="f", exponent_bits=4, mantissa_bits=3, bias=bias)
