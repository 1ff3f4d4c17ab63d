"""Runs the command line in this process and holds it to its contract about bad input."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings

from fpsim.cli.main import run
from fpsim.number.catalogue import from_file

#: Distinct malformed inputs that each test must have tried; together at least ``TOTAL``.
WANTED = {
    "names": 1800,
    "formats files of such names": 260,
    "biases": 650,
    "numbers": 680,
    "formats files": 1500,
    "formats files, binary": 500,
    "policies": 1350,
    "timestep bins": 400,
    "devices files": 250,
    "calibrations": 250,
    "flags": 1500,
    "simulate flags": 680,
    "places": 620,
    "verbs": 280,
    "headers": 1200,
    "header bytes": 500,
    "packed metadata": 440,
    "arrays": 400,
}
TOTAL = 10_000
#: Limits of one command: seconds of work, and seconds of waiting, such as for the other end of a pipe.
WORK_S, WAIT_S = 10.0, 60.0
LONGEST = 2100
_CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def fuzz(examples: int) -> settings:
    """Nearly the same examples in every run: Hypothesis mixes in constants of the modules that a worker has loaded."""
    return settings(deadline=None, max_examples=examples, derandomize=True, suppress_health_check=_CHECKS)


class Hang(BaseException):
    """The command took too long; no ``except Exception`` may swallow it."""


class ModelLoaded(Exception):
    """``fpsim simulate`` has accepted its options: it would load a model now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def outcome(words: Sequence[str], stdin: str = "") -> Outcome:
    """Run ``fpsim`` with these words, with streams as Python makes them, within the limits of time."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")]
    before = sys.stdin, sys.stdout, sys.stderr
    from_file.cache_clear()  # the next example has another file of the same name
    sys.stdin, (sys.stdout, sys.stderr) = io.StringIO(stdin), streams
    try:
        with _limited(words), warnings.catch_warnings():
            # In a process of its own, a warning would be a second line on stderr.
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", UserWarning)
            code = run(list(words))
    except ModelLoaded:
        code = 0
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8"))  # type: ignore[attr-defined]
    return Outcome(code=code, out=texts[0], err=texts[1])


@contextmanager
def _limited(words: Sequence[str]) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, WORK_S), (signal.SIGALRM, signal.ITIMER_REAL, WAIT_S))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    except Hang:
        raise AssertionError(f"still running after {WORK_S} s of work or {WAIT_S} s: {_short(words)}") from None
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


class Tally:
    """Counts the inputs of a test and refuses any outcome but the two that are allowed.

    Args:
        name: key of ``WANTED``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bad: set[int] = set()
        self.good: set[int] = set()

    def check(
        self, words: Sequence[str], *, key: Any = None, stdin: str = "", malformed: bool | None = None
    ) -> Outcome:
        """Run ``fpsim`` and assert that it accepts with clean streams, or refuses with one line.

        Args:
            words: the arguments.
            key: what makes the input distinct where the words alone do not: the contents of a file.
            stdin: what the command can read.
            malformed: True where the input must be refused.
        """
        found = outcome(words, stdin)
        shown = f"{_short(words)} -> {found.code}, {found.err[:300]!r}, {found.out[:100]!r}"
        if found.code == 0:
            assert malformed is not True, f"accepted: {shown}"
            assert "Traceback" not in found.err, shown
        else:
            assert found.code == 2, f"another exit code: {shown}"
            assert found.out == "", f"output beside an error: {shown}"
            assert found.err.startswith("error: "), f"no error line: {shown}"
            assert found.err.endswith("\n"), shown
            assert len(found.err.splitlines()) == 1, f"more than one line: {shown}"
            assert found.err[:-1].isprintable(), f"characters that move or hide: {shown}"
            assert len(found.err) < LONGEST, f"{len(found.err)} characters: {shown}"
        (self.good if found.code == 0 else self.bad).add(hash((tuple(words), key, stdin)))
        return found

    def finish(self, share: float = 0.8) -> None:
        """Assert that enough inputs were tried, and that most of them were malformed."""
        bad, good = len(self.bad), len(self.good - self.bad)
        assert bad >= WANTED[self.name], f"{bad} malformed inputs, {good} valid ones"
        assert bad >= share * (bad + good), f"{bad} malformed inputs, {good} valid ones"


def _short(words: Sequence[str]) -> str:
    text = ascii(list(words))
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"


def put(path: str, content: str | bytes) -> None:
    """Write a file anew; to cut off the old one takes file systems longer than a whole test."""
    place = Path(path)
    place.unlink(missing_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def tree(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Names, sizes and types of everything in a folder, to see that a refused command has left nothing."""
    stats = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(folder)}
    return {name: (stat.st_mode, stat.st_size) for name, stat in stats.items()}
