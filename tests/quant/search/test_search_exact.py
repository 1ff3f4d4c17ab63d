"""The search against the equations evaluated value by value, over all candidates."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import FRACTIONS, biases, draw, search

from fpsim import PerChannel, search_format
from fpsim.quant.search.candidates import encodings_of

CLOSE = 1e-9


def check(x: np.ndarray, bits: int) -> None:
    """Same encoding and bias wherever the two best differ; otherwise errors as good."""
    encodings = encodings_of(bits)
    found, expected = search_format(x, bits), search(x, encodings)
    power = np.mean(x.astype(np.float64) ** 2)
    np.testing.assert_allclose(found.errors[0], expected, rtol=CLOSE, atol=2.0**-45 * power)
    flat = np.sort(expected.reshape(-1))
    best = int(np.argmin(expected))
    if flat[1] > flat[0] * (1 + CLOSE) + 1e-28 * power:
        assert found.index[0] == best
        encoding, place = encodings[best // 111], best % 111
        assert found.encoding == encoding
        exact = biases(encoding, FRACTIONS[place : place + 1] * np.float64(np.abs(x).max()))[0]
        assert abs(found.format.bias - exact) <= 1e-12
    # Where values nearly are levels, the last bits of either scale show in the error.
    assert abs(found.mse - flat[0]) <= CLOSE * flat[0] + 1e-28 * power + 2.0**-46 * np.sqrt(flat[0] * power)


@pytest.mark.parametrize("part", range(10))
def test_five_hundred_random_tensors(part: int) -> None:
    for seed in range(50 * part, 50 * (part + 1)):
        check(draw(seed, dtype=(np.float32, np.float64)[seed % 3 == 2]), bits=4 if seed % 5 == 4 else 8)


@pytest.mark.parametrize("bits", [2, 3, 5, 6, 7, 9])
def test_other_widths_try_every_encoding(bits: int) -> None:
    assert [e.bits for e in encodings_of(bits)] == [bits] * min(8, bits - 1)
    for seed in range(8):
        check(draw(seed), bits)


def test_wide_formats_do_not_lose_their_small_errors() -> None:
    x = draw(0)
    found = search_format(x, encodings=["e3m12", "e5m10"])
    expected = search(x, encodings_of(16, ["e3m12", "e5m10"]))
    assert found.sqnr_db > 75
    assert abs(found.mse - expected.min()) <= CLOSE * expected.min()


def test_values_that_a_format_holds_have_no_error() -> None:
    grid = np.array([-3, -1.5, 0, 0.25, 2, 3], np.float32)
    found = search_format(grid, encodings=["e2m3"])
    assert found.mse < 1e-30 * np.mean(grid**2)  # the last bits of 2^−bias
    assert found.sqnr_db > 300
    assert np.isclose(found.maximum[0] / 3, FRACTIONS, rtol=1e-15).any()


def test_equal_errors_go_to_the_first_candidate() -> None:
    x = np.array([1.0, -1.0, 1.0])  # exact wherever 1 is a level
    found = search_format(x)
    errors = found.errors[0]
    assert found.index[0] == np.flatnonzero(errors.reshape(-1) <= 1e-30)[0]
    turned = search_format(x, encodings=["e5m2", "e4m3", "e3m4", "e2m5"])
    assert turned.encoding.name == "e5m2"


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_channels_share_the_encoding_of_least_total_error(kind: type) -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_t(4, (7, 5, 3)) * 10.0 ** rng.uniform(-2, 2, (1, 5, 1))).astype(kind)
    x[:, 3] = 0
    found = search_format(x, granularity=PerChannel(1))
    tables = np.array([search(x[:, c], encodings_of(8)) for c in (0, 1, 2, 4)])
    winner = int(np.argmin(tables.min(axis=2).sum(axis=0)))
    assert found.encoding == encodings_of(8)[winner]
    assert found.winners.tolist() == [winner] * 5
    live = found.index[[0, 1, 2, 4]] - winner * 111
    assert live.tolist() == np.argmin(tables[:, winner], axis=1).tolist()
    assert found.bias[3] == found.encoding.default.bias
    assert found.mse == pytest.approx(tables[:, winner].min(axis=1).sum() / 5, rel=CLOSE)
    rounded = found.quantizer(kind.__name__)(x)
    assert np.mean((rounded.astype(np.float64) - x) ** 2) == pytest.approx(found.mse, rel=1e-4)


def test_channels_may_have_encodings_of_their_own() -> None:
    rng = np.random.default_rng(5)
    x = np.stack([rng.uniform(-1, 1, 500), rng.standard_t(2, 500), rng.lognormal(0, 3, 500)])
    shared = search_format(x, granularity=PerChannel(0))
    own = search_format(x, granularity=PerChannel(0), per_channel_encoding=True)
    assert [f.name.split()[0] for f in own.formats] == [search_format(row).encoding.name for row in x]
    assert len(set(own.winners)) > 1
    assert own.mse <= shared.mse
    with pytest.raises(ValueError, match="no single format"):
        _ = own.format


@pytest.mark.parametrize("bits", [4, 8])
def test_the_format_rounds_with_the_error_that_was_promised(bits: int) -> None:
    for seed in range(40):
        x = draw(seed)
        found = search_format(x, bits)
        y = found.quantizer()(x)
        if found.mse:
            assert np.mean((y.astype(np.float64) - x) ** 2) == pytest.approx(found.mse, rel=1e-4)
