"""The policies that a caller names, checked: rounding and overflow."""

from __future__ import annotations

import difflib

from fpsim.errors import FpsimError

ROUNDINGS = ("ties-to-even",)
OVERFLOWS = ("saturate",)


def check_rounding(rounding: str) -> None:
    """Accept the name of a rounding mode.

    Raises:
        FpsimError: unknown, or "nearest", which does not say what happens to ties.
    """
    if rounding == "nearest":
        raise FpsimError("rounding 'nearest' does not say what happens to ties; choose ties-to-even (the IEEE default)")
    _check(rounding, ROUNDINGS, "rounding")


def check_overflow(overflow: str) -> None:
    """Accept the name of an overflow policy.

    Raises:
        FpsimError: unknown.
    """
    _check(overflow, OVERFLOWS, "overflow")


def _check(given: str, known: tuple[str, ...], what: str) -> None:
    if given not in known:
        near = difflib.get_close_matches(str(given), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise FpsimError(f"{what} {given!r} is not available; this version has {', '.join(known)}.{hint}")
