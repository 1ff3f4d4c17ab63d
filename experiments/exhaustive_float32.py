"""All 2^32 float32 numbers through formats and rounding modes, held to the specification and to other libraries.

    python experiments/exhaustive_float32.py [--quick] [--only FORMAT]... [--jobs 2]

Every result of ``fpsim.quantize(x, f, out=y, backend="numba")`` is compared bit for bit, signs of zeros included; NaN
of any kind are equal. Finished rows are kept in ``runs/exhaustive.jsonl`` under a hash of the code, so that an
interrupted run goes on where it stopped. ``--quick`` takes every 257th number and all neighbourhoods of boundaries, and
keeps nothing. A mismatch is printed with its bits, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from exhaustive_cases import Case, cases
from exhaustive_oracle import END, INF, SIGN, Patterns, points

import fpsim

KEPT = Path("runs/exhaustive.jsonl")
#: Patterns and results of a piece stay in the cache.
PIECE = 1 << 20
QUICK_STEP = 257
SHOWN = 5
LINE = "{:<20} {:<16} {:<9} {:<10} {:>13} {:>11} {:>8}"
HEADER = LINE.format("format", "rounding", "overflow", "oracle", "inputs", "mismatches", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one case gave; ``examples`` are the first mismatches in words."""

    format: str
    rounding: str
    overflow: str
    oracle: str
    inputs: int
    mismatches: int
    seconds: float
    examples: list[str]

    def __str__(self) -> str:
        line = LINE.format(
            self.format, self.rounding, self.overflow, self.oracle,
            f"{self.inputs:,}", f"{self.mismatches:,}", f"{self.seconds:.1f}",
        )  # fmt: skip
        return "\n".join([line, *(f"    {example}" for example in self.examples)])


def rounded(x: Any, case: Case, out: Any) -> None:
    """What is checked."""
    fpsim.quantize(x, case.fmt, out=out, backend="numba", **case.policies)


def pieces(case: Case, quick: bool) -> Iterator[Patterns]:
    """The patterns to check, each piece ascending."""
    if quick:
        near = {0, INF, INF + 1, SIGN - 1, SIGN, SIGN | INF, (SIGN | INF) + 1, END - 1, *points(case.fmt)}
        ordered = np.array(sorted(near), np.int64).astype(np.uint32)
        yield from (ordered[first : first + PIECE] for first in range(0, len(ordered), PIECE))
    step, piece = QUICK_STEP if quick else 1, np.empty(PIECE, np.uint32)
    ramp = np.arange(PIECE, dtype=np.uint32) * np.uint32(step)
    for first, size in spans(step):
        yield np.add(ramp[:size], np.uint32(first), out=piece[:size])


def spans(step: int) -> Iterator[tuple[int, int]]:
    """The first pattern of each piece and how many there are, ``step`` apart."""
    for first in range(0, END, PIECE * step):
        yield first, min(PIECE, -(-(END - first) // step))


def check(case: Case, quick: bool) -> Row:
    """Round and compare."""
    begun, oracle = time.perf_counter(), case.oracle()
    inputs, mismatches, examples, results = 0, 0, list[str](), np.empty(PIECE, np.float32)
    for patterns in pieces(case, quick):
        y = results[: len(patterns)]
        rounded(patterns.view(np.float32), case, y)
        got = y.view(np.uint32)
        wrong = oracle.wrong(patterns, got)
        inputs, mismatches = inputs + len(patterns), mismatches + len(wrong)
        for i in wrong[: SHOWN - len(examples)]:
            wanted = oracle.wanted(int(patterns[i]))
            examples.append(f"{_told(patterns[i])} became {_told(got[i])}, wanted {_told(wanted)}")
    return Row(
        format=case.format,
        rounding=str(case.how.rounding),
        overflow=str(case.how.overflow),
        oracle=oracle.name,
        inputs=inputs,
        mismatches=mismatches,
        seconds=round(time.perf_counter() - begun, 1),
        examples=examples,
    )


def _told(pattern: Any) -> str:
    return f"{int(pattern):#010x} ({np.uint32(pattern).view(np.float32)!s})"


def code_key() -> str:
    """Hash of all that the results depend on: the number formats, the codec, this check and its libraries."""
    package, here = Path(fpsim.__file__).parent, Path(__file__).parent
    files = [
        *(file for part in ("number", "codec") for file in (package / part).glob("*.py")),
        *(package.parent / "formats").glob("*.toml"),
        *here.glob("exhaustive_*.py"),
    ]
    digest = hashlib.sha256(repr([(n, version(n)) for n in ("numpy", "numba", "ml_dtypes")]).encode())
    for file in sorted(files, key=lambda f: (f.parent.name, f.name)):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def finished(key: str) -> dict[tuple[str, ...], Row]:
    """The rows of earlier runs of the same code."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    rows = [Row(**entry["row"]) for entry in map(_entry, lines) if entry["key"] == key]
    return {(row.format, row.rounding, row.overflow, row.oracle): row for row in rows}


def _entry(line: str) -> dict[str, Any]:
    """A line of the file; what an interruption left of one has no key."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"key": None}


def resumed(case: Case, quick: bool, key: str, known: dict[tuple[str, ...], Row]) -> Row:
    """The row of an earlier run, or a new one, which is kept."""
    numba.set_num_threads(1)
    if quick:
        return check(case, quick)
    identity = (case.format, str(case.how.rounding), str(case.how.overflow), case.library or "exact")
    if identity not in known:
        row = check(case, quick)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        with KEPT.open("a", encoding="utf-8") as file:  # one short write, so that two processes do not mix
            file.write("\n" + json.dumps({"key": key, "row": asdict(row)}))
        return row
    return known[identity]


def report(rows: Iterable[Row]) -> int:
    """Print the rows as they come, and the totals; return how many mismatches there are."""
    print(HEADER, flush=True)
    done = []
    for row in rows:
        print(row, flush=True)
        done.append(row)
    inputs, mismatches = sum(row.inputs for row in done), sum(row.mismatches for row in done)
    seconds = sum(row.seconds for row in done)
    print(LINE.format(f"{len(done)} rows", "", "", "", f"{inputs:,}", f"{mismatches:,}", f"{seconds:.1f}"))
    return mismatches


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", metavar="FORMAT", help="may be repeated")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes of one thread each")
    args = parser.parse_args(arguments)
    chosen = [case for case in cases() if args.only is None or case.format in args.only]
    unknown = set(args.only or ()) - {case.format for case in chosen}
    if unknown:
        parser.error(f"no rows of {', '.join(sorted(unknown))}; there are {', '.join({c.format: 0 for c in cases()})}")
    key = code_key()
    work = partial(resumed, quick=args.quick, key=key, known={} if args.quick else finished(key))
    if args.jobs <= 1 or len(chosen) == 1:
        return int(report(map(work, chosen)) > 0)
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        return int(report(pool.imap(work, chosen)) > 0)


if __name__ == "__main__":
    sys.exit(main())
