"""From cases to rows: every call is checked once, then all of one array size are timed in turn."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from peers import timing
from peers.case import ENCODE, EVEN, ROUND, Absent, Case, why
from peers.compare import Top, Unlike, largest, reference, unlike
from peers.with_fpsim import NAME, ready_case

SLOW_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a call returned, compared."""

    top: Top | None
    unlike: Unlike


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table; the ratios are to calls on arrays of the same size, in the same run."""

    case: Case
    size: int
    rounds: int
    time: float
    to_copy: float
    goal: float | None = None
    to_fpsim: float | None = None
    top: Top | None = None
    unlike: Unlike | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.goal is None else self.to_copy <= self.goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One pass over the cases, on the CPU with so many threads or on a device.

    Args:
        x: float32 values, ``[size]``, a power of two and at least 2^12 of them.
        rounds: repetitions of calls on the whole array; smaller ones get at most three.
        threads: of the CPU.
        device: of torch.
        sizes: which case gets how many elements; kept from pass to pass.
    """

    x: np.ndarray
    rounds: int
    threads: int = 1
    device: str = "cpu"
    sizes: dict[Case, int] = field(default_factory=dict)

    def run(self, cases: list[Case]) -> list[Row | Absent]:
        """All rows, those of the largest arrays first, and what failed."""
        timing.set_threads(self.threads)
        groups: dict[int, list[Case]] = {self.x.size: []}
        found: list[Row | Absent] = []
        for case in cases:
            try:
                size = self._size(case)
            except Exception as error:  # a peer's failure is a row
                found.append(failed(case, error))
            else:
                groups.setdefault(size, []).append(case)
        for size, members in sorted(groups.items(), reverse=True):
            found += self._group(size, members)
        return found

    def _size(self, case: Case) -> int:
        if self.device != "cpu":
            return self.x.size
        if case not in self.sizes:
            own = case.peer == NAME  # goals hold for the whole array
            self.sizes[case] = self.x.size if own else timing.fitting_size(case, self.x)
        return self.sizes[case]

    def _group(self, size: int, cases: list[Case]) -> list[Row | Absent]:
        x = self.x[:size]
        calls, seen, absent = self._prepared(x, [*self._baselines(cases), *cases])
        copies = {share: self._copy(x, share) for share in (8, 5)}
        copying = {case: case.make(x) for case in copies.values()}
        timing.set_threads(self.threads)  # whatever a peer did to them
        gc.collect()
        rounds = self.rounds if size == self.x.size else min(self.rounds, SLOW_ROUNDS)
        clock = timing.host_clock if self.device == "cpu" else timing.device_clock
        seconds = timing.medians(copying | calls, rounds, clock)
        rows = [
            Row(
                case=case,
                size=size,
                rounds=rounds,
                time=time / size * 1e9,
                to_copy=time / seconds[copies[case.bytes]],
                goal=case.goal if size == self.x.size else None,
                to_fpsim=_ratio(time, seconds, case),
                top=seen[case].top if case in seen else None,
                unlike=seen[case].unlike if case in seen else None,
            )
            for case, time in seconds.items()
        ]
        return [*rows, *absent]

    def _prepared(
        self, x: np.ndarray, cases: list[Case]
    ) -> tuple[dict[Case, timing.Call], dict[Case, Checked], list[Absent]]:
        """The calls that work, what they return, and those that fail."""
        calls, seen, absent = {}, {}, []
        for case in dict.fromkeys(cases):
            try:
                call = case.make(self._placed(case, x))
                seen[case] = self._check(case, call, x)
            except Exception as error:  # a peer's failure is a row
                absent.append(failed(case, error))
            else:
                calls[case] = call
        return calls, seen, absent

    def _placed(self, case: Case, x: np.ndarray) -> Any:
        return torch.from_numpy(x).to(self.device) if case.tensors else x

    def _check(self, case: Case, call: timing.Call, x: np.ndarray) -> Checked:
        top = largest(case, x.size, lambda sweep: self._placed(case, sweep))
        difference = unlike(reference(case, x), case.read(call()), x, top.value if top else None)
        return Checked(top=top, unlike=difference)

    def _copy(self, x: np.ndarray, share: int) -> Case:
        words = (x, share / 8, self.threads, self.device)
        kind = ROUND if share == 8 else ENCODE
        return Case(peer="copy", call=f"{share} bytes an element", fmt="", kind=kind, make=lambda _: _copying(*words))

    def _baselines(self, cases: list[Case]) -> list[Case]:
        """fpsim's own call for every format and kind; on a device it is among the cases."""
        return [ready_case(*key) for key in {(c.fmt, c.kind): None for c in cases}] if self.device == "cpu" else []


def _copying(x: np.ndarray, share: float, threads: int, device: str) -> timing.Call:
    call = timing.copy_call(x, share, threads, device)
    call()
    return call


def failed(case: Case, error: Exception) -> Absent:
    """A row for a call that failed."""
    return Absent(peer=case.peer, call=case.call, fmt=case.fmt, kind=case.kind, reason=why(error))


def _ratio(time: float, seconds: dict[Case, float], case: Case) -> float | None:
    own = [c for c in seconds if (c.peer, c.fmt, c.kind, c.rounding) == (NAME, case.fmt, case.kind, EVEN) and c.out]
    return time / seconds[own[0]] if own else None
