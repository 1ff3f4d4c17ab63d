"""Conversions, numbers and callers for the tests of rounding modes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from codec_mode_oracle import expected_by_mode
from codec_oracle import differences, directed, oracle
from numpy.typing import NDArray

import fpsim
from fpsim.codec.protocol import backend
from fpsim.number import ElementFormat, FloatFormat, exact
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding

Floats = NDArray[np.floating]
#: What rounds an array: ``(x, fmt, how) -> y``.
Rounder = Callable[[Floats, ElementFormat, Conversion], Floats]
SEED = 0xFEDCBA9876543210
DIRECTED = tuple(mode for mode in Rounding if mode is not Rounding.STOCHASTIC)


def conversion(
    mode: str, overflow: str = "saturate", nan: str = "keep", bits: int = 24, seed: int = SEED
) -> Conversion:
    """A conversion by names; the random bits count where the mode is stochastic."""
    known = {"rounding": mode, "overflow": overflow, "nan": nan}
    return Conversion(**known) if mode != "stochastic" else Conversion(**known, random_bits=bits, seed=seed)


#: Every mode × overflow policy, the NaN policies in turn, and stochastic rounding with few and with all bits.
CONVERSIONS = [
    conversion(mode, overflow, nan)
    for (mode, overflow), nan in zip(product(Rounding, Overflow), list(NanPolicy) * 6, strict=False)
] + [
    *(conversion("stochastic", "saturate", nan, bits) for nan, bits in zip(NanPolicy, (1, 3, 8, 17), strict=True)),
    *(conversion("stochastic", "special", bits=bits) for bits in (1, 11, 23)),
    *(conversion("ties-to-even", nan=nan) for nan in ("zero", "negative-zero", "max")),
]


def possible(fmt: ElementFormat, hows: list[Conversion]) -> list[Conversion]:
    """Those whose overflow policy the format has a code for."""
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    return [how for how in hows if has_nan or how.overflow is Overflow.SATURATE]


def edges(fmt: ElementFormat, dtype: type[np.floating], scale: float = 1.0) -> Floats:
    """Numbers from just below the largest value to far beyond it, with the boundaries' own neighbours."""
    top = float(oracle(fmt).values[-1]) * float(dtype(scale) * dtype(fmt.scale(8 * np.dtype(dtype).itemsize)))
    after = top * (1 + 1 / 64)
    if isinstance(fmt, FloatFormat):
        after = top / float(fmt.grid.max) * float(fmt.grid.grid_value(fmt.grid.max_code + 1))
    with np.errstate(over="ignore"):
        points = np.array([top, (top + after) / 2, after, *np.linspace(top, 2 * top, 24), 4 * top, 1e30 * top], dtype)
        every = np.concatenate([points, np.nextafter(points, dtype(np.inf)), np.nextafter(points, dtype(0))])
    return np.concatenate([every, -every])


def numbers(fmt: ElementFormat, dtype: type[np.floating], count: int, scale: float = 1.0) -> Floats:
    """``count`` numbers, a third of them at or beside values and middles; then the edges; then random ones."""
    rng = np.random.default_rng(fmt.bits)
    beside = directed(fmt, dtype, scale)
    if len(beside) > count:
        beside = np.concatenate([beside[-20:], rng.choice(beside, count - 20)])
    sizes = np.log2(np.abs(oracle(fmt).values[oracle(fmt).values != 0]) * scale)
    low, high = max(sizes.min() - 3, -160), min(sizes.max() + 2, 127.9)
    with np.errstate(all="ignore"):
        spread = np.exp2(rng.uniform(low, high, 64)) * rng.choice([-1.0, 1.0], 64)
        return np.concatenate([beside, edges(fmt, dtype, scale), spread.astype(dtype)]).astype(dtype)


def by_twin(twin: str, scale: Any = None, zero_point: Any = None) -> Rounder:
    """The rounder of a backend, by the protocol; the format's own scale is multiplied in."""

    def rounder(x: Floats, fmt: ElementFormat, how: Conversion) -> Floats:
        rows = x.reshape(1, -1) if x.ndim < 2 else x
        own = np.asarray(1.0 if scale is None else scale, x.dtype) * x.dtype.type(fmt.scale(8 * x.dtype.itemsize))
        out = np.empty_like(rows)
        arrays = [rows, np.atleast_2d(own).copy(), out, zero_point]
        chosen = backend(twin)
        if chosen.arrays == "torch":
            import torch

            arrays = [None if a is None else torch.from_numpy(a) for a in arrays]
        policies = {} if how == exact.DEFAULT else {"how": how}
        chosen.quantize(arrays[0], fmt, arrays[1], arrays[2], arrays[3], **policies)
        return out.reshape(x.shape)

    return rounder


def by_name(backend_name: str, x: Any, fmt: Any, how: Conversion, **more: Any) -> Any:
    """``fpsim.quantize`` with a conversion's policies as names."""
    random = {} if how.deterministic else {"seed": how.seed, "random_bits": how.random_bits}
    policies = {"rounding": str(how.rounding), "overflow": str(how.overflow), "nan": str(how.nan)}
    return fpsim.quantize(x, fmt, backend=backend_name, **policies, **random, **more)


def disagreement(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """How a rounder differs from the specification; an empty string where it does not."""
    found = differences(rounder(x, fmt, how), expected_by_mode(fmt, x, how), x)
    return f"{fmt.name}, {x.dtype}, {how}: {found}" if found else ""
