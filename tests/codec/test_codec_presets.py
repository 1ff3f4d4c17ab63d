"""Under a preset fpsim gives what its library gives, bit for bit: every 16-bit input, random ones, and the edges."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from codec_cases import TWINS
from codec_oracle import differences, directed
from numpy.typing import NDArray
from preset_peers import PEERS

import fpsim
from fpsim.number import FloatFormat
from fpsim.number.presets import formats_of, preset, presets

TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
CASES = [(name, fmt) for name in PEERS for fmt in formats_of(name)]
#: Nothing to run: the PTX text and the OFP8 tables, row by row. PTX has no Inf and no NaN in FP4 and FP6.
TABLES = {
    ("ocp-saturating", "e4m3"): [448, 448, 448, 448, np.nan],
    ("ocp-saturating", "e5m2"): [448, 448, 57344, 57344, np.nan],
    ("ocp-non-saturating", "e4m3"): [448, np.nan, np.nan, np.nan, np.nan],
    ("ocp-non-saturating", "e5m2"): [448, 448, np.inf, np.inf, np.nan],
    ("cuda-satfinite", "e4m3"): [448, 448, 448, 448, np.nan],
    ("cuda-satfinite", "e5m2"): [448, 448, 57344, 57344, np.nan],
    ("cuda-satfinite", "e2m1"): [6, 6, 6, 6, 6],
    ("cuda-satfinite", "e2m3"): [7.5, 7.5, 7.5, 7.5, 7.5],
    ("cuda-satfinite", "e3m2"): [28, 28, 28, 28, 28],
    ("cuda-satfinite", "binary16"): [464, 465, 65504, 65504, np.nan],
    ("cuda-rz-satfinite", "binary16"): [464, 465, 65504, 65504, np.nan],
    ("cuda-rz-satfinite", "bfloat16"): [464, 464, 99840, 3.3895313892515355e38, np.nan],
    ("cuda-rz-satfinite", "tf32"): [464, 465, 99968, 3.4011621342146535e38, np.nan],
    ("cuda-rs-satfinite", "e2m1"): [6, 6, 6, 6, 6],
}


def under(x: NDArray[Any], name: str, fmt: str, backend: str) -> NDArray[np.float64]:
    """What fpsim makes of an array with the policies of a preset."""
    found = preset(name, fpsim.format(fmt))
    if found.through == "float32" and x.dtype == np.float64:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
    how = found.conversion
    policies = {"rounding": how.rounding, "overflow": how.overflow, "nan": how.nan}
    if not how.deterministic:
        policies |= {"random_bits": how.random_bits, "seed": how.seed}
    result: NDArray[np.float64] = fpsim.quantize(x, fmt, out_dtype=np.float64, backend=backend, **policies)
    return result


@lru_cache(maxsize=64)
def inputs(fmt: str, dtype: str) -> NDArray[Any]:
    """All patterns of a 16-bit type; of the wider ones the format's boundaries, random numbers and double roundings."""
    kind = TYPES[dtype]
    if np.dtype(kind).itemsize == 2:
        return np.arange(1 << 16, dtype=np.uint16).view(kind)
    facts = fpsim.format(fmt)
    assert isinstance(facts, FloatFormat)
    rng = np.random.default_rng(17)
    random = rng.normal(size=4000) * np.exp2(rng.uniform(-30, 40, 4000))
    with np.errstate(over="ignore"):
        return np.concatenate([_edges(facts).astype(kind), random.astype(kind), _near(facts, kind)])


def _near(facts: FloatFormat, kind: type[np.floating]) -> NDArray[Any]:
    if facts.bits <= 8:
        return directed(facts, kind)
    special = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38]
    return np.array([*special, *([1e300, -1e300, 5e-324] if kind is np.float64 else [])], kind)


def _edges(facts: FloatFormat) -> NDArray[np.float64]:
    """Around the largest value and the step that would follow it, and just off the middles of some neighbours."""
    top = float(facts.max)
    step = float(facts.grid_value(facts.max_code + 1) - facts.max)
    beyond = [0, 0.25, 0.5 - 2**-20, 0.5 - 2**-40, 0.5, 0.5 + 2**-40, 0.5 + 2**-20, 0.75, 1, 1.5, 2, 4]
    middles = [(1 + (i + 0.5) * 2.0**-facts.mantissa_bits) * (1 + s) for i in range(4) for s in (0, 2**-40, -(2**-40))]
    edges = np.array([top + step * b for b in beyond] + middles)
    return np.concatenate([edges, -edges])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("name", "fmt"), CASES)
def test_a_preset_gives_what_its_library_gives(name: str, fmt: str, dtype: str) -> None:
    x = inputs(fmt, dtype)
    if name == "ml_dtypes" and preset(name, fpsim.format(fmt)).conversion.nan == "negative-zero":
        with np.errstate(invalid="ignore"):  # signalling NaN
            x = x[~(np.isnan(x) & np.signbit(x))]  # the one deviation, below
    theirs = PEERS[name](x, fmt)
    for twin in TWINS:
        assert not differences(under(x, name, fmt, twin), theirs, x)


def test_the_inputs_tell_the_presets_apart() -> None:
    """Otherwise the comparison above could pass with the policies of another preset."""
    x = inputs("e4m3", "float64")
    results = {name: PEERS[name](x, "e4m3") for name in PEERS}
    assert differences(results["torch>=2.12"], results["torch<2.12"], x)
    assert differences(results["gfloat"], results["gfloat-saturate"], x)
    assert differences(results["gfloat"], results["ml_dtypes"], x), "one rounding from float64, or two"
    assert not differences(results["ml_dtypes"], results["torch<2.12"], x)


@pytest.mark.parametrize("name", PEERS)
def test_the_keyword_preset_stands_for_its_policies(name: str) -> None:
    x = inputs("e4m3", "float64")
    ours = fpsim.quantize(x, "e4m3", preset=name, out_dtype=np.float64)
    assert not differences(ours, PEERS[name](x, "e4m3"), x)


def test_ml_dtypes_gives_the_sign_of_a_nan_the_other_way_round() -> None:
    x = np.array([np.nan, np.copysign(np.nan, -1)], np.float32)
    assert np.signbit(PEERS["ml_dtypes"](x, "e2m1")).tolist() == [True, False]
    for twin in TWINS:
        ours = under(x, "ml_dtypes", "e2m1", twin)
        assert (ours.tolist(), np.signbit(ours).tolist()) == ([0, 0], [True, True])


@pytest.mark.parametrize(("name", "fmt"), TABLES)
def test_presets_without_a_library_follow_their_tables(name: str, fmt: str) -> None:
    x = np.array([464, 465, 1e5, np.inf, np.nan], np.float32)
    x = np.concatenate([x, -x[:4]])
    wanted = np.array(TABLES[name, fmt], np.float64)
    wanted = np.concatenate([wanted, -wanted[:4]])
    for twin in TWINS:
        assert not differences(under(x, name, fmt, twin), wanted, x)


def test_every_preset_is_compared_with_a_library_or_a_table() -> None:
    assert set(PEERS) | {name for name, _ in TABLES} == set(presets())
