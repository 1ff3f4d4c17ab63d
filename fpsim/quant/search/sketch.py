"""A histogram of magnitudes that merges exactly: what stays of an activation that is too long to keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.errors import FpsimError
from fpsim.quant.search.errors import midpoints
from fpsim.quant.search.magnitudes import Floats, Magnitudes
from fpsim.quant.search.sketch_kernel import BINS, LOW_BITS, add_values

#: Values of a sketch: sums of 64-bit integers stay below their limit.
MOST = 1 << 37
_MANTISSA = 1 << (23 - LOW_BITS)


class Sketch:
    """Magnitudes by the top bits of their float32 pattern: 1,024 bins a power of two, from 2^−149 to 2^128.

    Each bin holds how many values fell into it and the sum of their low mantissa bits, both as integers: sketches of
    parts, merged in any order, equal the sketch of the whole bit for bit. Memory is at most 4 MB, of which the system
    gives only the pages of bins in use (about 16 kB a power of two).

    **What a search on it finds.** A bin is rounded as one, by its mean. This is exact unless a boundary b between two
    levels cuts the bin; then the values on the mean's other side go to the wrong one of two neighbouring levels a gap g
    apart, each at a cost of 2 g |x − b|. So the error that the sketch gives is never below the exact one, and with n
    values of mean m in a bin [l, h) cut by b ≥ m the excess is at most 2 g n (m − l)(h − b) / (h − l), by convexity;
    likewise for b < m. :func:`excess` adds these up. For data without gaps it is about n g w / 12 a cut bin of width
    w: for e2m5, whose gaps are 32 bins wide, less than 0.1% of the error (0.005 dB).
    """

    def __init__(self) -> None:
        # Zeroed pages, which the system gives on first use.
        self.counts, self.lows = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        self.squares = np.zeros(256, np.int64)
        self.largest, self.total = 0, 0

    def add(self, x: Any, name: str = "the tensor") -> None:
        """Count the values of a tensor.

        Args:
            x: NumPy array or torch tensor of a floating-point type; float64 is rounded to float32 first.
            name: what errors call it.

        Raises:
            FpsimError: NaN or Inf (also a float64 value beyond float32), or more than 2^37 values altogether.
        """
        data = arrays.working(x).data
        values: NDArray[Any] = data.cpu().numpy() if arrays.is_torch(data) else data
        with np.errstate(over="ignore"):
            flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        self._check(self.total + flat.size, name)
        largest = int((flat.view(np.uint32) & np.uint32(0x7FFFFFFF)).max()) if flat.size else 0
        if largest >= 0x7F800000:
            raise FpsimError(f"{name} holds NaN or Inf, so no format fits it; run the model in a wider dtype")
        add_values(flat.view(np.uint32), self.counts, self.lows, self.squares)
        self.largest, self.total = max(self.largest, largest), self.total + flat.size

    def merge(self, other: Sketch) -> None:
        """Add the values that another sketch has seen.

        Raises:
            FpsimError: more than 2^37 values altogether.
        """
        self._check(self.total + other.total, "the merged sketch")
        used = np.flatnonzero(other.counts)  # untouched pages stay untouched
        self.counts[used] += other.counts[used]
        self.lows[used] += other.lows[used]
        self.squares += other.squares
        self.largest, self.total = max(self.largest, other.largest), self.total + other.total

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """Return the contents as arrays of integers, empty bins left out: about 16 kB a power of two in use."""
        used = np.flatnonzero(self.counts)
        return {
            "bins": used,
            "counts": self.counts[used],
            "lows": self.lows[used],
            "squares": self.squares,
            "largest_and_total": np.array([self.largest, self.total], np.int64),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Sketch:
        """Return the sketch whose :meth:`arrays` these are.

        Raises:
            ValueError: they are no sketch's.
            KeyError: one is missing.
        """
        found = cls()
        found.counts[arrays["bins"]], found.lows[arrays["bins"]] = arrays["counts"], arrays["lows"]
        found.squares[:] = arrays["squares"]
        found.largest, found.total = (int(number) for number in arrays["largest_and_total"])
        if found.total != found.counts.sum():
            raise ValueError("the counts do not add up to the total")
        return found

    def _check(self, total: int, name: str) -> None:
        if total > MOST:
            raise FpsimError(f"{name} brings the sketch to {total:,} values, beyond {MOST:,}; take fewer images")

    def magnitudes(self, name: str = "the tensor") -> Magnitudes:
        """Return what the search takes: the mean of each bin in use, as often as it has values.

        Raises:
            FpsimError: no values were added.
        """
        if not self.total:
            raise FpsimError(f"{name} has no values, so there is no format to search; skip it")
        used = np.flatnonzero(self.counts)
        counts, lows = self.counts[used], self.lows[used]
        largest = np.uint32(self.largest).view(np.float32)
        exponent = int(np.frexp(np.float64(largest))[1])
        base = np.ldexp(_edges(used)[0], -exponent)
        unit = np.ldexp(1.0, np.maximum(used // _MANTISSA, 1) - 150 - exponent)
        sums = counts * base + lows * unit
        means = base + lows / counts * unit
        within = self._within(used, counts, lows, exponent)
        return Magnitudes(
            values=means[None],
            largest=np.array([np.ldexp(np.float64(largest), -exponent)]),
            exponent=np.array([exponent]),
            heads=means[None],
            counts=np.append(0, np.cumsum(counts))[None],
            sums=np.append(0.0, np.cumsum(sums))[None],
            energy=np.array([within + float(np.sum(counts * means * means))]),
            within=np.array([within]),
            step=1,
        )

    def _within(self, used: NDArray[Any], counts: NDArray[Any], lows: NDArray[Any], exponent: int) -> float:
        """Squared differences between the values and the means of their bins, normalized."""
        powers = used // _MANTISSA
        explained = np.bincount(powers, lows * (lows / counts), 256)
        left = np.maximum(self.squares - explained, 0.0)
        return float(np.sum(np.ldexp(left, 2 * (np.maximum(np.arange(256), 1) - 150 - exponent))))

    def excess(self, grid: Floats, scale: float) -> float:
        """Return by how much the squared error of a grid may be too large on the sketch, at most.

        Args:
            grid: levels, from :func:`fpsim.quant.search.errors.levels`.
            scale: what they are multiplied by.
        """
        bounds = midpoints(grid) * scale
        gaps = np.diff(grid) * scale
        with np.errstate(over="ignore", under="ignore"):
            near = bounds.astype(np.float32)
        bins = (near.view(np.int32) - (near > bounds)).astype(np.int64) >> LOW_BITS  # rounded down to float32
        inside = bins < 0xFF * _MANTISSA
        bins, bounds, gaps = bins[inside], bounds[inside], gaps[inside]
        n, (low, high) = self.counts[bins], _edges(bins)
        mean = low + self.lows[bins] / np.maximum(n, 1) * np.ldexp(1.0, np.maximum(bins // _MANTISSA, 1) - 150)
        other = np.where(mean <= bounds, (mean - low) * (high - bounds), (high - mean) * (bounds - low))
        return float(np.sum(2 * gaps * n * other / (high - low)))


def _edges(bins: NDArray[Any]) -> tuple[Floats, Floats]:
    """The magnitudes between which a bin lies."""
    patterns = bins.astype(np.uint32) << np.uint32(LOW_BITS)
    low = patterns.view(np.float32).astype(np.float64)
    width = np.ldexp(1.0, np.maximum(bins // _MANTISSA, 1) - 150 + LOW_BITS)
    return low, low + width
