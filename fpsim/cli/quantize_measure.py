"""What quantization did to one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.cli.quantize_inputs import Source
from fpsim.measure.tensor import sparsity, sqnr_db
from fpsim.quant.clipped import clipped
from fpsim.quant.granularity import PerBlock
from fpsim.quant.packed_decode import codes_in, values_in
from fpsim.quant.packed_dtypes import stored, working
from fpsim.quant.packed_encode import as_blocks
from fpsim.quant.packed_items import Item
from fpsim.quant.packed_layout import Parts, element_of
from fpsim.quant.packed_recipe import Record

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Errors of a tensor: SQNR in decibels, fractions in [0, 1]."""

    sqnr_db: float
    max_abs_error: float
    sparsity_before: float
    sparsity_after: float
    saturated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A tensor with its sizes in bytes and, if it was quantized, its errors."""

    source: Source
    bytes_before: int
    bytes_after: int
    errors: Errors | None


def measure(item: Item, x: NDArray[Any], parts: Parts) -> Errors:
    """Return the errors of what a file holds of a tensor, decoded as it will be.

    Args:
        item: the tensor.
        x: its values in the width that they were rounded in.
        parts: what the file holds.
    """
    assert item.record is not None, "only for tensors that are quantized"
    encoded = codes_in(parts, item.record)
    wide = values_in(parts, item.record, item.name, encoded)
    y = working(stored(wide, item.dtype), item.dtype, item.shape)
    return Errors(
        sqnr_db=sqnr_db(x, y),
        max_abs_error=_max_abs_error(x.reshape(-1), y.reshape(-1)),
        sparsity_before=sparsity(x),
        sparsity_after=sparsity(y),
        saturated=_saturated(x, wide, encoded.codes, item.record) / item.count,
    )


def _saturated(x: NDArray[Any], y: NDArray[Any], codes: NDArray[Any], record: Record) -> int:
    granularity = record.recipe.granularity
    if isinstance(granularity, PerBlock):  # the codes run with the block axis last
        x, y = as_blocks(x, granularity), as_blocks(y, granularity)
    return clipped(x, y, codes, element_of(record.recipe.format))


def _max_abs_error(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The largest difference in float64; NaN where a value became NaN."""
    pieces = (slice(start, start + _CHUNK) for start in range(0, x.size, _CHUNK))
    return float(np.max([np.abs(x[p].astype(np.float64) - y[p].astype(np.float64)).max() for p in pieces]))
