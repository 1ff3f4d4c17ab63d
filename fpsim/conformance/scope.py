"""What a backend is tried on: its formats, and the conversions that make sense for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.conformance.grid import MOST_BITS
from fpsim.number import BlockFormat, ElementFormat, FloatFormat
from fpsim.number.catalogue import builtin
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy, Overflow
from fpsim.number.names import format as named

#: Format, conversion and width of each result.
Plan = Sequence[tuple[ElementFormat, Conversion, int]]
#: Of stochastic rounding: few, so that the cases meet the thresholds.
RANDOM_BITS = 8


def default_formats(backend: Backend) -> list[ElementFormat]:
    """Return the formats that a library has, or the catalogue's element formats of at most 16 bits."""
    names = getattr(backend, "formats", None)
    found = [entry.format for entry in builtin().values()] if names is None else [named(name) for name in names]
    return [fmt for fmt in found if not isinstance(fmt, BlockFormat) and fmt.bits <= MOST_BITS]


def conversions(
    backend: Backend, fmt: ElementFormat, *, roundings: Sequence[str] = (), overflows: Sequence[str] = (), seed: int = 0
) -> list[Conversion]:
    """Return the conversions to try: all that the backend offers, or the named ones that make sense for the format.

    NaN policies are tried with the default rounding, in formats without NaN.

    Args:
        backend: which says what it offers by ``roundings``, ``overflows`` and, if not all, ``nans``.
        fmt: an element format.
        roundings: names; empty for all that the backend offers.
        overflows: names; empty for all.
        seed: of stochastic rounding.

    Raises:
        FpsimError: a named one that the backend does not offer, or an unknown name.
    """
    policies = _offered(backend, "roundings", DEFAULT.rounding), _offered(backend, "overflows", DEFAULT.overflow)
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    found = []
    for rounding, overflow in product(roundings or policies[0], overflows or policies[1]):
        how = Conversion(rounding=rounding, overflow=overflow)  # type: ignore[arg-type]
        policy_arguments(backend, how)
        if how.overflow is Overflow.SATURATE or has_nan:
            found.append(how if how.deterministic else replace(how, random_bits=RANDOM_BITS, seed=seed))
    nans = getattr(backend, "nans", tuple(NanPolicy) if hasattr(backend, "roundings") else ())
    if not has_nan and DEFAULT in found:
        found += [Conversion(nan=nan) for nan in nans if nan != NanPolicy.KEEP]
    return found


def _offered(backend: Backend, attribute: str, default: str) -> tuple[str, ...]:
    return tuple(getattr(backend, attribute, ())) or (default,)
