"""Activations of a policy with timestep bins, right ones and ones in which something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import strategies as st
from strategies import nested
from toml_strategies import JUNK

#: Keys of a specification: symmetric, with a zero point, a codebook, blocks, with a bias; with another rule.
SPECS = (
    *('format = "int8"', 'format = "uint4"', 'format = "e2m1", scale = "max"', 'format = "nf4"', 'format = "mxfp8"'),
    *('format = "e3m4", bias = 6.37', 'format = "e2m1", granularity = "block:16"', 'format = "int4-full"'),
    *("format = [-1, 0, 2]", 'format = "e4m3", scale = "none"', 'format = "uint8", scale = "percentile:99.9"'),
)
#: Specifications that no input takes, in bins or not.
_BAD_SPECS = (
    *(
        'format = "int8", granularity = "channel"',
        'format = "e2m1", biases = [1.5, -2]',
        'format = "e4m33"',
        "",
        "x = 1",
    ),
    *('format = "none"', 'format = "int8", format = "int8"', 'format = "int8", timestep_bins = 2', "bins = []"),
    *('format = "int8", scale = "nope"', 'format = "int8", scale = 3', 'format = "int8", granularity = "block:0"'),
    *('format = "int8", bias = nan', 'format = "mxfp8", scale = "e8m0"', 'format = "int8", step = 3', "format = []"),
)
#: What no fixed scale is, and what is one of none of these formats.
_BAD_VALUES = (
    *"0 0.0 -0.0 -1 1e39 3.5e38 1e-45 1e-38 nan inf -inf 1e300 1e999 true false [] {} [0.5] '1' 'x'".split(),
    *("9" * 39, "9" * 400, "9" * 5000, "-" + "9" * 50, "1979-05-27", '"a\\nb"', "07:32:00", nested(60, "[", "]")),
)
_FITS_NO_VALUE = ('format = "mxfp8"', 'format = "uint4"', 'format = "e2m1", granularity = "block:8"', SPECS[9])
_TOO_LARGE = ('format = "e4m3", bias = -120', 'format = "int8", bias = 1', 'format = "e5m2", bias = -200.5')
_NO_EDGES = (
    *"nan inf -inf true false [] [[]] {} 1e301 -1e301 1979-05-27 1979-05-27T07:32:00Z".split(),
    *('"250"', "'a'", '"a\\nb"', '"\\u2028"', '""', "9" * 320, "9" * 5000, "0x" + "f" * 20_000, "[1, 2]", "{ a = 1 }"),
    *('"' + "x" * 5000 + '"', nested(90, "[", "]"), nested(101, "[", "]"), nested(80, "{ a = ", " }", "1")),
)
_EDGES = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.sampled_from((0.0, 1e300, -1e300, 5e-324)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """A bin as text: its ends, what is in it, what follows."""

    start: str = ""
    stop: str = ""
    spec: str = SPECS[0]
    more: str = ""

    def __str__(self) -> str:
        keys = (f"from = {self.start}" * bool(self.start), f"to = {self.stop}" * bool(self.stop), self.spec, self.more)
        return "{ " + ", ".join(filter(None, keys)) + " }"


def _rising(draw: st.DrawFn, least: int = 0, most: int = 6) -> list[str]:
    edges = draw(st.lists(_EDGES, min_size=least, max_size=most, unique_by=float))
    return [repr(edge) for edge in sorted(edges)]


def _bins(draw: st.DrawFn, least: int = 1) -> list[Bin]:
    """Bins that meet, each with a specification of its own, ends open or not."""
    edges = _rising(draw, least + 1, max(6, least + 1))
    ends = [*edges]
    if draw(st.booleans()):
        ends[0] = draw(st.sampled_from(("", "-inf")))
    if draw(st.booleans()):
        ends[-1] = draw(st.sampled_from(("", "inf")))
    found = [Bin(start=a, stop=b, spec=draw(st.sampled_from(SPECS))) for a, b in pairwise(ends)]
    if draw(st.booleans()):
        number = draw(st.integers(0, len(found) - 1))
        found[number] = replace(found[number], spec=SPECS[0], more=f"value = {draw(st.floats(1e-30, 1e30))!r}")
    return found


def _table(bins: Sequence[Bin] | Sequence[str], beside: str = "") -> str:
    return "{ " + beside + "bins = [" + ", ".join(map(str, bins)) + "] }"


def _even(edges: str, spec: str = SPECS[0]) -> str:
    return f"{{ {spec}, timestep_bins = {edges} }}"


@st.composite
def good_acts(draw: st.DrawFn) -> str:
    """Activations with bins: a number of them, edges, or a list."""
    kind = draw(st.sampled_from(("count", "edges", "list", "list", "shared")))
    spec = draw(st.sampled_from(SPECS))
    if kind == "count":
        return _even(str(draw(st.integers(1, 1000))), spec)
    if kind == "edges":
        return _even("[" + ", ".join(_rising(draw, 1)) + "]", spec)
    if kind == "shared":
        return _table(['{ to = 3, format = "e2m1" }', '{ from = 3, format = "uint4" }'], 'scale = "max", ')
    return _table(_bins(draw))


def _changed(draw: st.DrawFn, **changes: str) -> str:
    bins = _bins(draw)
    number = draw(st.integers(0, len(bins) - 1))
    bins[number] = replace(bins[number], **changes)
    return _table(bins)


def _bad_edge(draw: st.DrawFn) -> str:
    end = draw(st.sampled_from(("start", "stop")))
    bad = [edge for edge in _NO_EDGES if edge != {"start": "-inf", "stop": "inf"}[end]]
    return _changed(draw, **{end: draw(st.sampled_from(bad))})


def _unsorted(draw: st.DrawFn) -> str:
    """Two neighbours change places."""
    bins = _bins(draw, least=2)
    number = draw(st.integers(0, len(bins) - 2))
    bins[number], bins[number + 1] = bins[number + 1], bins[number]
    return _table(bins)


def _gap_or_overlap(draw: st.DrawFn) -> str:
    """A bin is missing, is there twice, or ends somewhere else than the next one starts."""
    bins = _bins(draw, least=3)
    number = draw(st.integers(1, len(bins) - 2))
    kind = draw(st.sampled_from(("missing", "twice", "moved")))
    if kind == "missing":
        del bins[number]
    elif kind == "twice":
        bins.insert(number, bins[number])
    else:
        stop = float(bins[number].stop)
        moved = draw(_EDGES.filter(lambda edge: float(edge) != stop and float(edge) > float(bins[number].start)))
        bins[number] = replace(bins[number], stop=repr(moved))
    return _table(bins)


def _empty(draw: st.DrawFn) -> str:
    """A bin of no width, or less."""
    at, lower = sorted(map(float, _rising(draw, 2, 2)), reverse=True)
    return _table([Bin(start=repr(at), stop=repr(draw(st.sampled_from((at, lower)))))])


def _edges_that_do_not_rise(draw: st.DrawFn) -> str:
    edges = _rising(draw, 2)
    number = draw(st.integers(0, len(edges) - 2))
    edges[number + 1] = draw(st.sampled_from((edges[number], "-1e301", "-1e300", edges[number])))
    return _even(f"[{', '.join(edges * draw(st.sampled_from((1, 1, 20))))}]")


def _wrong_kind(draw: st.DrawFn) -> str:
    junk = draw(st.sampled_from((*JUNK, *_NO_EDGES, "0", "-1", "1001", "2.0", "8.5", "true", '"8"', "[]", "[true]")))
    key = draw(st.sampled_from(("timestep_bins", "bins")))
    if key == "timestep_bins":
        return _even("[99, 98]" if junk == "99" else junk)
    return f"{{ bins = {junk} }}"


def _too_many(draw: st.DrawFn) -> str:
    number = draw(st.sampled_from((1001, 1002, 3000)))
    bins = [Bin(start=str(i), stop=str(i + 1), spec=SPECS[i % 2]) for i in range(number)]
    return draw(st.sampled_from((_table(bins), _even(str(list(range(number - 1)))), _even(str(number)))))


def _beside(draw: st.DrawFn) -> str:
    """Keys that contradict each other, or that are not for this place."""
    beside = draw(
        st.sampled_from(("timestep_bins = 2, ", "timestep_bins = [3], ", "from = 0, ", "to = 3, ", "x = 1, "))
    )
    return _table(_bins(draw), beside)


FAULTS: Sequence[Callable[[st.DrawFn], str]] = (
    *(_bad_edge, _bad_edge, _unsorted, _gap_or_overlap, _gap_or_overlap, _empty, _edges_that_do_not_rise, _wrong_kind),
    *(_wrong_kind, _too_many, _beside),
    lambda draw: _changed(draw, spec=draw(st.sampled_from(_BAD_SPECS)), more=""),
    lambda draw: _changed(draw, spec=SPECS[0], more=f"value = {draw(st.sampled_from(_BAD_VALUES))}"),
    lambda draw: _changed(draw, spec=draw(st.sampled_from(_FITS_NO_VALUE)), more="value = 0.5"),
    lambda draw: _changed(draw, spec=draw(st.sampled_from(_TOO_LARGE)), more="value = 1e30"),
    lambda draw: _even(str(draw(st.integers(2, 9))), draw(st.sampled_from(_BAD_SPECS))),
    lambda draw: _even(draw(st.sampled_from(_BAD_VALUES + _NO_EDGES)).join(("[1, ", ", 3]"))),
    lambda draw: _table(
        [str(each) for each in _bins(draw)] + [draw(st.sampled_from(("3", "[]", '"a"', "[{}]", "{}")))]
    ),
)


@st.composite
def bad_acts(draw: st.DrawFn) -> str:
    """Activations with bins in which something is wrong."""
    return draw(st.sampled_from(FAULTS))(draw)
