"""What ``fpsim conformance`` prints: a row for each format, conversion and width, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from tqdm import tqdm

from fpsim.cli.render import Column, Table, show
from fpsim.cli.values import value_text
from fpsim.codec.protocol import Backend
from fpsim.conformance.cases import Effort
from fpsim.conformance.programme import Example, Result, run
from fpsim.conformance.scope import Plan
from fpsim.number.conversion import NanPolicy
from fpsim.number.label import label

_NAMES = ("format", "rounding", "overflow", "nan", "width", "cases", "mismatches", "known")
_RIGHT = ("width", "cases", "mismatches", "known")


def run_with_progress(backend: Backend, plan: Plan, effort: Effort, seed: int) -> list[Result]:
    """Run the programme with a bar on stderr, where that is a terminal."""
    bar = tqdm(run(backend, plan, effort, seed), total=len(plan), unit="row", disable=None, leave=False)
    return list(bar)


def report(backend: Backend, results: Sequence[Result], effort: Effort, seed: int, output: str) -> None:
    """Print results to stdout, and for the machine-readable outputs the totals to stderr."""
    library = f"{backend.name} {getattr(backend, 'version', '')}".strip()
    show(
        output,
        lambda: _human(library, results, effort, seed),
        lambda: _machine(results),
        lambda: _document(library, results, effort, seed),
    )
    click.echo(totals(results), err=output != "text")


def totals(results: Sequence[Result]) -> str:
    """Return the last line."""
    cases, wrong = sum(r.cases for r in results), sum(r.wrong for r in results)
    known = sum(sum(r.known.values()) for r in results)
    parts = [f"{len(results):,} rows, {cases:,} cases: {wrong:,} mismatches"]
    if wrong:
        parts.append(f"{known:,} known, {wrong - known:,} unknown")
    refused, failed = (sum(bool(r.problem) and r.refused is kind for r in results) for kind in (True, False))
    parts += [f"{refused:,} rows refused"] * bool(refused) + [f"{failed:,} rows failed"] * bool(failed)
    return ", ".join(parts)


def _human(library: str, results: Sequence[Result], effort: Effort, seed: int) -> Table:
    nan = any(r.conversion.nan is not NanPolicy.KEEP for r in results)
    names = tuple(name for name in _NAMES if nan or name != "nan")
    columns = [Column(name=name, right=name in _RIGHT) for name in names]
    rows = []
    for result in results:
        cells = dict(zip(_NAMES, _cells(result), strict=True))
        rows.append([*(cells[name] for name in names), _remark(result)])
    comments = (f"{library}, {effort} cases, seed {seed}", *_facts(results), *_lines(results))
    return Table(columns=(*columns, Column(name="examples", optional=True)), rows=rows, comments=comments)


def _cells(result: Result) -> tuple[str, ...]:
    how = result.conversion
    counts = (str(result.cases), str(result.wrong), str(sum(result.known.values())))
    return (result.format.name, str(how.rounding), str(how.overflow), str(how.nan), str(result.width), *counts)


def _facts(results: Sequence[Result]) -> list[str]:
    """How often each documented fact explained a mismatch."""
    found = sum((Counter(result.known) for result in results), Counter[str]())
    return [f"known: {name} ({count:,})" for name, count in found.most_common()]


def _lines(results: Sequence[Result]) -> list[str]:
    """Of what is unknown, refused or failed a line each, so that it is seen on narrow terminals too."""
    found: dict[str, None] = {}
    for result in results:
        place = f"{result.format.name}, {result.conversion}, float{result.width}"
        if result.problem:
            found[f"{'refused' if result.refused else 'failed'}: {place}: {' '.join(result.problem.split())}"] = None
        for example in result.examples:
            if not example.known:
                found[f"unknown: {place}: {example_text(example)}"] = None
    return list(found)


def _remark(result: Result) -> str:
    return result.problem or "; ".join(example_text(example) for example in result.examples[:1])


def example_text(example: Example) -> str:
    """Return a mismatch in words: its class, the number, what came and what was wanted."""
    scale = "" if example.scale == 1 else f" (scale {value_text(example.scale)})"
    zero = "" if example.zero_point is None else f" (zero point {value_text(example.zero_point)})"
    numbers = [value_text(number) for number in (example.x, example.got, example.wanted)]
    why = f" [{example.known}]" if example.known else ""
    return f"{example.kind}: {numbers[0]}{scale}{zero} gave {numbers[1]}, not {numbers[2]}{why}"


def _machine(results: Sequence[Result]) -> Table:
    rows = [
        [*_cells(result), _classes(result.mismatches), _classes(result.known), _remark(result)] for result in results
    ]
    names = (*_NAMES, "classes", "facts", "example")
    return Table(columns=tuple(Column(name=name) for name in names), rows=rows)


def _classes(counts: dict[str, int]) -> str:
    return "; ".join(f"{name} {count}" for name, count in counts.items())


def _document(library: str, results: Sequence[Result], effort: Effort, seed: int) -> dict[str, Any]:
    rows = []
    for result in results:
        how = result.conversion
        row: dict[str, Any] = {"format": result.format.name, "resolved": label(result.format)}
        row |= {"rounding": str(how.rounding), "overflow": str(how.overflow), "nan": str(how.nan)}
        row |= {"width": result.width, "cases": result.cases, "mismatches": result.wrong, "unknown": result.unknown}
        row |= {"classes": result.mismatches, "known": result.known, "examples": [_json(e) for e in result.examples]}
        row |= {"problem": result.problem or None, "refused": result.refused}
        rows.append(row)
    return {"backend": library, "effort": str(effort), "seed": seed, "rows": rows}


def _json(example: Example) -> dict[str, Any]:
    numbers = {name: value_text(getattr(example, name)) for name in ("x", "scale", "got", "wanted")}
    zero = None if example.zero_point is None else value_text(example.zero_point)
    return {"class": example.kind, **numbers, "zero_point": zero, "known": example.known or None}
