"""Presets: each names its source, holds for catalogue formats only, and is refused for the others in one line."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

import fpsim
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.catalogue import builtin, folder
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.presets import Preset, formats_of, preset, presets

DATA = tomllib.loads((folder() / "presets.toml").read_text(encoding="utf-8"))
EVEN = "ties-to-even"
#: What some of them must say, written down a second time: name, format, rounding, overflow, NaN policy, random bits.
SAID = [
    ("torch>=2.12", "e4m3", EVEN, "saturate", "keep"),
    ("torch>=2.12", "e5m2", EVEN, "special", "keep"),
    ("torch<2.12", "e4m3", EVEN, "special", "keep"),
    ("ml_dtypes", "e4m3", EVEN, "special", "keep"),
    ("ml_dtypes", "e2m1", EVEN, "saturate", "negative-zero"),
    ("gfloat", "binary8p4se", EVEN, "special", "keep"),
    ("gfloat-saturate", "e2m1", EVEN, "saturate", "keep"),
    ("torchao", "e5m2", EVEN, "saturate", "keep"),
    ("ocp-saturating", "e5m2", EVEN, "saturate", "keep"),
    ("ocp-non-saturating", "e4m3", EVEN, "special", "keep"),
    ("cuda-satfinite", "e4m3", EVEN, "saturate", "keep"),
    ("cuda-satfinite", "e2m1", EVEN, "saturate", "max"),
    ("cuda-rz-satfinite", "tf32", "toward-zero", "saturate", "keep"),
    ("cuda-rs-satfinite", "e3m2", "stochastic", "saturate", "max"),
]


@pytest.mark.parametrize(("name", "fmt", "rounding", "overflow", "nan"), SAID)
def test_what_a_preset_says(name: str, fmt: str, rounding: str, overflow: str, nan: str) -> None:
    how = preset(name, fpsim.format(fmt)).conversion
    assert (how.rounding, how.overflow, how.nan) == (Rounding(rounding), Overflow(overflow), NanPolicy(nan))


def test_every_preset_is_named_in_the_expectations_above() -> None:
    assert {row[0] for row in SAID} == set(presets()) == set(DATA)


@pytest.mark.parametrize("name", DATA)
def test_the_data_are_whole(name: str) -> None:
    entry = DATA[name]
    assert set(entry) <= {"through", "source", "note", "holds"}
    assert entry.get("through", "float32") == "float32"
    assert len(entry["source"]) > 20
    assert len(entry["note"]) > 20
    named = [fmt for group in entry["holds"] for fmt in group["formats"]]
    assert tuple(named) == formats_of(name)
    assert len(named) == len(set(named))
    assert all(isinstance(builtin()[fmt].format, FloatFormat) for fmt in named)
    for group in entry["holds"]:
        assert {"formats", "rounding", "overflow"} <= set(group), "rounding and overflow are always explicit"
        assert set(group) <= {"formats", "rounding", "overflow", "nan", "random_bits"}


@pytest.mark.parametrize(("name", "fmt"), [(name, fmt) for name in DATA for fmt in formats_of(name)])
def test_policies_fit_their_formats(name: str, fmt: str) -> None:
    found, facts = preset(name, fpsim.format(fmt)), builtin()[fmt].format
    assert isinstance(facts, FloatFormat)
    assert isinstance(found.conversion, Conversion)
    if facts.nan_code is None:
        assert found.conversion.overflow is Overflow.SATURATE
    else:
        assert found.conversion.nan is NanPolicy.KEEP


def test_a_preset_carries_its_name_source_and_note() -> None:
    found = preset("ml_dtypes", fpsim.format("e2m1"))
    entry = DATA["ml_dtypes"]
    assert found == Preset(
        name="ml_dtypes",
        conversion=Conversion(nan=NanPolicy.NEGATIVE_ZERO),
        through="float32",
        source=entry["source"],
        note=entry["note"],
    )
    assert preset("gfloat", fpsim.format("e4m3")).through is None
    bits = [
        preset("cuda-rs-satfinite", fpsim.format(f)).conversion.random_bits for f in ("e4m3", "e2m1", "fp16", "bf16")
    ]
    assert bits == [16, 8, 13, 16]


def test_a_format_is_known_by_its_facts_not_by_its_name() -> None:
    e4m3 = fpsim.format("e4m3")
    assert isinstance(e4m3, FloatFormat)
    assert preset("torch>=2.12", replace(e4m3, name="mine")) == preset("torch>=2.12", e4m3)
    assert preset("torch<2.12", fpsim.format("binary8p4sf")).conversion.overflow is Overflow.SPECIAL


def test_presets_of_a_format() -> None:
    assert presets(fpsim.format("tf32")) == ("cuda-satfinite", "cuda-rz-satfinite")
    assert presets(fpsim.format("e2m1")) == ("ml_dtypes", "gfloat-saturate", "cuda-satfinite", "cuda-rs-satfinite")
    assert presets(fpsim.format("int8")) == ()


@pytest.mark.parametrize("name", ["Torch >= 2.12", " TORCH>=2.12 "])
def test_case_and_spaces_do_not_matter(name: str) -> None:
    assert preset(name, fpsim.format("e4m3")).name == "torch>=2.12"


@pytest.mark.parametrize(
    ("name", "fmt", "words"),
    [
        ("torch", "e4m3", ["'torch' does not say which", "torch>=2.12 or torch<2.12"]),
        ("cuda", "e4m3", ["cuda-satfinite or cuda-rz-satfinite or cuda-rs-satfinite"]),
        ("ocp", "e4m3", ["ocp-saturating or ocp-non-saturating"]),
        ("gfloats", "e4m3", ["'gfloats' is not available", "ml_dtypes", "Did you mean 'gfloat'?"]),
        ("", "e4m3", ["'' is not available; there are torch>=2.12"]),
        (
            "gfloat",
            "e2m1",
            ["says nothing about e2m1", "holds for e4m3, e5m2", "for it there are ml_dtypes, gfloat-s"],
        ),
        ("cuda-rz-satfinite", "e4m3", ["says nothing about e4m3 (bias 7", "binary16, bfloat16, tf32"]),
        ("ml_dtypes", "e8m0", ["says nothing about e8m0"]),
        ("ml_dtypes", "mxfp4", ["says nothing about mxfp4"]),
        ("ml_dtypes", "int8", ["says nothing about int8 (-127 to 127)"]),
    ],
)
def test_refusals_are_one_line(name: str, fmt: str, words: list[str]) -> None:
    with pytest.raises(FpsimError) as caught:
        preset(name, fpsim.format(fmt))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_another_bias_is_another_format() -> None:
    with pytest.raises(FpsimError, match=r"says nothing about e4m3 \(bias 8"):
        preset("torch>=2.12", fpsim.format("e4m3", bias=8))
