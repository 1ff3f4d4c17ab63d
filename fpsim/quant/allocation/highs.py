"""The call of the solver: HiGHS through SciPy, and nothing of it on our standard output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from fpsim.quant.allocation.program import Program


def minimize(
    program: Program,
    objective: NDArray[np.float64],
    rows: Any,
    limits: NDArray[np.float64],
    *,
    relax: bool = False,
    gap: float = 0.0,
    seconds: float = 30.0,
) -> Any:
    """Minimize a linear objective over a program's assignments.

    Args:
        program: its groups, its forbidden choices.
        objective: one number a variable.
        rows: a sparse matrix whose products with the variables are at most ``limits``, or None.
        limits: one a row.
        relax: whether choices may be divided.
        gap: relative, at which the solver may stop.
        seconds: after which it stops.

    Returns:
        What ``scipy.optimize.milp`` returns.
    """
    constraints = [LinearConstraint(program.equal, program.right, program.right)]
    if rows is not None and rows.shape[0]:
        constraints.append(LinearConstraint(rows, -np.inf, limits))
    with silent():
        return milp(
            objective,
            integrality=np.zeros_like(program.whole) if relax else program.whole,
            bounds=Bounds(0.0, program.allowed),
            constraints=constraints,
            options={"mip_rel_gap": gap, "time_limit": seconds},
        )


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what HiGHS prints by C's printf, whatever its options say, out of a verb's data."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # the process has no standard output
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).fflush(None)  # its buffer must be empty before the descriptor is ours again
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
