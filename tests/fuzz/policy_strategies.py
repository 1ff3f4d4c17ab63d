"""Policies in which something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from bin_strategies import bad_acts
from hypothesis import strategies as st
from strategies import edited_names
from toml_strategies import JUNK, TABLES

_SPECS = (
    *('"e4m3"', '"none"', '{ format = "e3m4", bias = 6.37 }', '{ format = "int8", scale = "max" }', "[-1, 0, 1]"),
    '{ format = "e2m1", biases = [1.5, -2] }',
)
_BAD_SPECS = (
    *('"e4m33"', '""', '"\\u0000"', "{}", "{ format = 3 }", '{ format = "e4m3", bias = "x" }', '{ scale = "max" }'),
    *('{ format = "int8", bias = 3 }', '{ format = "e4m3", bias = nan }', '{ format = "e4m3", granularity = "row" }'),
    *('{ format = "e4m3", scale = 3 }', '{ format = "e4m3", specials = "odd" }', '{ format = "e4m3", subnormals = 1 }'),
    *('{ format = "mxfp4", scale = "mse" }', '{ format = "e4m3", granularity = "block:99999999999999999999" }'),
    *('{ format = "e4m3", granularity = "block:' + "9" * 5000 + '" }', '{ format = "e4m3", scale = "percentile:nan" }'),
    *("{ format = [] }", "{ format = [nan] }", "{ format = [1, 'a'] }", "{ format = [2, 1] }", '"none.toml#x"', '"#"'),
    *('{ format = "e4m3", bias = 1e999 }', '{ format = "e4m3", nosuch = 1 }', '{ format = { format = "e4m3" } }'),
    *('{ format = "e2m1", biases = [] }', '{ format = "e2m1", biases = [nan] }', '{ format = "int4", biases = [1] }'),
    *('{ format = "e2m1", biases = 1 }', '{ format = "e2m1", biases = ["x"] }', '{ format = "mxfp4", biases = [1] }'),
    *('{ format = "e2m1", biases = [1], scale = "max" }', f'{{ format = "e2m1", biases = [{"9" * 400}] }}'),
    *('{ format = "e4m3", timestep_bins = 0 }', '{ format = "e4m3", timestep_bins = [3, 2] }', "{ bins = [] }"),
    *('{ format = "e4m3", timestep_bins = "a" }', '{ bins = [{ to = nan, format = "e4m3" }] }', "{ bins = [{}] }"),
    '{ bins = [{ to = 3, format = "e4m3" }, { from = 4, format = "e4m3" }] }',
    *(f'{{ format = "e4m3", bias = {"9" * 400} }}', f'{{ format = "e4m3", bias = 0x{"f" * 20_000} }}', *JUNK),
)
_EXTRA = (
    *("[formats]", "[formats.a]", "formats = 3", "[[formats]]", "[formats.a]\nbits = 3", "[formats.a.b]", "[nosuch]"),
    *('[formats.a]\nkind = "block"\nelement = "a"\nblock = 32\nscale = "e8m0"\nrule = "floor"', "rule = []", "x = 1"),
    *('[formats."e4m3\\u0000"]\nkind = "int"', "[formats]\na = 1", "[formats.'a b']\nwhen = 1979-05-27", "[rule]"),
)


def _bad_key(draw: st.DrawFn) -> str:
    return _good_rule(draw) + f"{draw(st.sampled_from(('wieghts', 'Match', 'skip', 'a b', '', 'match')))} = 1\n"


def _bad_header(draw: st.DrawFn) -> str:
    headers = ("[rule]", "[[rules]]", "[[rule]", "", "[[rule.x]]", "[[[rule]]]", "rule =")
    return _good_rule(draw).replace("[[rule]]", draw(st.sampled_from(headers)))


def _bad_match(draw: st.DrawFn) -> str:
    return f'[[rule]]\nmatch = {draw(st.sampled_from(JUNK))}\nacts = "e4m3"\n'


def _bad_spec(draw: st.DrawFn) -> str:
    spec = draw(st.one_of(st.sampled_from(_BAD_SPECS), edited_names().map(json.dumps), edited_names().map(json.dumps)))
    table = f"{{ format = {spec}, scale = 'max' }}" if draw(st.booleans()) else spec
    return f'[[rule]]\nmatch = "*"\n{draw(st.sampled_from(("weights", "acts")))} = {table}\n'


_FAULTS: Sequence[Callable[[st.DrawFn], str]] = (
    *(_bad_spec, _bad_spec, _bad_spec, _bad_match, _bad_key, _bad_header),
    lambda draw: f'[[rule]]\nmatch = "*"\nacts = {draw(bad_acts())}\n',
    lambda draw: _good_rule(draw) + draw(st.sampled_from(_EXTRA)) + "\n",
    lambda draw: str(draw(st.sampled_from(TABLES))).replace("[", "[formats.", 1),
    lambda draw: draw(
        st.sampled_from(("", "[[rule]]", "rule = [1]", "rule = {}", "rule = [[]]", "[[rule]]\nskip = 3"))
    ),
)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """A policy of one to three rules, of which at least one is wrong, or with something wrong beside them."""
    rules = [_good_rule(draw) for _ in range(draw(st.integers(0, 2)))]
    rules.insert(draw(st.integers(0, len(rules))), draw(st.sampled_from(_FAULTS))(draw))
    return "\n".join(rules)


def _good_rule(draw: st.DrawFn) -> str:
    glob, key = draw(st.sampled_from(("*", "conv_in", "mid*", "[a]?"))), draw(st.sampled_from(("weights", "acts")))
    return f'[[rule]]\nmatch = "{glob}"\n{key} = {draw(st.sampled_from(_SPECS))}\n'
