"""Names to formats: catalogue, aliases, families, overrides, the user's files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import fpsim
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, IntFormat, ScaleRule, Specials
from fpsim.number.catalogue import builtin

MINE = """
[tiny]
exponent_bits = 2
mantissa_bits = 1
bias = 0.5
aliases = ["Small"]

[Levels]
kind = "codebook"
values = [-2, -0.5, 0.5, 2.0]

[tiles]
kind = "block"
element = "tiny-int"
block = 8
scale = "e8m0"
rule = "floor"

[e4m3]
exponent_bits = 4
mantissa_bits = 3
bias = 11
"""
ORDERED = '[tiny-int]\nkind = "int"\nbits = 3\n' + MINE


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(ORDERED)
    return str(path)


@pytest.mark.parametrize("name", builtin())
def test_every_name_and_alias_gives_the_entry(name: str) -> None:
    entry = builtin()[name]
    for other in (name, name.upper(), f" {name} ", *entry.aliases):
        assert fpsim.format(other) is entry.format


@pytest.mark.parametrize(
    ("name", "e", "m", "bias", "specials", "largest"),
    [
        ("e3m4", 3, 4, 3, "none", 31),
        ("e1m2", 1, 2, 0, "none", Fraction(7, 2)),
        ("e8m7", 8, 7, 127, "none", Fraction(2) ** 129 - Fraction(2) ** 121),
        ("e5m10-ieee", 5, 10, 15, "ieee", 65504),
        ("e3m4-fn", 3, 4, 3, "fn", 30),
        ("e3m4-fnuz", 3, 4, 4, "fnuz", Fraction(31, 2)),
        ("e4m3-none", 4, 3, 7, "none", 480),
        ("chen-e3m2", 3, 2, 4, "none", 14),
        ("e4m0", 4, 0, 7, "none", 256),
    ],
)
def test_float_families(name: str, e: int, m: int, bias: int, specials: str, largest: Fraction) -> None:
    fmt = fpsim.format(name)
    expected = FloatFormat(name=name, exponent_bits=e, mantissa_bits=m, bias=bias, specials=Specials(specials))
    assert fmt == expected
    assert fmt.name == name
    assert fmt.max == largest


@pytest.mark.parametrize("bits", range(2, 17))
def test_integer_families(bits: int) -> None:
    ranges = {name: fpsim.format(name) for name in (f"int{bits}", f"int{bits}-full", f"uint{bits}")}
    assert all(isinstance(fmt, IntFormat) for fmt in ranges.values())
    half = 2 ** (bits - 1)
    ends = [(fmt.lo, fmt.hi) for fmt in ranges.values() if isinstance(fmt, IntFormat)]
    assert ends == [(1 - half, half - 1), (-half, half - 1), (0, 2 * half - 1)]


@pytest.mark.parametrize("rule", ["floor", "ceil", "even", "rceil"])
def test_block_names_take_a_scale_rule(rule: str) -> None:
    fmt = fpsim.format(f"mxfp8-{rule}")
    assert isinstance(fmt, BlockFormat)
    assert fmt == replace(builtin()["mxfp8-e4m3"].format, rule=ScaleRule(rule))
    assert fmt.name == f"mxfp8-{rule}"


def test_overrides_keep_everything_else() -> None:
    standard = fpsim.format("e4m3")
    assert isinstance(standard, FloatFormat)
    assert fpsim.format("e4m3", bias=6.37) == replace(standard, bias=6.37)
    assert fpsim.format("e4m3", specials="ieee") == replace(standard, specials=Specials.IEEE)
    assert fpsim.format("e4m3", subnormals=False) == replace(standard, subnormals=False)
    assert fpsim.format("e4m3", bias=8, specials="none") == fpsim.format("chen-e4m3")
    assert fpsim.format("e4m3", bias=7.0) == standard
    assert fpsim.format("e4m3", subnormals=True) == standard
    assert fpsim.format(standard, bias=3).name == "e4m3"


def test_names_are_no_part_of_identity() -> None:
    assert fpsim.format("e4m3-ieee") == fpsim.format("e4m3", specials="ieee")
    assert hash(fpsim.format("chen-e4m3")) == hash(fpsim.format("e4m3", bias=8, specials="none"))
    assert fpsim.format("e4m3") != fpsim.format("e4m3-ieee")


def test_a_list_is_a_codebook_and_a_format_is_itself() -> None:
    fmt = fpsim.format([-1, 0.25, 3])
    assert isinstance(fmt, CodebookFormat)
    assert (fmt.values, fmt.bits) == ((-1.0, 0.25, 3.0), 2)
    assert fpsim.format(fmt) is fmt


def test_a_name_in_a_file(mine: str) -> None:
    assert fpsim.format(f"{mine}#tiny").max == 12
    assert fpsim.format(f"{mine}#small") is fpsim.format(f"{mine}#TINY")
    assert fpsim.format(f"{mine}#levels") == fpsim.format([-2, -0.5, 0.5, 2])
    tiles = fpsim.format(f"{mine}#tiles")
    assert isinstance(tiles, BlockFormat)
    assert tiles.element == fpsim.format("int3")


def test_files_come_before_the_catalogue(mine: str) -> None:
    assert fpsim.format("e4m3", files=[mine]).bias == 11
    assert fpsim.format("e4m3").bias == 7
    assert fpsim.format("fp8", files=[mine]).max == 448
    assert fpsim.format("tiles-even", files=[mine]).rule is ScaleRule.EVEN
    assert fpsim.format("tiny", files=[mine], bias=1).bias == 1


def test_a_folder_may_have_a_hash_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "c#"
    folder.mkdir()
    (folder / "f.toml").write_text(ORDERED)
    assert fpsim.format(f"{folder}/f.toml#tiny").bits == 4


def test_an_unknown_name_in_a_file_lists_what_it_has(mine: str) -> None:
    with pytest.raises(
        FpsimError, match=r"'tinny' in .*mine\.toml\. Did you mean 'tiny'\? It has tiny-int, tiny, Levels"
    ):
        fpsim.format(f"{mine}#tinny")
    with pytest.raises(FpsimError, match="unknown format 'e5m2'"):
        fpsim.format(f"{mine}#e5m2")
