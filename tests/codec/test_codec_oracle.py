"""The table that stands for the exact reference in the other tests is the exact reference."""

from __future__ import annotations

import numpy as np
import pytest
from codec_cases import NARROW, WIDE, ids
from codec_oracle import differences, directed, expected, expected_codes, oracle

from fpsim.number import ElementFormat, exact

#: The reference needs a millisecond or two a number, so a spread of formats must do here.
SAMPLE = [*NARROW[::18], *WIDE]
WIDTHS = {32: np.float32, 64: np.float64}


def inputs(fmt: ElementFormat, dtype: type[np.floating], scale: float, count: int = 16) -> np.ndarray:
    """A seeded choice of the directed inputs, and random ones around the format's range."""
    rng = np.random.default_rng(len(fmt.name))
    near = directed(fmt, dtype, scale)
    near = rng.choice(near, min(count, near.size), replace=False)
    spread = rng.normal(size=count // 2) * np.exp2(rng.uniform(-8, 3, count // 2)) * float(fmt.max) * scale
    with np.errstate(over="ignore"):
        return np.concatenate([near, spread.astype(dtype), np.array([-0.0, np.nan, np.inf, -np.inf], dtype)])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("fmt", SAMPLE, ids=ids)
def test_table_gives_the_values_of_the_reference(fmt: ElementFormat, width: int) -> None:
    for scale in (1.0, 0.1):
        scale = float(WIDTHS[width](scale))
        x = inputs(fmt, WIDTHS[width], scale)
        wanted = np.array([exact.quantize(fmt, float(v), width=width, scale=scale) for v in x], x.dtype)
        assert not differences(expected(fmt, x, scale), wanted, x)


@pytest.mark.parametrize("fmt", SAMPLE, ids=ids)
def test_table_gives_the_codes_of_the_reference(fmt: ElementFormat) -> None:
    x = inputs(fmt, np.float64, 1.0)
    x = x[~np.isnan(x)]
    assert expected_codes(fmt, x).tolist() == [exact.encode(fmt.grid, float(v)) for v in x]


@pytest.mark.parametrize("fmt", WIDE, ids=ids)
def test_ties_of_wide_formats_go_to_the_even_code_as_in_the_reference(fmt: ElementFormat) -> None:
    table = oracle(fmt)
    zero = int(np.searchsorted(table.values, 0))
    some = [*np.random.default_rng(3).integers(0, len(table.middles), 40), zero, max(0, zero - 1)]
    winners = [float(exact.decode(fmt.grid, exact.encode(fmt.grid, float(table.middles[i])), width=64)) for i in some]
    assert winners == [float(table.values[i + 1] if table.up[i] else table.values[i]) for i in some]
