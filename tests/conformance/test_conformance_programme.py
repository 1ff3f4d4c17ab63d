"""The programme finds what is wrong with a backend, names it, and lets a right one pass."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_backends import FAULTS, FailingBackend, WrongBackend, directed_trial

import fpsim
from fpsim.codec.protocol import backend
from fpsim.conformance.adapters import find
from fpsim.conformance.cases import Effort
from fpsim.conformance.oracle import expected
from fpsim.conformance.programme import compare, run
from fpsim.conformance.scope import conversions, default_formats
from fpsim.conformance.trials import trials
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("width", [32, 64])
def test_one_wrong_number_is_caught_and_named(fault: str, width: int) -> None:
    number, becomes, kind = FAULTS[fault]
    fmt, trial = directed_trial("e4m3", width, (500.0, 2.0**-9 * 1.75))
    result = compare(WrongBackend(number, becomes), fmt, DEFAULT, [trial])
    assert set(result.mismatches) == {kind}
    assert (
        result.unknown
        == result.wrong
        == np.count_nonzero(trial.x == number)
        - (np.count_nonzero((trial.x == 0) & ~np.signbit(trial.x)) if number == 0 else 0)
    )
    example = result.examples[0]
    assert (example.kind, example.x, example.known) == (kind, number, "")
    assert example.got == becomes or np.isnan(becomes)


def test_wrong_scales_and_zero_points_are_caught() -> None:
    fmt = fpsim.format("uint4")
    results = list(run(WrongBackend(2.0, 3.0), [(fmt, DEFAULT, 32)], Effort.QUICK))
    examples = results[0].examples
    assert results[0].unknown > 0
    assert any(example.scale != 1 for example in examples) or any(e.zero_point is not None for e in examples)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_the_codec_s_backends_are_right(name: str) -> None:
    chosen = backend(name)
    formats = [fpsim.format(f) for f in ("e4m3", "e2m1", "uint4")]
    every = [(f, how, w) for f in formats for w in (32, 64) for how in conversions(chosen, f)]
    plan = every if name == "numpy" else every[::4]
    results = list(run(chosen, plan, Effort.QUICK))
    assert len(results) == len(plan) >= 8
    assert [(r.format.name, str(r.conversion), r.examples) for r in results if r.wrong or r.problem] == []
    assert all(r.cases > 1000 for r in results)


def test_a_third_party_backend_is_tried_by_its_entry_point(plain_backend: str) -> None:
    chosen = find(plain_backend)
    plan = [(fpsim.format(f), how, 64) for f in ("e4m3", "uint4") for how in conversions(chosen, fpsim.format(f))]
    assert [str(how) for _, how, _ in plan] == ["ties-to-even, saturate"] * 2
    assert [result.unknown for result in run(chosen, plan, Effort.QUICK)] == [0, 0]


def test_a_backend_that_fails_is_no_pass_and_one_that_refuses_no_mismatch() -> None:
    fmt, trial = directed_trial("e4m3", 32)
    failed = compare(FailingBackend(), fmt, DEFAULT, [trial])
    assert (failed.problem, failed.refused, failed.unknown) == ("ZeroDivisionError: no\nluck", False, 1)
    refused = compare(find("ml_dtypes"), fpsim.format("int8"), DEFAULT, [trial])
    assert refused.refused
    assert refused.unknown == 0
    assert refused.problem.startswith("ml_dtypes has no int8; it has e4m3,")


def test_a_backend_gets_copies() -> None:
    class Careless(WrongBackend):
        def quantize(self, x, fmt, scale, out, zero_point=None, how=DEFAULT):
            super().quantize(x, fmt, scale, out, zero_point, how)
            x[...], scale[...] = 7, 7

    fmt, trial = directed_trial("e4m3", 32)
    before = trial.x.copy()
    assert compare(Careless(), fmt, DEFAULT, [trial]).wrong == 0
    assert np.array_equal(trial.x, before, equal_nan=True)


def test_conversions_are_all_that_the_backend_offers() -> None:
    every = conversions(WrongBackend(), fpsim.format("e4m3"))
    assert len(every) == len(Rounding) * len(Overflow)
    without_nan = conversions(WrongBackend(), fpsim.format("e2m1"))
    assert [how.nan for how in without_nan][-3:] == ["zero", "negative-zero", "max"]
    assert len(without_nan) == len(Rounding) + 3
    chosen = conversions(WrongBackend(), fpsim.format("e4m3"), roundings=["to-odd"], overflows=["special"])
    assert chosen == [Conversion(rounding="to-odd", overflow="special")]  # type: ignore[arg-type]
    with pytest.raises(fpsim.FpsimError, match="has no rounding 'to-odd'"):
        conversions(find("gfloat"), fpsim.format("e4m3"), roundings=["to-odd"])


def test_default_formats_are_the_catalogue_or_the_library_s() -> None:
    assert {"e4m3", "int8", "nf4", "bfloat16"} <= {fmt.name for fmt in default_formats(WrongBackend())}
    assert "tf32" not in {fmt.name for fmt in default_formats(WrongBackend())}
    assert "e8m0" in {fmt.name for fmt in default_formats(find("ml_dtypes"))}


@pytest.mark.parametrize("ignored", ["scale", "other rows' scales", "zero point"])
def test_a_backend_that_ignores_an_argument_is_caught(ignored: str) -> None:
    class Deaf(WrongBackend):
        def quantize(self, x, fmt, scale, out, zero_point=None, how=DEFAULT):
            if ignored == "zero point" and zero_point is not None:
                zero_point = np.zeros_like(zero_point)
            elif ignored != "zero point":
                scale = np.ones_like(scale) if ignored == "scale" else scale[:1]
            out[...] = expected(x, fmt, scale, how, zero_point)

    (result,) = run(Deaf(), [(fpsim.format("uint4"), DEFAULT, 32)], Effort.QUICK)
    assert result.unknown > 100
    example = result.examples[0]
    assert example.zero_point not in (None, 0) if ignored == "zero point" else example.scale != 1


def test_a_real_bias_is_a_scale_for_the_backend() -> None:
    fmt = fpsim.format("e3m2", bias=2.7)
    first = trials(fmt, 32, Effort.QUICK, 0)[0]
    assert first.scale.item() == fmt.scale(32) != 1
    assert [result.wrong for result in run(backend("numpy"), [(fmt, DEFAULT, w) for w in (32, 64)], Effort.QUICK)] == [
        0,
        0,
    ]
