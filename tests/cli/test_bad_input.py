"""Bad input: one line on stderr, exit code 2, nothing on stdout. And the other ways in which a run ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fpsim import __version__
from fpsim.cli import main
from fpsim.cli.main import run

CASES: dict[str, str] = {
    "tabel --format e2m1": "unknown verb 'tabel'. Did you mean 'table'? 'fpsim --help' lists all.",
    "qqqq": "unknown verb 'qqqq'. 'fpsim --help' lists all.",
    "--fast table": "No such option '--fast'",
    "table": "Missing option '--format'; 'fpsim table --help' shows what it takes",
    "table --format": "requires an argument",
    "table --format e2m1 e4m3": "unexpected extra argument",
    "table --format e2m1 --fromat x": "No such option '--fromat'",
    "table --format e4m3fm": (
        "unknown format 'e4m3fm'. Did you mean 'e4m3fn'? 'fpsim formats' lists all; eXmY, intN and uintN build one."
    ),
    "formats e4m3fm": "Did you mean 'e4m3fn'?",
    "table --format e9m1": "eXmY takes 1 <= X <= 8 and X + Y <= 15",
    "table --format e2m1 --bias nan": "bias nan is not a finite number",
    "table --format e2m1 --bias inf": "bias inf is not a finite number",
    "table --format e2m1 --bias three": "'three' is not a valid float",
    "table --format e2m1 --bias 1e9": "outside",
    "table --format e4m3 --bias 3000": "beyond float64; give a bias nearer the standard one",
    "table --format int8 --bias 3": "int8 is no floating-point format, so it has no bias to change",
    "table --format e2m1 --specials ocp": "'ocp' is not one of",
    "table --format e8m0 --specials ieee": "ieee specials need a mantissa bit",
    "table --format e2m1 --json --csv": "--json and --csv exclude each other; give one of them",
    "formats --csv --markdown": "--csv and --markdown exclude each other",
    "table --format binary16": "binary16 with 16 bits has 65,536 codes to show, more than 4,096; give --range A:B",
    "table --format binary32 --range 0:0x7fffffff": "take at most 1,048,576 at a time",
    "table --format e2m1 --range 3": "range '3' is not of the form A:B",
    "table --format e2m1 --range 3:x": "range '3:x' is not of the form A:B",
    "table --format e2m1 --range -1:3": "range '-1:3' is not of the form A:B",
    "table --format e2m1 --range 5:5": "range '5:5' is empty",
    "table --format e2m1 --range 0:17": "range '0:17' ends outside e2m1: its codes are 0 to 15",
    "table --format mxfp4": "--format e2m1, or its scale, --format e8m0",
    "table --format nowhere.toml#x": "formats file 'nowhere.toml' cannot be read: No such file",
    "table --format e2m1 --formats-file nowhere.toml": "formats file 'nowhere.toml' cannot be read",
    "formats --bias 3": "name it, as in: fpsim formats e2m1 --bias 3",
    "formats a b": "unexpected extra argument",
}


@pytest.mark.parametrize("words", CASES)
def test_bad_input(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert CASES[words] in printed.err


@pytest.mark.parametrize(
    "verb", ["table --format a --formats-file", "formats --formats-file", "formats a --formats-file"]
)
def test_a_malformed_formats_file(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[a]\nexponent_bits = 4\nmantissa_bitz = 3\nbias = 7\n")
    assert run([*verb.split(), str(path)]) == 2
    message = "[a]: unknown key 'mantissa_bitz'; did you mean 'mantissa_bits'?"
    assert capsys.readouterr().err == f"error: {path}: {message}\n"


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["table", "--format", "e2m1\nx"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert run(words) == 0
        text = capsys.readouterr().out
        assert all(f"\n  {verb} " in text for verb in main.VERBS)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"fpsim {__version__}\n"


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert f"Usage: fpsim {verb}" in capsys.readouterr().out


def _stand_in(monkeypatch: pytest.MonkeyPatch, body: object) -> None:
    command = click.Command("stand-in", callback=body)  # type: ignore[arg-type]
    monkeypatch.setattr(main, "stand_in", command, raising=False)
    monkeypatch.setitem(main.VERBS, "stand-in", "fpsim.cli.main:stand_in")


@pytest.mark.parametrize(("message", "line"), [("", "interrupted"), ("2 of 3 batches kept", "2 of 3 batches kept")])
def test_an_interrupted_verb_exits_130_with_one_line(
    message: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt(message)

    _stand_in(monkeypatch, interrupt)
    assert run(["stand-in"]) == 130
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_a_verb_returns_its_exit_code(returned: int | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, lambda: returned)
    assert run(["stand-in"]) == code


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    _stand_in(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        run(["stand-in"])


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")
def test_ctrl_c_in_a_process() -> None:
    code = (
        "import os, signal, click, fpsim.cli.main as main\n"
        "main.stop = click.Command('stop', callback=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "main.VERBS['stop'] = 'fpsim.cli.main:stop'\n"
        "raise SystemExit(main.run(['stop']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")
@pytest.mark.parametrize("words", ["table --format binary16 --range 0:20000", "table --format e2m1"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fpsim", *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_an_unencodable_name_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("['µ8']\nexponent_bits = 4\nmantissa_bits = 3\nbias = 7\n", encoding="utf-8")
    command = [sys.executable, "-m", "fpsim", "formats", "--formats-file", str(path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert b"\\xb58" in done.stdout
