"""Other libraries round as fpsim does, wherever they offer the format; ``test_codec_deviations.py`` has the exceptions.

They overflow to Inf or NaN, so values are clamped to the format's range first.
"""

from __future__ import annotations

import gfloat
import ml_dtypes
import numpy as np
import pytest
import torch
from codec_cases import NARROW, TWINS
from codec_oracle import differences, directed
from gfloat.formats import format_info_bfloat16, format_info_binary16, format_info_ocp_e8m0
from gfloat.types import Domain, FormatInfo
from library_types import ML_DTYPES, TORCH

import fpsim
from fpsim.number import ElementFormat, FloatFormat, Specials

TYPES = {**ML_DTYPES, "e4m3-fnuz, bias 11": ml_dtypes.float8_e4m3b11fnuz}


def named(name: str) -> FloatFormat:
    base, _, bias = name.partition(", bias ")
    fmt = fpsim.format(base, bias=float(bias) if bias else None)
    assert isinstance(fmt, FloatFormat)
    return fmt


def inputs(fmt: ElementFormat, *, clamp: bool = True) -> np.ndarray:
    """All bfloat16 and float16 patterns, the format's own boundaries, and random numbers, without NaN, in float32."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    rng = np.random.default_rng(7)
    random = rng.normal(size=20_000) * np.exp2(rng.uniform(-20, 12, 20_000))
    parts = [patterns.view(ml_dtypes.bfloat16), patterns.view(np.float16), random]
    near = directed(fmt, np.float32) if fmt.bits <= 8 else []
    x = np.concatenate([np.asarray(p).astype(np.float32) for p in (*parts, near)])
    top = np.float32(float(fmt.max))
    return np.clip(x[~np.isnan(x)], -top, top) if clamp else x[~np.isnan(x)]


@pytest.mark.parametrize("name", TYPES)
def test_ml_dtypes(name: str) -> None:
    fmt, kind = named(name), TYPES[name]
    x = inputs(fmt)
    theirs = x.astype(kind)
    for twin in TWINS:
        assert not differences(fpsim.quantize(x, fmt, backend=twin), theirs.astype(np.float32), x)
    codes = theirs.view(np.uint8 if fmt.bits <= 8 else np.uint16)
    assert np.array_equal(fpsim.encode(x, fmt).codes, codes)


def test_ml_dtypes_powers_of_two() -> None:
    """ml_dtypes sends ties to the larger power, fpsim (and gfloat, below) to the even code."""
    x = inputs(fpsim.format("e8m0"))
    x = x[x >= 2.0**-126]
    theirs = x.astype(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    ours, ties = fpsim.quantize(x, "e8m0"), np.frexp(x)[0] == 0.75
    assert not differences(ours[~ties], theirs[~ties], x[~ties])
    assert np.array_equal(theirs[ties], x[ties] / np.float32(0.75))
    assert np.all(fpsim.encode(x[ties], "e8m0").codes % 2 == 0)


@pytest.mark.parametrize("name", TORCH)
def test_torch_casts(name: str) -> None:
    fmt = named(name)
    x = inputs(fmt)
    theirs = torch.from_numpy(x).to(TORCH[name]).float().numpy()
    for twin in TWINS:
        assert not differences(fpsim.quantize(x, fmt, backend=twin), theirs, x)


def gfloat_format(fmt: FloatFormat) -> FormatInfo:
    """The same format in gfloat's terms."""
    ieee = fmt.specials is Specials.IEEE
    high_nans = (1 << fmt.mantissa_bits) - 1 if ieee else int(fmt.specials is Specials.FN)
    return FormatInfo(
        fmt.name,
        fmt.bits,
        fmt.precision,
        bias=int(fmt.bias),
        is_signed=True,
        domain=Domain.Extended if fmt.inf_code is not None else Domain.Finite,
        has_nz=fmt.has_negative_zero,
        num_high_nans=high_nans,
        has_subnormals=True,
        is_twos_complement=False,
    )


def plain_floats() -> list[FloatFormat]:
    """The formats that gfloat can describe: integer bias, subnormals; it wants a normal number at the top."""
    floats = [f for f in NARROW if isinstance(f, FloatFormat) and f.signed and f.subnormals and f.zero]
    return [f for f in floats if isinstance(f.bias, int) and f.max_code >= 1 << f.mantissa_bits and f.emax < 120]


@pytest.mark.parametrize("fmt", plain_floats(), ids=lambda f: f.name)
def test_gfloat(fmt: FloatFormat) -> None:
    info = gfloat_format(fmt)
    x = directed(fmt, np.float64)
    x = x[~np.isnan(x)]
    theirs = gfloat.round_ndarray(info, x, sat=True)
    for twin in TWINS:
        assert not differences(fpsim.quantize(x, fmt, backend=twin), theirs, x)
    assert np.array_equal(fpsim.encode(x, fmt).codes, gfloat.encode_ndarray(info, theirs))
    codes = np.arange(1 << fmt.bits)
    values = gfloat.decode_ndarray(info, codes)
    finite = np.isfinite(values)
    assert not differences(fpsim.quantize(values[finite], fmt), values[finite], codes[finite])


@pytest.mark.parametrize("info", [format_info_bfloat16, format_info_binary16], ids=lambda f: f.name)
def test_gfloat_at_sixteen_bits(info: FormatInfo) -> None:
    fmt = fpsim.format(info.name)
    x = inputs(fmt, clamp=False).astype(np.float64)
    assert not differences(fpsim.quantize(x, fmt), gfloat.round_ndarray(info, x, sat=True), x)


def test_gfloat_powers_of_two() -> None:
    x = inputs(fpsim.format("e8m0")).astype(np.float64)
    x = x[x >= 2.0**-127]
    assert not differences(fpsim.quantize(x, "e8m0"), gfloat.round_ndarray(format_info_ocp_e8m0, x, sat=True), x)
