"""Timestep bins of activations as keys of a policy's TOML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import inf, isinf
from typing import Any

from fpsim.errors import FpsimError
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import MOST, ActBin, BinnedSpec
from fpsim.quant.tensor_spec import TensorSpec

#: Keys that make a table one of bins.
BIN_KEYS = ("timestep_bins", "bins")
_EDGES = ("from", "to")

ReadSpec = Callable[[dict[str, Any]], TensorSpec]


def bin_keys(spec: BinnedSpec, keys: Callable[[TensorSpec], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a policy says about bins.

    Args:
        spec: the bins.
        keys: says one specification.
    """
    if spec.even is not None:
        return {**keys(spec.specs[0]), "timestep_bins": spec.even}
    if spec.uniform and len(spec.bins) > 1:
        return {**keys(spec.specs[0]), "timestep_bins": spec.edges.edges}
    return {"bins": [{**_ends(each), **keys(each.spec)} for each in spec.bins]}


def _ends(each: ActBin) -> dict[str, Any]:
    found = {"from": each.start, "to": each.stop, "value": each.value}
    return {key: value for key, value in found.items() if value is not None and not isinf(value)}


def read_bins(table: dict[str, Any], read: ReadSpec) -> BinnedSpec:
    """Return the bins of a table with ``timestep_bins`` or ``bins``.

    Args:
        table: of activations.
        read: reads a specification.

    Raises:
        FpsimError: both keys, a value of the wrong kind, or as :class:`fpsim.quant.binned.BinnedSpec`.
    """
    others = {key: value for key, value in table.items() if key not in BIN_KEYS}
    if all(key in table for key in BIN_KEYS):
        raise FpsimError("'timestep_bins' contradicts 'bins'; drop one of them")
    if "bins" in table:
        return BinnedSpec(bins=tuple(_bin(place, each, others, read) for place, each in enumerate(_list(table), 1)))
    given, spec = table["timestep_bins"], read(others)
    if isinstance(given, int) and not isinstance(given, bool):
        return BinnedSpec.equally(max(-1, min(given, MOST + 1)), spec)
    if not isinstance(given, list) or not given or not all(_is_number(edge) for edge in given) or len(given) >= MOST:
        raise FpsimError(
            f"key 'timestep_bins': {_short(given)} is neither a number of bins nor a list of edges between them"
        )
    edges = tuple(_finite("timestep_bins", edge) for edge in given)
    for first, second in pairwise(edges):  # here, where the error names two edges and not all of a thousand
        if second <= first:
            raise FpsimError(f"key 'timestep_bins': edges do not rise from {first!r} to {second!r}; give rising ones")
    bins = TimestepBins(edges)
    return BinnedSpec.of(bins, [spec] * bins.count)


def _list(table: Mapping[str, Any]) -> list[Any]:
    bins = table["bins"]
    if not isinstance(bins, list) or not all(isinstance(each, dict) for each in bins) or len(bins) > MOST:
        raise FpsimError(f"key 'bins': a list of at most {MOST} tables with 'from', 'to' and 'format'")
    return bins


def _bin(place: int, table: Mapping[str, Any], others: Mapping[str, Any], read: ReadSpec) -> ActBin:
    try:
        spec = read({**others, **{key: value for key, value in table.items() if key not in (*_EDGES, "value")}})
        start, stop = (_number(table, key, usual) for key, usual in zip(_EDGES, (-inf, inf), strict=True))
        value = None if "value" not in table else _finite("value", table["value"])
        return ActBin(start=start, stop=stop, spec=spec, value=value)
    except FpsimError as error:
        raise FpsimError(f"bin {place}: {error}") from None


def _number(table: Mapping[str, Any], key: str, usual: float) -> float:
    value = table.get(key, usual)
    return usual if value == usual else _finite(key, value)


def _finite(key: str, value: Any) -> float:
    if not _is_number(value) or not abs(value) <= 1e300:
        raise FpsimError(f"key {key!r}: {_short(value)} is no finite number")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    """The beginning of a value, on one line; Python writes no number of thousands of digits."""
    try:
        return (repr(value)[1:-1] or "''" if isinstance(value, str) else str(value))[:60]
    except ValueError:
        return "a number of thousands of digits"
