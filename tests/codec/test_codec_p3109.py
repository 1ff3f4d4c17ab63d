"""The formats of the P3109 draft in whole arrays: as gfloat decodes, rounds and encodes them."""

from __future__ import annotations

import gfloat
import numpy as np
import pytest
from codec_oracle import differences, directed
from gfloat.formats import format_info_p3109
from gfloat.types import Domain, FormatInfo, Signedness
from numpy.typing import NDArray

import fpsim
from fpsim.codec.encoded import Encoded
from fpsim.number import FloatFormat

FORMATS = [
    f"binary{k}p{p}{sign}{domain}"
    for k, ps in ((3, (1, 2)), (4, (2,)), (6, (3,)), (8, (1, 3, 4, 7)))
    for p in ps
    for sign in "su"
    for domain in "ef"
]


def pair(name: str) -> tuple[FloatFormat, FormatInfo]:
    fmt = fpsim.format(name)
    assert isinstance(fmt, FloatFormat)
    sign = Signedness.Signed if fmt.signed else Signedness.Unsigned
    domain = Domain.Finite if fmt.inf_code is None else Domain.Extended
    return fmt, format_info_p3109(fmt.bits, fmt.precision, sign, domain)


def inputs(fmt: FloatFormat) -> NDArray[np.float64]:
    """The boundaries of the format; without a sign none below 0, where gfloat has no rule."""
    x = directed(fmt, np.float64)
    return x if fmt.signed else x[np.isnan(x) | (x > 0) | ((x == 0) & ~np.signbit(x))]


@pytest.mark.parametrize("name", FORMATS)
def test_every_code_decodes_as_in_gfloat(name: str) -> None:
    fmt, info = pair(name)
    codes = np.arange(1 << fmt.bits, dtype=np.uint8)
    encoded = Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt, width=64)
    values = fpsim.decode(encoded, dtype=np.float64)
    assert not differences(values, gfloat.decode_ndarray(info, codes.astype(np.int64)), codes)


@pytest.mark.parametrize("overflow", ["saturate", "special"])
@pytest.mark.parametrize("name", FORMATS)
def test_rounding_and_codes_are_those_of_gfloat(name: str, overflow: str) -> None:
    fmt, info = pair(name)
    x = inputs(fmt)
    with np.errstate(all="ignore"):
        theirs = gfloat.round_ndarray(info, x, sat=overflow == "saturate")
    assert not differences(fpsim.quantize(x, fmt, overflow=overflow), theirs, x)
    codes = fpsim.encode(x, fmt, overflow=overflow).codes
    assert np.array_equal(codes, gfloat.encode_ndarray(info, theirs))


def test_inf_stays_or_saturates_and_nan_has_one_code() -> None:
    x = np.array([np.inf, -np.inf, 300.0, -300.0, np.nan, -0.0], np.float32)
    assert fpsim.encode(x, "binary8p4se").codes.tolist() == [0x7E, 0xFE, 0x7E, 0xFE, 0x80, 0x00]
    assert fpsim.encode(x, "binary8p4se", overflow="propagate").codes.tolist() == [0x7F, 0xFF, 0x7E, 0xFE, 0x80, 0x00]
    assert fpsim.encode(x, "binary8p4se", overflow="special").codes.tolist() == [0x7F, 0xFF, 0x7F, 0xFF, 0x80, 0x00]
    assert fpsim.encode(x, "binary8p4sf", overflow="special").codes.tolist() == [0x80, 0x80, 0x80, 0x80, 0x80, 0x00]
