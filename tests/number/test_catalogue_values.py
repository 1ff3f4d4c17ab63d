"""The catalogue's check values, derived a second time: from what every code decodes to, not from the properties."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from fractions import Fraction

import pytest
from scipy.stats import norm

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.catalogue import Entry, builtin, fraction
from fpsim.number.exact import decode

ENTRIES = builtin()
ELEMENTS = {name: entry for name, entry in ENTRIES.items() if not isinstance(entry.format, BlockFormat)}


def codes(fmt: ElementFormat) -> Iterator[int]:
    """All codes up to 16 bits; of wider formats, whose extremes lie there, the ends of every binade."""
    if isinstance(fmt, CodebookFormat):
        yield from range(len(fmt.values))
    elif fmt.bits <= 16:
        yield from range(1 << fmt.bits)
    else:
        assert isinstance(fmt, FloatFormat)
        m = fmt.mantissa_bits
        for sign, field, mantissa in itertools.product((0, 1), range(1 << fmt.exponent_bits), (0, 1, (1 << m) - 1)):
            yield ((sign << fmt.exponent_bits) | field) << m | mantissa


def used(fmt: ElementFormat, code: int) -> bool:
    """Symmetric integers leave their most negative code unused."""
    return not (isinstance(fmt, IntFormat) and fmt.signed and not fmt.full and code == 1 << (fmt.bits - 1))


def derived(fmt: ElementFormat) -> dict[str, Fraction]:
    finite = {code: Fraction(v) for code in codes(fmt) if used(fmt, code) and math.isfinite(v := decode(fmt, code))}
    found = {"max": max(finite.values())}
    if isinstance(fmt, FloatFormat):
        positive = [(code >> fmt.mantissa_bits, value) for code, value in finite.items() if value > 0]
        found["min_normal"] = min(value for field, value in positive if field > 0 or not fmt.zero)
        below = [value for field, value in positive if field == 0 and fmt.zero]
        found |= {"min_subnormal": min(below)} if below else {}
    return found


@pytest.mark.parametrize("name", ELEMENTS)
def test_check_values_follow_from_the_codes(name: str) -> None:
    entry = ELEMENTS[name]
    assert {key: fraction(str(value)) for key, value in entry.check.items() if key != "bits"} == derived(entry.format)


@pytest.mark.parametrize("name", ELEMENTS)
def test_the_number_of_codes_is_that_of_the_checked_bits(name: str) -> None:
    entry = ELEMENTS[name]
    fmt, bits = entry.format, entry.check["bits"]
    last = len(fmt.values) - 1 if isinstance(fmt, CodebookFormat) else (1 << bits) - 1
    assert math.ceil(math.log2(last + 1)) == bits
    decode(fmt, last)
    with pytest.raises(FpsimError, match="does not exist"):
        decode(fmt, last + 1)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in ELEMENTS])
def test_bits_of_blocks_are_those_of_element_and_scale(name: str) -> None:
    fmt = ENTRIES[name].format
    assert isinstance(fmt, BlockFormat)
    element, scale = ENTRIES[fmt.element.name], ENTRIES[fmt.scale.name]
    assert element.format == fmt.element
    assert scale.format == fmt.scale
    total = fmt.block * element.check["bits"] + scale.check["bits"]
    assert Fraction(total, fmt.block) == fraction(str(ENTRIES[name].check["bits"])) == Fraction(fmt.bits)


@pytest.mark.parametrize(("name", "entry"), ENTRIES.items())
def test_every_entry_names_its_source_and_is_checked(name: str, entry: Entry) -> None:
    assert len(entry.format.source) > 20
    assert entry.format.name == name
    assert "bits" in entry.check


def test_no_two_entries_share_a_name() -> None:
    names = [*ENTRIES, *(alias for entry in ENTRIES.values() for alias in entry.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("chen-e1m2", Fraction(7, 4)),
        ("chen-e2m1", 3),
        ("chen-e4m3", 240),
        ("e2m1", 6),
        ("e4m3", 448),
        ("e4m3-ieee", 240),
        ("e4m3-fnuz", 240),
        ("int8-q6", Fraction(127, 64)),
    ],
)
def test_exact_maxima(name: str, largest: Fraction) -> None:
    fmt = ENTRIES[name].format
    assert fmt.max == derived(fmt)["max"] == largest


def test_ocp_e4m3_has_one_nan_a_sign_and_no_infinity() -> None:
    values = {code: decode(ENTRIES["e4m3"].format, code) for code in range(256)}
    assert [code for code, value in values.items() if math.isnan(value)] == [0x7F, 0xFF]
    assert not any(math.isinf(value) for value in values.values())
    assert values[0x7E] == 448


def test_ocp_e5m2_has_infinities_and_three_nans_a_sign() -> None:
    values = {code: decode(ENTRIES["e5m2"].format, code) for code in range(256)}
    assert {code: value for code, value in values.items() if math.isinf(value)} == {0x7C: math.inf, 0xFC: -math.inf}
    assert [c for c, v in values.items() if math.isnan(v)] == [0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]


def test_e8m0_is_every_power_of_two_and_one_nan() -> None:
    fmt = ENTRIES["e8m0"].format
    assert [decode(fmt, code) for code in range(255)] == [Fraction(2) ** (code - 127) for code in range(255)]
    assert math.isnan(decode(fmt, 255))


@pytest.mark.parametrize("name", ["e4m3-fnuz", "e5m2-fnuz"])
def test_fnuz_has_its_only_nan_where_minus_zero_would_be(name: str) -> None:
    values = {code: decode(ENTRIES[name].format, code) for code in range(256)}
    assert [code for code, value in values.items() if math.isnan(value)] == [0x80]
    assert [code for code, value in values.items() if value == 0] == [0]


@pytest.mark.parametrize(
    ("name", "layout", "shift"), [("binary16", "<He", 0), ("bfloat16", "<If", 16), ("binary32", "<If", 0)]
)
def test_ieee_formats_decode_as_the_machine_does(name: str, layout: str, shift: int) -> None:
    fmt = ENTRIES[name].format
    for code in codes(fmt):
        (expected,) = struct.unpack(layout[0] + layout[2], struct.pack(layout[:2], code << shift))
        value = float(decode(fmt, code))
        assert value == expected or (math.isnan(value) and math.isnan(expected)), hex(code)
        assert math.copysign(1, value) == math.copysign(1, expected) or math.isnan(value)


def test_chen_e1m2_is_the_15_level_integer_up_to_scale() -> None:
    grid = {decode(ENTRIES["chen-e1m2"].format, code) * 4 for code in range(16)}
    integers = {decode(ENTRIES["int4"].format, code) for code in range(16) if code != 8}
    assert grid == integers
    assert len(integers) == 15


def test_nf4_is_made_of_normal_quantiles() -> None:
    """QLoRA, appendix E, with the offset of its published code."""
    offset = 0.9677083
    steps = lambda count: [offset + (0.5 - offset) * i / (count - 1) for i in range(count - 1)]  # noqa: E731
    positive, negative = norm.ppf(steps(9)), -norm.ppf(steps(8))
    quantiles = sorted([*positive, 0.0, *negative])
    expected = [value / max(quantiles) for value in quantiles]
    fmt = ENTRIES["nf4"].format
    assert isinstance(fmt, CodebookFormat)
    assert fmt.values == pytest.approx(expected, abs=2e-7)
    assert all(value == struct.unpack("<f", struct.pack("<f", value))[0] for value in fmt.values)
