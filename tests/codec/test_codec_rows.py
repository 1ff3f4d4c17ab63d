"""Codes of rows with scales, by NumPy and by the compiled loops: against the reference and against rounding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from codec_cases import NARROW, WIDE, ids
from codec_oracle import differences, directed, expected_codes, used_codes

import fpsim
from fpsim.codec import arrays
from fpsim.codec.codes import code_dtype
from fpsim.codec.coding import decode_rows, encode_rows
from fpsim.codec.protocol import backend
from fpsim.codec.rows import PIECE
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion

FLOATS = (np.float32, np.float64)
#: One format for each way to a code: short and long magic sums, patterns, tables, integers; specials of all kinds.
KINDS = [
    *("e4m3", "e5m2", "e2m1", "e4m3-fnuz", "e3m0", "nf4", "e8m0", "int8", "int5", "uint4", "binary16", "bfloat16"),
    *("e4m3-ieee", "int12", "uint16"),
]
MODES = [
    Conversion(rounding="toward-zero"),
    Conversion(rounding="to-odd", nan="zero"),
    Conversion(nan="max"),
    Conversion(nan="negative-zero"),
    Conversion(rounding="stochastic", seed=5),
    Conversion(rounding="ties-to-away", overflow="special"),
    Conversion(overflow="propagate"),
]


@pytest.fixture(params=["numpy", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Small arrays go through NumPy; here they also go where long ones do."""
    monkeypatch.setattr(arrays, "SMALL", 0 if request.param == "compiled" else 1 << 40)
    return request.param


def rounded(
    x: np.ndarray, fmt: ElementFormat, scale: np.ndarray, zero: np.ndarray | None = None, how: Conversion = DEFAULT
) -> np.ndarray:
    out = np.empty_like(x)
    backend("numpy").quantize(x, fmt, scale, out, zero, **({} if how == DEFAULT else {"how": how}))
    return out


@pytest.mark.parametrize("fmt", [*NARROW, *WIDE[:3]], ids=ids)
def test_codes_are_the_references(fmt: ElementFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype in FLOATS:
        x = directed(fmt, dtype)
        x = x[~np.isnan(x)][None, :: 1 if fmt.bits <= 8 else 11]
        s = np.full((1, 1), fmt.scale(8 * x.itemsize), dtype)
        with np.errstate(all="ignore"):
            wanted = expected_codes(fmt, (x / s)[0])
        for small in (0, 1 << 40):
            monkeypatch.setattr(arrays, "SMALL", small)
            codes = encode_rows(x, fmt, s)
            assert codes.dtype == code_dtype(fmt.bits)
            assert np.array_equal(codes[0], wanted)
            assert not differences(decode_rows(codes, fmt, s), rounded(x, fmt, s), x)


@pytest.mark.parametrize("fmt", NARROW, ids=ids)
def test_every_code_comes_back(fmt: ElementFormat, way: str) -> None:
    """Decode, then encode: in float64, which tells the grid's values apart; a NaN's code is the format's one NaN."""
    codes = np.array(list(used_codes(fmt)), code_dtype(fmt.bits))[None]
    one = np.ones((1, 1))
    values = decode_rows(codes, fmt, one)
    how = Conversion(overflow="propagate") if np.isinf(values).any() else DEFAULT
    again = encode_rows(values, fmt, one, how=how)
    nan = np.isnan(values)
    assert np.array_equal(again[~nan], codes[~nan])
    assert np.all(again[nan] == getattr(fmt, "nan_code", None))


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 160), (7, 160), (7, 32)])
@pytest.mark.parametrize("name", KINDS)
def test_scales_of_all_shapes(name: str, shape: tuple[int, int], way: str) -> None:
    fmt = fpsim.format(name)
    for dtype in FLOATS:
        rng = np.random.default_rng(3)
        x = (rng.standard_normal((7, max(shape[1], 32))) * 5).astype(dtype)
        x[0, :4] = (np.inf, -np.inf, 0, -0.0)
        scale = (np.exp2(rng.uniform(-3, 3, shape)) * fmt.scale(8 * x.itemsize)).astype(dtype)
        codes = encode_rows(x, fmt, scale)
        assert not differences(decode_rows(codes, fmt, scale), rounded(x, fmt, scale), x)


@pytest.mark.parametrize("exponent", [-126, -125, -1, 0, 3, 126, 127])
def test_powers_of_two(exponent: int, way: str) -> None:
    """Some are multiplied by their inverse, where that is exact."""
    scale = np.full((1, 1), 2.0**exponent, np.float32)
    t = np.random.default_rng(6).standard_normal((3, 500)).astype(np.float32)
    with np.errstate(over="ignore"):
        scaled = t * scale / 4
    x = np.concatenate([t, scaled, np.full((1, 500), 1e-42, np.float32), np.zeros((1, 500), np.float32)])
    for name in ("e4m3", "e2m1", "int8"):
        fmt = fpsim.format(name)
        codes = encode_rows(x, fmt, scale)
        assert not differences(decode_rows(codes, fmt, scale), rounded(x, fmt, scale), x)


@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 64), (6, 64)])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_zero_points(bits: int, shape: tuple[int, int], way: str) -> None:
    fmt, rng = fpsim.format(f"uint{bits}"), np.random.default_rng(bits)
    x = rng.standard_normal((6, 64)).astype(np.float32)
    scale = rng.uniform(0.01, 0.5, shape).astype(np.float32)
    zero = rng.integers(0, 1 << bits, shape).astype(np.float32)
    codes = encode_rows(x, fmt, scale, zero)
    wanted = np.clip(np.rint(x / scale), -zero, (1 << bits) - 1 - zero) + zero
    assert np.array_equal(codes, wanted.astype(np.uint32))
    assert not differences(decode_rows(codes, fmt, scale, zero), rounded(x, fmt, scale, zero), x)
    toward = Conversion(rounding="toward-zero")
    codes = encode_rows(x, fmt, scale, zero, toward)
    assert not differences(decode_rows(codes, fmt, scale, zero), rounded(x, fmt, scale, zero, toward), x)


@pytest.mark.parametrize("how", MODES, ids=str)
@pytest.mark.parametrize("name", ["e4m3", "e2m1", "e5m2", "e4m3-fnuz", "nf4", "e3m0", "int8", "e8m0", "bfloat16"])
def test_other_conversions(name: str, how: Conversion, way: str) -> None:
    """Codes of every mode decode to what rounding in that mode gives."""
    fmt = fpsim.format(name)
    x = (np.random.default_rng(7).standard_normal((5, 96)) * 300).astype(np.float32)
    x[1, :3] = (np.inf, -np.inf, 1e30)
    if how.nan != "keep":
        x[2, 5] = np.nan
    scale = np.array([[0.5], [1], [2], [3], [0.7]], np.float32)
    if how.overflow != "saturate" and getattr(fmt, "nan_code", None) is None:
        with pytest.raises(fpsim.FpsimError, match="neither Inf nor NaN"):
            encode_rows(x, fmt, scale, how=how)
    else:
        codes, wanted = encode_rows(x, fmt, scale, how=how), rounded(x, fmt, scale, how=how)
        assert not differences(decode_rows(codes, fmt, scale), wanted, x)


@pytest.mark.parametrize("name", ["e2m1", "int8", "nf4", "e3m2", "uint4"])
def test_a_nan_without_a_code_is_found(name: str, way: str) -> None:
    fmt, one = fpsim.format(name), np.ones((1, 1), np.float32)
    x = np.zeros((3, 40000), np.float32)
    x[2, 17001] = x[2, 30000] = np.nan
    for how in (DEFAULT, Conversion(rounding="toward-zero")):
        with pytest.raises(fpsim.FpsimError, match=rf"the value at \(2, 17001\) is NaN, but {name} has no NaN code"):
            encode_rows(x, fmt, one, how=how)
    zero = encode_rows(x, fmt, one, how=Conversion(nan="zero"))
    assert np.all(zero == zero[0, 0])


@pytest.mark.parametrize("name", KINDS)
def test_long_arrays(name: str) -> None:
    """Many tasks, a rest in the last one, rows and one long row: the compiled loops equal NumPy's rounding."""
    fmt = fpsim.format(name)
    x = (np.random.default_rng(2).standard_normal((3, 50001)) * 4).astype(np.float32)
    scale = np.array([[1], [0.37], [4]], np.float32)
    for data, s in ((x, scale), (x.reshape(1, -1), scale[1:2]), (x.reshape(-1, 3), scale.reshape(1, 3))):
        codes = encode_rows(data, fmt, s)
        assert not differences(decode_rows(codes, fmt, s), rounded(data, fmt, s), data)


@pytest.mark.parametrize("rounding", ["to-odd", "stochastic"])
def test_long_arrays_in_pieces(rounding: str) -> None:
    how = Conversion(rounding=rounding, seed=1 if rounding == "stochastic" else 0)
    fmt = fpsim.format("e4m3")
    for shape in ((2, PIECE + 77), (300, 301)):
        x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
        scale = np.linspace(0.5, 2, shape[0], dtype=np.float32).reshape(-1, 1)
        codes = encode_rows(x, fmt, scale, how=how)
        assert not differences(decode_rows(codes, fmt, scale), rounded(x, fmt, scale, how=how), x)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 0)])
@pytest.mark.parametrize("name", ["e4m3", "int8", "nf4", "uint4"])
def test_empty_arrays(name: str, shape: tuple[int, int], way: str) -> None:
    fmt, one = fpsim.format(name), np.ones((1, 1), np.float32)
    codes = encode_rows(np.empty(shape, np.float32), fmt, one)
    assert codes.shape == shape
    assert decode_rows(codes, fmt, one).shape == shape


def test_a_product_that_underflows_has_the_sign_that_rounding_gives_it(way: str) -> None:
    """In formats without −0 a negative number times a small scale is +0, as backends have it."""
    scale, x = np.full((1, 1), 2.0**-120, np.float32), np.full((1, 3), -1, np.float32)
    for name, negative in (("e4m3-fnuz", False), ("e4m3", True)):
        fmt = fpsim.format(name, bias=60)
        values = decode_rows(encode_rows(x, fmt, scale), fmt, scale)
        assert not differences(values, rounded(x, fmt, scale), x)
        assert np.all(values == 0)
        assert np.all(np.signbit(values) == negative)
