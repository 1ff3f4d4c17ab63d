"""The conformance programme: a backend over formats, conversions and widths, every result held to the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.conformance.cases import Effort
from fpsim.conformance.classify import CLASSES
from fpsim.conformance.deviations import Deviation, agree, documented, explained
from fpsim.conformance.grid import Floats
from fpsim.conformance.oracle import expected
from fpsim.conformance.scope import Plan
from fpsim.conformance.trials import Trial, trials
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.conversion import Conversion

EXAMPLES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One mismatch: the number, what it was divided by, what came and what was wanted; ``known`` names the fact."""

    kind: str
    x: float
    scale: float
    zero_point: float | None
    got: float
    wanted: float
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A format, conversion and width: how many numbers were tried, and the mismatches.

    Args:
        format: what was rounded to.
        conversion: how.
        width: the working width, 32 or 64.
        cases: numbers tried.
        mismatches: by class of number.
        known: by documented fact; the rest is unknown.
        examples: the first mismatch of each class, unknown ones first.
        problem: why nothing could be compared, if so: the backend refused, or failed.
        refused: whether it refused, which is no mismatch.
    """

    format: ElementFormat
    conversion: Conversion
    width: int
    cases: int = 0
    mismatches: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    problem: str = ""
    refused: bool = False

    @property
    def wrong(self) -> int:
        """All mismatches."""
        return sum(self.mismatches.values())

    @property
    def unknown(self) -> int:
        """Mismatches that no documented fact explains; a backend that failed counts as one."""
        return self.wrong - sum(self.known.values()) + bool(self.problem and not self.refused)


def run(
    backend: Backend,
    plan: Plan,
    effort: Effort = Effort.NORMAL,
    seed: int = 0,
    facts: Sequence[Deviation] | None = None,
) -> Iterator[Result]:
    """Try a backend and yield one result for each format, conversion and width.

    Args:
        backend: follows ``fpsim.codec.protocol.Backend``.
        plan: format, conversion and width of each result.
        effort: how many numbers.
        seed: of the random numbers.
        facts: documented deviations; default those of ``deviations.toml``.
    """
    every = documented() if facts is None else facts
    version = str(getattr(backend, "version", ""))
    for fmt, how, width in plan:
        mine = [fact for fact in every if fact.concerns(backend.name, version, fmt, how)]
        yield compare(backend, fmt, how, trials(fmt, width, effort, seed), mine)


def compare(
    backend: Backend, fmt: ElementFormat, how: Conversion, tried: Sequence[Trial], facts: Sequence[Deviation] = ()
) -> Result:
    """Try a backend with some calls and return what came of it.

    Args:
        backend: follows ``fpsim.codec.protocol.Backend``.
        fmt: what to round to.
        how: how.
        tried: at least one call, all of one width.
        facts: that concern the backend, format and conversion.
    """
    width = 8 * tried[0].x.dtype.itemsize
    mismatches, known, examples = Counter[str](), Counter[str](), list[Example]()
    for trial in tried:
        try:
            wanted = expected(trial.x, fmt, trial.scale, how, trial.zero_point)
            got = _rounded(backend, trial, fmt, how)
        except FpsimError as error:
            return Result(format=fmt, conversion=how, width=width, problem=str(error), refused=True)
        except Exception as error:  # another package's code may fail in any way, and that is a finding
            return Result(format=fmt, conversion=how, width=width, problem=f"{type(error).__name__}: {error}")
        wrong = ~agree(got, wanted)
        if wrong.any():
            reasons = explained(facts, trial, fmt, how, got, wrong)
            mismatches.update(CLASSES[i] for i in trial.classes[wrong].tolist())
            known.update({label: int(mask.sum()) for label, mask in reasons})
            examples += _examples(trial, got, wanted, wrong, reasons)
    return Result(
        format=fmt,
        conversion=how,
        width=width,
        cases=sum(trial.x.size for trial in tried),
        mismatches=dict(mismatches),
        known=dict(known),
        examples=tuple(sorted(examples, key=lambda example: bool(example.known))[:EXAMPLES]),
    )


def _rounded(backend: Backend, trial: Trial, fmt: ElementFormat, how: Conversion) -> Floats:
    """What the backend writes; it gets copies, so that it cannot change what it is compared with."""
    inputs: list[Any] = [None if part is None else part.copy() for part in (trial.x, trial.scale, trial.zero_point)]
    out = np.zeros_like(trial.x)
    target: Any = out
    if backend.arrays == "torch":
        from torch import from_numpy

        inputs, target = [None if part is None else from_numpy(part) for part in inputs], from_numpy(out)
    x, scale, zero_point = inputs
    backend.quantize(x, fmt, scale, target, zero_point, **policy_arguments(backend, how))
    return out


def _examples(
    trial: Trial, got: Floats, wanted: Floats, wrong: NDArray[np.bool_], reasons: list[tuple[str, NDArray[np.bool_]]]
) -> Iterator[Example]:
    """The first mismatch of each class and reason."""
    left = wrong.copy()
    for label, mask in [*reasons, ("", left)]:
        for kind in np.unique(trial.classes[mask & left]):
            at = tuple(np.argwhere(mask & left & (trial.classes == kind))[0])
            scale, zero_point = (
                None if part is None else float(np.broadcast_to(part, trial.x.shape)[at])
                for part in (trial.scale, trial.zero_point)
            )
            yield Example(
                kind=CLASSES[kind],
                x=float(trial.x[at]),
                scale=scale or 1.0,
                zero_point=zero_point,
                got=float(got[at]),
                wanted=float(wanted[at]),
                known=label,
            )
        left &= ~mask
