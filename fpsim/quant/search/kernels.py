"""Compiled loops over sorted magnitudes: running sums, and the squared errors that follow from them.

Rows are independent. Every sum has a fixed order, so results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

import fpsim.codec.numba.twin  # noqa: F401 - chooses the threading layer, which must come first

#: Values a running sum: fewer are added one by one, which costs less than the memory of more sums would.
STEP = 16
#: Neighbouring scales a task: their searches take the same branches, which the processor then predicts.
GROUP = 16
#: Values a task, a multiple of STEP.
CHUNK = 1 << 14


@njit(parallel=True)
def running_sums(values, heads, sums, energy):
    """Fill the first value of each block of STEP, the sum of all values before each block, and the sum of squares."""
    rows, n = values.shape
    chunks = (n + CHUNK - 1) // CHUNK
    squares = np.empty((rows, chunks), np.float64)
    for task in prange(rows * chunks):
        r, chunk = task // chunks, task % chunks
        total = 0.0
        for first in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK), STEP):
            part = values[r, first : min(n, first + STEP)]
            s, q = 0.0, 0.0
            for v in part:
                s += v
                q += np.float64(v) * v
            heads[r, first // STEP], sums[r, first // STEP + 1] = part[0], s
            total += q
        squares[r, chunk] = total
    for r in prange(rows):
        energy[r] = squares[r].sum()
        _accumulate(sums[r])


@njit
def _accumulate(sums):
    """Turn ``[0, a, b, …]`` into ``[0, a, a + b, …]``; what each addition loses is carried on (Neumaier), so that the
    error does not grow with the length."""
    total, lost = 0.0, 0.0
    for i in range(1, sums.size):
        item = sums[i]
        new = total + item
        lost += (total - new) + item if abs(total) >= abs(item) else (item - new) + total
        total = new
        sums[i] = total + lost


@njit(inline="always")
def _below(heads, bound, p):
    """How many of the ascending heads are below a bound, given that at least ``p`` are: galloping, then halving."""
    width, n = 1, heads.size
    while p + width <= n and heads[p + width - 1] < bound:
        p += width
        width *= 2
    high = min(p + width - 1, n)
    while p < high:
        middle = (p + high) // 2
        if heads[middle] < bound:
            p = middle + 1
        else:
            high = middle
    return p


@njit(inline="always")
def _grid_error(row, grid, s):
    values, heads, counts, sums, energy, step = row
    levels, bounds = grid
    gain, p, n0, s0, k = 0.0, 0, 0, 0.0, 0
    while k < bounds.size and n0 < counts[-1]:
        bound = bounds[k] * s
        p = _below(heads, bound, p)
        n1, s1 = counts[p], sums[p]
        if step > 1 and p > 0:
            i, last = (p - 1) * step, min(p * step, values.size)
            s1 = sums[p - 1]
            while i < last and values[i] < bound:
                s1 += values[i]
                i += 1
            n1 = i
        g = levels[k] * s
        gain += g * (2.0 * (s1 - s0) - g * (n1 - n0))
        n0, s0 = n1, s1
        k += 1
    g = levels[k] * s
    return energy - (gain + g * (2.0 * (sums[-1] - s0) - g * (counts[-1] - n0)))


@njit(parallel=True)
def grid_errors(values, heads, counts, sums, energy, step, grids, scales, errors):
    """Write the sum of ``(x − s · round(x / s))²`` for each row, each grid and each of its scales.

    A cell with value g, n magnitudes and their sum S has Σ(x − g)² = Σx² − g (2 S − g n): of the squares only the sum
    over all cells is needed. Beyond the last bound, magnitudes saturate to the last level. ``scales`` and ``errors``
    are ``[rows, grids, candidates]``; ``grids`` are (levels, bounds, where each grid begins in them).
    """
    rows, kinds, candidates = scales.shape
    groups = (candidates + GROUP - 1) // GROUP
    levels, bounds, starts = grids
    for task in prange(rows * groups * kinds):
        r, group, kind = task // (kinds * groups), task // kinds % groups, task % kinds
        row = (values[r], heads[r], counts[r % counts.shape[0]], sums[r], energy[r], step)
        grid = (levels[starts[kind] : starts[kind + 1]], bounds[starts[kind] : starts[kind + 1] - 1])
        for c in range(group * GROUP, min(candidates, (group + 1) * GROUP)):
            errors[r, kind, c] = _grid_error(row, grid, scales[r, kind, c])


@njit(parallel=True)
def value_errors(values, counts, step, levels, bounds, which, scales, parts):
    """Write the same for pairs of a row and a scale, from the differences themselves, so that nothing cancels.

    ``parts`` is ``[pairs, chunks]``: the sums of CHUNK values each.
    """
    n, chunks = values.shape[1], parts.shape[1]
    for task in prange(parts.size):
        pair, first = task // chunks, task % chunks * CHUNK
        row, count, s = values[which[pair]], counts[which[pair] % counts.shape[0]], scales[pair]
        k = np.searchsorted(bounds, np.float64(row[first]) / s)
        total = 0.0
        for i in range(first, min(n, first + CHUNK)):
            v = np.float64(row[i])
            while k < bounds.size and v >= bounds[k] * s:
                k += 1
            d = v - levels[k] * s
            total += d * d * (1 if step > 1 else count[i + 1] - count[i])
        parts[pair, task % chunks] = total
