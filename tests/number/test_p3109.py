"""The formats of the IEEE P3109 draft: code by code as gfloat has them, and as the working group's value tables do."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from gfloat import decode_float
from gfloat.formats import format_info_p3109
from gfloat.types import Domain, Signedness

import fpsim
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat, Specials
from fpsim.number.catalogue import builtin
from fpsim.number.exact import decode, encode
from fpsim.number.p3109 import p3109

KINDS = {
    f"{s}{d}": (signedness, domain)
    for s, signedness in (("s", Signedness.Signed), ("u", Signedness.Unsigned))
    for d, domain in (("e", Domain.Extended), ("f", Domain.Finite))
}


def all_of(k: int) -> list[tuple[int, int, str]]:
    """Every format of a width that float64 holds."""
    found = [(k, p, kind) for kind in KINDS for p in range(1, k + (kind[0] == "u"))]
    return [(k, p, kind) for k, p, kind in found if k - p + (kind[0] == "u") <= 11]


FORMATS = [case for k in range(3, 9) for case in all_of(k)]
WIDER = [(10, 4, "se"), (10, 1, "ue"), (11, 11, "uf"), (12, 1, "sf"), (12, 5, "se"), (12, 12, "ue")]
FROM_THE_VALUE_TABLES = {
    "binary8p4se": {
        0x01: 2.0**-10,
        0x07: 7 * 2.0**-10,
        0x08: 2.0**-7,
        0x40: 1.0,
        0x7E: 224.0,
        0x7F: math.inf,
        0x81: -(2.0**-10),
        0xFE: -224.0,
        0xFF: -math.inf,
    },
    "binary8p1ue": {0x00: 0.0, 0x01: 2.0**-127, 0x80: 1.0, 0xFD: 2.0**125, 0xFE: math.inf},
}


def named(k: int, p: int, kind: str) -> FloatFormat:
    fmt = fpsim.format(f"binary{k}p{p}{kind}")
    assert isinstance(fmt, FloatFormat)
    return fmt


def same(ours: Fraction | float, theirs: float) -> bool:
    return math.isnan(ours) == math.isnan(theirs) and (math.isnan(theirs) or ours == theirs)


@pytest.mark.parametrize(("k", "p", "kind"), [*FORMATS, *WIDER])
def test_every_code_has_the_value_that_gfloat_gives_it(k: int, p: int, kind: str) -> None:
    fmt, info = named(k, p, kind), format_info_p3109(k, p, *KINDS[kind])
    assert (fmt.bits, fmt.precision, fmt.bias) == (info.k, info.precision, info.bias)
    unlike = [code for code in range(1 << k) if not same(decode(fmt, code, width=64), decode_float(info, code).fval)]
    assert not unlike


@pytest.mark.parametrize(("k", "p", "kind"), FORMATS)
def test_every_code_comes_back_and_there_is_one_nan_and_one_zero(k: int, p: int, kind: str) -> None:
    fmt = named(k, p, kind)
    values = [decode(fmt, code, width=64) for code in range(1 << k)]
    assert [code for code, value in enumerate(values) if math.isnan(value)] == [fmt.nan_code]
    assert [code for code, value in enumerate(values) if value == 0] == [0]
    infinite = {code for code, value in enumerate(values) if math.isinf(value)}
    assert len(infinite) == (kind[1] == "e") * (1 + fmt.signed)
    for code, value in enumerate(values):
        if code not in infinite:
            assert encode(fmt, value) == code


@pytest.mark.parametrize("name", FROM_THE_VALUE_TABLES)
def test_the_working_groups_value_tables(name: str) -> None:
    fmt = p3109(name)
    assert fmt is not None
    assert {code: float(decode(fmt, code)) for code in FROM_THE_VALUE_TABLES[name]} == FROM_THE_VALUE_TABLES[name]


def test_the_finite_formats_are_fnuz_with_a_sign_and_fn_without() -> None:
    assert fpsim.format("binary8p4sf") == fpsim.format("e4m3-fnuz")
    assert fpsim.format("binary8p3sf") == fpsim.format("e5m2-fnuz")
    for k, p, kind in FORMATS:
        expected = {"se": Specials.P3109, "ue": Specials.P3109, "sf": Specials.FNUZ, "uf": Specials.FN}[kind]
        assert named(k, p, kind).specials is expected


def test_the_catalogue_has_the_same_formats_as_the_family() -> None:
    names = [name for name in builtin() if name.startswith("binary8p")]
    assert sorted(names) == sorted(f"binary8p{p}s{d}" for p in (3, 4, 5) for d in "ef")
    for name in names:
        assert builtin()[name].format == p3109(name)
        assert "draft" in builtin()[name].format.source


def test_names_ignore_case_and_overrides_keep_the_rest() -> None:
    assert fpsim.format("Binary8p4SE") == fpsim.format("binary8p4se")
    assert fpsim.format("binary6p3ue") == fpsim.format(
        FloatFormat(name="any", exponent_bits=4, mantissa_bits=2, bias=8, signed=False, specials="p3109")  # type: ignore[arg-type]
    )
    moved = fpsim.format("binary8p4se", bias=7)
    assert isinstance(moved, FloatFormat)
    assert (moved.inf_code, moved.nan_code, moved.max) == (0x7F, 0x80, 448)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("binary8p4", "binary8p4se or binary8p4sf (signed, with Inf or finite), binary8p4ue or binary8p4uf"),
        ("binary8p8se", "has precision 8; with 8 bits signed P3109 formats have 1 to 7"),
        ("binary8p9uf", "unsigned P3109 formats have 1 to 8"),
        ("binary8p0se", "has precision 0"),
        ("binary2p1se", "has 2 bits; P3109 formats of 3 to 16 bits"),
        ("binary17p4se", "has 17 bits"),
        ("binary15p1se", "14 exponent bits and values beyond float64; 11 are the most: take a precision of at least 4"),
        ("binary15p4ue", "12 exponent bits and values beyond float64; 11 are the most: take a precision of at least 5"),
        ("binary8p4sx", "unknown format 'binary8p4sx'"),
    ],
)
def test_what_is_no_format_is_refused_in_one_line(name: str, words: str) -> None:
    with pytest.raises(FpsimError) as caught:
        fpsim.format(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "facts", [{"exponent_bits": 1, "mantissa_bits": 0}, {"exponent_bits": 1, "mantissa_bits": 0, "signed": False}]
)
def test_a_format_without_room_for_its_specials_is_refused(facts: dict[str, int]) -> None:
    with pytest.raises(FpsimError, match="specials 'p3109' leave no finite value but zero"):
        FloatFormat(name="tiny", bias=1, specials=Specials.P3109, **facts)  # type: ignore[arg-type]
