"""Devices files and calibrations, and what damages them."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from strategies import ANY_TEXT, nested

from fpsim.cost.calibration_file import BUILTIN

DEVICE = """[mine]
architecture = "ampere"
processors = 16
memory_gb = 32
bandwidth_gb_s = 400
tdp_w = 60
clock_mhz = 1300
aliases = ["my"]
peaks = { fp16 = 40, int8 = 80 }
[other]
inherit = "mine"
tdp_w = { value = 30, source = "a", confidence = "vendor" }
[other.peaks]
fp8 = { dense = 100, sparse = 200 }
"""
CALIBRATION = BUILTIN.read_text(encoding="utf-8")
OWN = CALIBRATION + "\n[device.mine]\n" + DEVICE.partition("\n")[2].partition("[other]")[0]

_VALUES = st.one_of(
    st.sampled_from(
        ("nan", "inf", "-inf", "-1", "0", "1e400", "1e308", "5e-324", "true", '""', '"x"', "[]", "{}", "[[1]]")
    ),
    st.sampled_from(("1979-05-27", "[nan]", '["a", 1]', '"mine"', '"other"', '"h100-sxm"', "{ value = -1 }", "2.5")),
    st.sampled_from(("9" * 400, "9" * 5000, "0x" + "f" * 20_000, nested(600, "[", "]"), "'" + "x" * 5000 + "'")),
    st.integers(-(2**70), 2**70).map(str),
    ANY_TEXT.map(lambda text: json.dumps(text, ensure_ascii=True)),
)
_KEYS = st.one_of(
    st.sampled_from(("x", '""', "inherit", "peaks", "memory_gb", '"\\u0000"', "device", "a.b", "fp16", "mape")),
    ANY_TEXT.map(lambda text: json.dumps(text, ensure_ascii=True)),
    st.just('"' + "k" * 5000 + '"'),
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A file in which one or two lines have another value or key, or are gone, doubled or broken."""
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places))
        key, equals, value = lines[place].partition("=")
        kind = draw(st.sampled_from(("value", "value", "value", "key", "gone", "twice", "broken", "new")))
        if kind == "value" and equals:
            lines[place] = f"{key}= {draw(_VALUES)}"
        elif kind == "key" and equals:
            lines[place] = f"{draw(_KEYS)} ={value}"
        elif kind == "new" or kind in ("value", "key"):
            lines[place] += f"\n{draw(_KEYS)} = {draw(_VALUES)}"
        elif kind == "broken":
            lines[place] = lines[place][: draw(st.integers(0, len(lines[place])))] + draw(ANY_TEXT)
        else:
            lines[place] = "" if kind == "gone" else f"{lines[place]}\n{lines[place]}"
    return "\n".join(lines)
