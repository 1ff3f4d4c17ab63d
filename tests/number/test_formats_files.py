"""Malformed formats files: each error names the file, the table and the key, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

import fpsim
from fpsim.errors import FpsimError
from fpsim.number.catalogue import from_file

FLOAT = "[a]\nexponent_bits = 4\nmantissa_bits = 3\nbias = 7\n"
BLOCK = '[a]\nkind = "block"\nelement = "e2m1"\nblock = 32\nscale = "e8m0"\nrule = "floor"\n'
HUGE = "1" + "0" * 400

CASES = {
    "syntax": ("[a\nexponent_bits = 4", ["not valid TOML", "line 1"]),
    "twice": (FLOAT + "[a]\n", ["not valid TOML", "twice"]),
    "outside": ("bias = 7\n" + FLOAT, ["key 'bias'", "outside a table"]),
    "array of tables": ("[[a]]\nbias = 7\n", ["key 'a'", "outside a table"]),
    "kind": ('[a]\nkind = "flot"\n', ["[a]", "'kind'", "'flot'", "float, int, codebook, block"]),
    "kind of another type": ('[a]\nkind = ["float"]\n', ["[a]", "'kind'"]),
    "unknown key": (FLOAT + "biass = 7\n", ["[a]", "'biass'", "did you mean 'bias'?"]),
    "unknown key, none near": (FLOAT + "colour = 7\n", ["[a]", "'colour'", "a float format has"]),
    "missing key": ("[a]\nexponent_bits = 4\nbias = 7\n", ["[a]", "'mantissa_bits' is missing"]),
    "missing element": (BLOCK.replace('element = "e2m1"\n', ""), ["[a]", "'element' is missing"]),
    "missing values": ('[a]\nkind = "codebook"\n', ["[a]", "'values' is missing"]),
    "type": (FLOAT.replace("= 4", '= "4"'), ["[a]", "'exponent_bits'", "type int"]),
    "truth for a number": (FLOAT.replace("= 4", "= true"), ["[a]", "'exponent_bits'", "type int"]),
    "number for a truth": (FLOAT + "signed = 1\n", ["[a]", "'signed'", "type bool"]),
    "range": (FLOAT.replace("= 4", "= 12"), ["[a]", "exponent_bits is 12", "1 to 11"]),
    "specials": (FLOAT + 'specials = "ocp"\n', ["[a]", "'specials'", "'ocp'", "ieee, fn, fnuz, none"]),
    "bias": (FLOAT.replace("= 7", "= nan"), ["[a]", "bias nan"]),
    "huge bias": (FLOAT.replace("= 7", f"= {HUGE}"), ["[a]", "'bias'", "beyond float64"]),
    "contradiction": (FLOAT + "zero = false\n", ["[a]", "zero"]),
    "aliases": (FLOAT + "aliases = [1]\n", ["[a]", "'aliases'", "strings"]),
    "check contradicts": (FLOAT + "check = { max = 448 }\n", ["[a]", "check max = 448", "give 480"]),
    "check of a name": (FLOAT + 'check = { name = "a" }\n', ["[a]", "check 'name'"]),
    "check of a method": (FLOAT + "check = { scale = 1 }\n", ["[a]", "check 'scale'"]),
    "check of nothing": (FLOAT + "check = { maximum = 1 }\n", ["[a]", "check 'maximum'"]),
    "check is no number": (FLOAT + 'check = { max = "2^x" }\n', ["[a]", "'2^x' is not a number"]),
    "values are texts": ('[a]\nkind = "codebook"\nvalues = [0, "1"]\n', ["[a]", "'values'", "numbers"]),
    "values are truths": ('[a]\nkind = "codebook"\nvalues = [false, true]\n', ["[a]", "'values'", "numbers"]),
    "values descend": ('[a]\nkind = "codebook"\nvalues = [1, 0]\n', ["[a]", "values must ascend"]),
    "values are huge": (f'[a]\nkind = "codebook"\nvalues = [0, {HUGE}]\n', ["[a]", "'values'", "beyond float64"]),
    "element unknown": (BLOCK.replace("e2m1", "e2mm1"), ["[a]", "'element'", "Did you mean 'e2m1'?"]),
    "element is a block": (BLOCK.replace("e2m1", "mxfp4"), ["[a]", "'element'", "single elements"]),
    "scale is an integer": (BLOCK.replace("e8m0", "int8"), ["[a]", "'scale'", "floating-point"]),
    "scale has a real bias": (
        "[s]\nexponent_bits = 4\nmantissa_bits = 0\nbias = 0.5\n" + BLOCK.replace("e8m0", "s"),
        ["[a]", "scale", "0.5"],
    ),
    "rule": (BLOCK.replace("floor", "flor"), ["[a]", "'rule'", "'flor'", "floor, ceil, even, rceil, max"]),
    "rule does not fit": (BLOCK.replace("floor", "max"), ["[a]", "'max' does not fit"]),
    "block": (BLOCK.replace("32", "1"), ["[a]", "block 1"]),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed(case: str, tmp_path: Path) -> None:
    text, words = CASES[case]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(FpsimError) as caught:
        from_file(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_well_formed_originals_are_read(tmp_path: Path) -> None:
    """So that each case above fails for its own reason."""
    path = tmp_path / "mine.toml"
    path.write_text(FLOAT + "check = { bits = 8, max = 480 }\n" + BLOCK.replace("[a]", "[b]"))
    entries = from_file(str(path))
    assert entries["a"].format == fpsim.format("e4m3-none")
    assert entries["b"].format == fpsim.format("mxfp4")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match="cannot be read: No such file"):
        from_file(str(tmp_path / "none.toml"))
    with pytest.raises(FpsimError, match="cannot be read: Is a directory"):
        from_file(str(tmp_path))
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(FpsimError, match="not UTF-8"):
        from_file(str(tmp_path / "latin.toml"))
