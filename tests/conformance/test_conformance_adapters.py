"""Other libraries against the specification: their deviations are pinned, and each is what the facts say."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from wrong_backends import WrongBackend, directed_trial

import fpsim
from fpsim.conformance.adapters import ADAPTERS, find
from fpsim.conformance.cases import Effort
from fpsim.conformance.deviations import documented, within
from fpsim.conformance.kinds import Kind
from fpsim.conformance.programme import Result, compare, run
from fpsim.conformance.scope import conversions, default_formats
from fpsim.number.conversion import Conversion

SATURATE, SPECIAL = Conversion(), Conversion(overflow="special")  # type: ignore[arg-type]
PINNED_VERSIONS = {"ml_dtypes": "0.6", "torch-cast": "2.13", "gfloat": "0.5.2"}


def compared(name: str, fmt_name: str, width: int, how: Conversion = SATURATE) -> Result:
    chosen = find(name)
    version = getattr(chosen, "version", "")
    if not version.startswith(PINNED_VERSIONS[name]):
        pytest.skip(f"the counts are those of {name} {PINNED_VERSIONS[name]}, not {version}")
    fmt, trial = directed_trial(fmt_name, width)
    facts = [fact for fact in documented() if fact.concerns(name, version, fmt, how)]
    return compare(chosen, fmt, how, [trial], facts)


@pytest.mark.parametrize(
    ("name", "fmt", "width", "how", "known"),
    [
        ("ml_dtypes", "e4m3", 32, SATURATE, {"overflow-to-nan": 38}),
        ("ml_dtypes", "e4m3", 32, SPECIAL, {}),
        ("ml_dtypes", "e4m3", 64, SATURATE, {"overflow-to-nan": 44, "through-float32": 504}),
        ("ml_dtypes", "e4m3", 64, SPECIAL, {"through-float32": 508}),
        ("ml_dtypes", "e5m2", 32, SATURATE, {"overflow-to-inf": 40}),
        ("ml_dtypes", "e5m2", 64, SPECIAL, {"through-float32": 496}),
        ("ml_dtypes", "e4m3-fnuz", 32, SATURATE, {"overflow-to-nan": 40}),
        ("ml_dtypes", "e2m1", 32, SATURATE, {"nan-to-negative-zero": 3}),
        ("ml_dtypes", "e2m1", 64, SATURATE, {"through-float32": 28, "nan-to-negative-zero": 3}),
        (
            "ml_dtypes",
            "e8m0",
            32,
            SPECIAL,
            {"zero-to-nan": 2, "ties-to-away": 128, "smallest-power-rounds-up": 6},
        ),
        ("torch-cast", "e4m3", 32, SATURATE, {}),
        ("torch-cast", "e4m3", 32, SPECIAL, {"overflow-saturates": 38}),
        ("torch-cast", "e4m3", 64, SATURATE, {"through-float32": 504}),
        ("torch-cast", "e5m2", 32, SATURATE, {"overflow-to-inf": 40}),
        ("torch-cast", "e5m2", 32, SPECIAL, {}),
        ("torch-cast", "e5m2-fnuz", 32, SATURATE, {"overflow-to-nan": 40}),
        (
            "torch-cast",
            "e8m0",
            32,
            SPECIAL,
            {
                "sign-dropped": 29,
                "ties-to-away": 128,
                "smallest-power-rounds-up": 6,
                "sign-dropped + smallest-power-rounds-up": 3,
            },
        ),
        ("gfloat", "e4m3", 64, SATURATE, {}),
        ("gfloat", "e5m2", 64, SPECIAL, {}),
        ("gfloat", "e2m1", 64, SATURATE, {}),
    ],
)
def test_known_deviations_are_pinned(name: str, fmt: str, width: int, how: Conversion, known: dict[str, int]) -> None:
    result = compared(name, fmt, width, how)
    assert result.known == known
    assert result.unknown == 0


@pytest.mark.parametrize("rounding", find("gfloat").roundings[1:])
def test_gfloat_rounds_as_specified_in_all_its_modes(rounding: str) -> None:
    chosen = find("gfloat")
    plan = [
        (fmt, how, width)
        for fmt in (fpsim.format("e4m3"), fpsim.format("e3m2"))
        for width in (32, 64)
        for how in conversions(chosen, fmt, roundings=[rounding], seed=2)
    ]
    assert [(result.wrong, result.problem) for result in run(chosen, plan, Effort.QUICK)] == [(0, "")] * len(plan)


@pytest.mark.parametrize("name", ADAPTERS)
def test_nothing_about_the_installed_versions_is_unknown(name: str) -> None:
    chosen = find(name)
    how = [SATURATE, SPECIAL]
    plan = [
        (fmt, conversion, 64)
        for fmt in default_formats(chosen)
        if fmt.bits <= 8
        for conversion in conversions(chosen, fmt, roundings=["ties-to-even"])
        if conversion in how
    ]
    results = list(run(chosen, plan, Effort.QUICK))
    assert len(results) >= 8
    assert [(r.format.name, str(r.conversion), r.unknown, r.examples) for r in results if r.unknown] == []


def test_a_mismatch_is_known_only_if_it_is_what_the_fact_says() -> None:
    fmt, trial = directed_trial("e4m3", 32, (500.0,))
    facts = [fact for fact in documented() if fact.concerns("ml_dtypes", "0.6.0", fmt, SATURATE)]
    inf = compare(WrongBackend(500.0, float("inf")), fmt, SATURATE, [trial], facts)
    assert (inf.wrong, inf.unknown) == (1, 1)  # documented is NaN
    nan = compare(WrongBackend(500.0, float("nan")), fmt, SATURATE, [trial], facts)
    assert (nan.wrong, nan.unknown, nan.known) == (1, 0, {"overflow-to-nan": 1})
    tie = compare(WrongBackend(1.0625, float("nan")), fmt, SATURATE, [trial], facts)
    assert tie.unknown == 1


def test_facts_hold_for_versions() -> None:
    fmt = fpsim.format("e4m3")
    kinds = {
        version: {f.kind for f in documented() if f.concerns("torch-cast", version, fmt, SATURATE)}
        for version in ("2.11.0", "2.12.0+cu130")
    }
    assert kinds["2.11.0"] - kinds["2.12.0+cu130"] == {Kind.OVERFLOW_TO_NAN}
    assert within("2.4", ">=2.4,<2.12")
    assert not within("2.12", ">=2.4,<2.12")
    with pytest.raises(fpsim.FpsimError, match="version range '~2' cannot be read"):
        within("2.4", "~2")


def test_every_fact_names_formats_that_its_library_has() -> None:
    for fact in documented():
        known = find(fact.backend).formats
        assert set(fact.formats) <= {*known, "*"}, fact
        assert fact.what
        assert fact.source


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ADAPTERS["ml_dtypes"][0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(fpsim.FpsimError, match="backend 'ml_dtypes' needs ml_dtypes; pip install ml_dtypes brings it"):
        find("ml_dtypes")


def test_an_unknown_backend_lists_all() -> None:
    with pytest.raises(fpsim.FpsimError, match=r"no backend 'mlx'; there are numba.*here also gfloat, ml_dtypes"):
        find("mlx")


def test_zero_points_are_refused() -> None:
    fmt, trial = directed_trial("e4m3", 32)
    with pytest.raises(fpsim.FpsimError, match="gfloat has no zero points"):
        find("gfloat").quantize(trial.x, fmt, trial.scale, trial.x.copy(), trial.scale)


def test_adapters_say_their_version() -> None:
    for name, (_, _, package) in ADAPTERS.items():
        assert find(name).version.partition("+")[0] == importlib.metadata.version(package).partition("+")[0]
