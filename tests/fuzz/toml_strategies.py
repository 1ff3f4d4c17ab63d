"""TOML documents that are nearly files of formats, or nearly policies."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from strategies import nested

from fpsim.number.catalogue import folder

#: Values that hardly any key takes: too large, of another type, not finite, or no TOML at all.
JUNK = (
    *"nan inf -inf 1e999 -1 -0.0 99 99999999999999999999 1e-400 -4097.5 [] [[]] {} [nan] [2,1] [true] [1,1]".split(),
    *"1979-05-27 1979-13-99 07:32:00 1979-05-27T07:32:00Z tru True None 0o9 + 1__0 🦆 [1,2 { {a=1} 'x'".split(),
    *("9" * 400, "9" * 5000, "0x" + "f" * 100, "0x" + "f" * 20_000, "", "= 3", '"open', "1 2", "# x", "[1, 'a']"),
    *("''", "'''", '"\\u0000"', '"\\n\\r\\u2028"', '"nosuch"', "'%s{}'", '"\\ud800"', '["", ""]', "{ x = { y = [] } }"),
    *(nested(depth, "[", "]") for depth in (60, 99, 101, 300, 1000)),
    *(nested(2000, "{ a = ", "}", "1"), "[" + "0," * 700 + "]", "'" + "x" * 5000 + "'"),
)
HEADERS = (
    *("[{}", "[[{}]]", "[{}.deeper]", "{}]", "", "[]", "[{}]\n[{}]", "['{}\n']", "[{}] = 1", "[{}]]", "{} = 3\n[{}]"),
)
_REQUIRED = {
    "float": ("exponent_bits", "mantissa_bits", "bias"),
    "int": ("bits",),
    "codebook": ("values",),
    "block": ("element", "block", "scale", "rule"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as text: its header, and keys with their values."""

    name: str
    header: str
    lines: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join([self.header, *(f"{key} = {value}" for key, value in self.lines)]) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_written(item)}" for key, item in value.items()) + " }"
    return repr(value)


def catalogue() -> list[Table]:
    """Return the tables of the built-in catalogue."""
    found: list[Table] = []
    for path in sorted(Path(folder()).glob("*.toml")):
        if path.stem == "presets":
            continue
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            lines = tuple((key, _written(value)) for key, value in table.items() if key not in ("source", "aliases"))
            found.append(Table(name=name, header=f"[{name}]", lines=lines))
    return found


TABLES = catalogue()


def _kind(table: Table) -> str:
    kind = dict(table.lines).get("kind", "").strip('"')
    return kind if kind in _REQUIRED else "float"


def _set(table: Table, key: str, value: str) -> Table:
    return replace(table, lines=(*(line for line in table.lines if line[0] != key), (key, value)))


def _drop(draw: st.DrawFn, table: Table) -> Table:
    key = draw(st.sampled_from(_REQUIRED[_kind(table)]))
    return replace(table, lines=tuple(line for line in table.lines if line[0] != key))


def _junk(draw: st.DrawFn, table: Table) -> Table:
    key = draw(st.sampled_from([key for key, _ in table.lines] + ["specials", "aliases", "signed", "source", "kind"]))
    return _set(table, key, draw(st.sampled_from(JUNK)))


def _twice(draw: st.DrawFn, table: Table) -> Table:
    return replace(table, lines=(*table.lines, draw(st.sampled_from(table.lines))))


def _rename(draw: st.DrawFn, table: Table) -> Table:
    at = draw(st.integers(0, len(table.lines) - 1))
    key, value = table.lines[at]
    new = draw(
        st.sampled_from((key + "s", key[:-1], key.upper(), "a b", "", "'\\'", f'"{key}\\n"', "é", f"{key}.x", "="))
    )
    return replace(table, lines=(*table.lines[:at], (new, value), *table.lines[at + 1 :]))


def _header(draw: st.DrawFn, table: Table) -> Table:
    return replace(table, header=draw(st.sampled_from(HEADERS)).replace("{}", table.name))


def _itself(draw: st.DrawFn, table: Table) -> Table:
    """A block format of itself, or of one that comes later and refers back."""
    part, other = draw(st.sampled_from(("element", "scale"))), draw(st.sampled_from((table.name, "later", "x.toml#y")))
    block = Table(name=table.name, header=table.header, lines=_BLOCK)
    back = f'[later]\nkind = "block"\nelement = "{table.name}"\nblock = 32\nscale = "e8m0"\nrule = "floor"\n'
    changed = _set(block, part, f'"{other}"')
    return replace(changed, lines=(*changed.lines, ("\n" + back + "#", ""))) if other == "later" else changed


_BLOCK = (("kind", '"block"'), ("element", '"e2m1"'), ("block", "32"), ("scale", '"e8m0"'), ("rule", '"floor"'))


def _check(draw: st.DrawFn, table: Table) -> Table:
    numbers = ('"1e99999999"', '"2^999999"', '"1/0"', '"nan"', "[]", "{}", "0x" + "f" * 5000, "true", '"3/"', '"9^9^9"')
    names = ("max", "bits", "nosuch", "__class__", "scale", "grid", "__doc__", "min_normal", "name", "sign_bit")
    key, number = draw(st.sampled_from(names)), draw(st.sampled_from(numbers))
    return _set(table, "check", f"{{ {key} = {number} }}")


CHANGES: Sequence[Callable[[st.DrawFn, Table], Table]] = (
    _drop,
    _junk,
    _junk,
    _junk,
    _junk,
    _twice,
    _rename,
    _header,
    _itself,
    _check,
)


@st.composite
def formats_files(draw: st.DrawFn) -> tuple[str, str]:
    """A formats file with one to three faults, and the name of its first table."""
    table = draw(st.sampled_from(TABLES))
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        if not table.lines:
            break
        table = change(draw, table)
    before = str(draw(st.sampled_from(TABLES))) if draw(st.booleans()) else ""
    return (before if f"[{table.name}]" not in before else "") + str(table), table.name
