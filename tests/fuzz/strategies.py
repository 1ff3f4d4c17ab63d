"""What the fuzz tests share: names, numbers and values that are wrong in many ways."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

VALID = (
    *("e4m3", "e5m2", "e2m1", "e3m4-ieee", "e4m3-fnuz", "chen-e2m1", "binary8p4se", "binary16", "bfloat16", "e8m0"),
    *("int8", "int8-full", "uint4", "nf4", "mxfp4", "mxfp8-e4m3", "nvfp4", "mxint8", "mxfp4-even", "tf32"),
)
#: Characters that end a line, hide, turn the text around, escape, or mean something to a format string or a path.
NASTY = (
    *("\0", "\n", "\r", "\v", "\f", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u200b", "\u202e", "\ufeff", "\u2212"),
    *("\ud800", "\udfff", "ε", "４", "٣", "²", "é", "e\u0301", "🦆", "%s", "%", "{}", "{0}", "{", "#", "/", "\\", "'"),
    *('"', "$", "*", "[", "]", "..", "~", ",", ":", ";", "-", "--", "=", " ", "\t", "|", "&", "<", "`", "(", "!"),
)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=24)
_LETTERS = "abcefhimnuxz0123456789-_."


def _edited(draw: st.DrawFn, name: str) -> str:
    kind = draw(st.sampled_from(("insert", "insert", "replace", "delete", "double", "repeat", "swap", "append")))
    at = draw(st.integers(0, max(len(name) - 1, 0)))
    piece = draw(st.one_of(st.sampled_from(NASTY), st.sampled_from(_LETTERS)))
    if kind == "insert":
        return name[:at] + piece + name[at:]
    if kind == "replace":
        return name[:at] + piece + name[at + 1 :]
    if kind == "delete":
        return name[:at] + name[at + 2 :]
    if kind == "double":
        return name[: at + 1] + name[at:]
    if kind == "repeat":
        return name * draw(st.integers(2, 5))
    if kind == "swap":
        return name[at:] + name[:at]
    return name + draw(st.sampled_from(("-ieeee", "-even", "-full", "-fn", "-max", "-2", "m3", "_", "#", ".toml#x")))


@st.composite
def edited_names(draw: st.DrawFn) -> str:
    """A valid name after one to three edits."""
    name = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        name = _edited(draw, name)
    return name


_NUMBERS = st.one_of(
    st.integers(-3, 40).map(str),
    st.integers(10, 10**6).map(str),
    st.integers(10**19, 10**25).map(str),
    st.sampled_from(("", "-1", "00", "+4", "0x4", "4.0", "1e3", "٤", "４", "²", "9" * 5000)),
)


_FAMILIES = (
    *("e{}m{}", "E{}M{}", "e{}m{}-ieee", "e{}m{}-fnuz", "chen-e{}m{}", "chen-e{}m{}-fn", "s{}e{}m3", "mxfp{}-e{}m3"),
    *("int{}-{}", "uint{}{}", "int{}-full", "uint{}-full", "binary{}p{}", "binary{}p{}se", "binary{}p{}uf"),
)


@st.composite
def built_names(draw: st.DrawFn) -> str:
    """A name of a family with numbers that it may not have."""
    a, b = draw(_NUMBERS), draw(_NUMBERS)
    pattern = draw(st.sampled_from(_FAMILIES))
    return pattern.format(a, b)


@st.composite
def long_names(draw: st.DrawFn) -> str:
    """A name of up to a hundred thousand characters."""
    piece = draw(st.sampled_from((*VALID, "-even", "mxfp4-even", "#", "/", "a", "{}", "e4m3,", "🦆", "é", "9", "\n")))
    return draw(st.sampled_from(("", "mxfp4", "e4m3", "int"))) + piece * draw(st.sampled_from((30, 300, 300, 3000)))


PATH_NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(("", ".", "nowhere.toml", "/", "\0", "a\nb.toml", "\ud800.toml", "x" * 5000, "🦆.toml", "~", "..")),
    st.sampled_from(("#", "##", "#\n#")),
    st.sampled_from(("", "e4m3", "#", "a#b", "\0", "e4m3#")),
)
NAMES = st.one_of(edited_names(), edited_names(), edited_names(), built_names(), ANY_TEXT, PATH_NAMES, long_names())

#: What click or Python might read as a number, or not quite.
NO_FLOATS = st.one_of(
    st.sampled_from(("", " ", "nan", "-nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "1e", "0x", "0x1.8p3", "--"))
    | st.sampled_from(
        ("1,5", "1/3", "2^3", "1_", "__1", "three", "1 2", "1\n2", "\0", "\ud800", "٣٫٥", "½", "∞", "1.2.3")
    )
    | st.sampled_from(("5000", "-4097", "1e300", "-1e18", "4096.5", "9" * 400, "-", "+", ".", "e5", "True", "None")),
    ANY_TEXT,
    st.floats(4097, allow_nan=False).map(str),
    st.floats(max_value=-4097, allow_nan=False).map(str),
)
NO_INTS = st.one_of(
    st.sampled_from(("", "x", "1.5", "1e3", "0x10", "nan", "inf", "-", "1 2", "\0", "½", "²", "٣x", "--", "9" * 5000)),
    st.text(st.sampled_from("abcxyz.,;_é%{}"), min_size=1, max_size=8),
)


def one_of_words(*words: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """One of these pieces of a command line."""
    return st.sampled_from([tuple(piece) for piece in words])


@st.composite
def damaged_bytes(draw: st.DrawFn, original: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with a piece cut out, overwritten, repeated, or the end missing."""
    data = bytearray(draw(original))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(("cut", "overwrite", "insert", "end", "repeat", "flip")))
        if kind == "cut":
            del data[at : at + draw(st.integers(1, 20))]
        elif kind == "end":
            del data[at:]
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
        elif kind == "flip":
            data[at : at + 1] = bytes(byte ^ (1 << draw(st.integers(0, 7))) for byte in data[at : at + 1])
        else:
            piece = draw(st.sampled_from((b"\xff", b"\0", b"\xc3\x28", b"\xed\xa0\x80", b'"', b"[", b"}", b"\r")))
            data[at : at + (kind == "overwrite")] = piece
    return bytes(data)


def nested(depth: int, opening: str, closing: str, core: str = "") -> str:
    """Brackets in brackets."""
    return opening * depth + core + closing * depth
