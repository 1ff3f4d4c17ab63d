"""Rows as text."""

from __future__ import annotations

from peers.case import DECODE, ENCODE, EVEN, FORMATS, ROUND, Absent
from peers.measure import Row

SECTIONS = (ROUND, ENCODE, DECODE)
MODES = "other rounding modes of fpsim"
HEADER = (
    f"{'format':<7}{'library':<18}{'call':<35}{'array':<7}{'size':>6}{'rounds':>7}{'ns/element':>12}{'x copy':>9}"
    f"{'x fpsim':>9}{'max':>8}{'over':>8}  {'goal':>5} {'met':>4}  unlike fpsim"
)


def number(value: float | None) -> str:
    """Four digits at most."""
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def size_text(size: int) -> str:
    """A power of two as one."""
    return f"2^{size.bit_length() - 1}" if size & (size - 1) == 0 else str(size)


def line(row: Row) -> str:
    """A row of the table."""
    case, top = row.case, row.top
    array = "-" if case.peer == "copy" else "out=" if case.out else "fresh"
    met = {None: "-", True: "yes", False: "NO"}[row.met]
    return (
        f"{case.fmt or '-':<7}{case.peer:<18}{case.call:<35}{array:<7}{size_text(row.size):>6}{row.rounds:>7}"
        f"{row.time:>12.3f}{number(row.to_copy):>9}{number(row.to_fpsim):>9}"
        f"{_plain(top.value if top else None):>8}{_plain(top.over if top else None):>8}  "
        f"{number(row.goal):>5} {met:>4}  {'-' if row.unlike is None else row.unlike}"
    )


def section(rows: list[Row | Absent], kind: str) -> list[str]:
    """One kind of call: formats in their order, fastest first on the largest arrays; failures last."""
    own = [row for row in rows if _kind(row) == kind]
    timed = sorted((row for row in own if isinstance(row, Row)), key=_place)
    absent = [f"{r.fmt or '-':<7}{r.peer:<18}{r.call:<35}FAILED: {r.reason}" for r in own if isinstance(r, Absent)]
    return [f"-- {kind}", HEADER, *map(line, timed), *absent] if own else []


def table(title: str, rows: list[Row | Absent]) -> str:
    """All sections of a pass."""
    lines = [found for kind in (*SECTIONS, MODES) for found in [*section(rows, kind), ""]]
    return "\n".join([f"== {title}", *lines])


def verdict(rows: list[Row | Absent]) -> str:
    """How many goals were met, and which were not."""
    goals = [row for row in rows if isinstance(row, Row) and row.met is not None]
    missed = [f"{r.case.fmt} {r.case.call} {number(r.to_copy)}" for r in goals if not r.met]
    return f"goals: {len(goals) - len(missed)} of {len(goals)} met" + (f"; not: {'; '.join(missed)}" if missed else "")


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _kind(row: Row | Absent) -> str:
    if isinstance(row, Row) and row.case.rounding != EVEN:
        return MODES
    return row.case.kind if isinstance(row, Row) else row.kind


def _place(row: Row) -> tuple[int, int, float]:
    return (FORMATS.index(row.case.fmt) if row.case.fmt else -1, -row.size, row.time)
