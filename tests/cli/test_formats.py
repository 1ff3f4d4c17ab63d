"""``fpsim formats``: the whole catalogue, and one format in full."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import fpsim
from fpsim.cli.main import run
from fpsim.number.catalogue import builtin


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["formats", *words]) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(printed(capsys, *words, "--json"))
    return result


def test_the_list_is_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys)["formats"]
    assert [entry["name"] for entry in found] == list(builtin())
    for entry in found:
        known = builtin()[entry["name"]]
        assert entry["bits"] == known.format.bits
        assert entry["source"] == known.format.source
        assert tuple(entry["aliases"]) == known.aliases
        if "max" in entry:
            assert Fraction(entry["max"]) == known.format.max  # type: ignore[union-attr]


def test_csv_has_a_line_a_format_with_the_exact_maximum(capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(printed(capsys, "--csv"))))
    assert [line["name"] for line in lines] == list(builtin())
    maxima = {line["name"]: line["max"] for line in lines}
    assert Fraction(maxima["bfloat16"]) == builtin()["bfloat16"].format.max  # type: ignore[union-attr]
    assert maxima["chen-e1m2"] == "7/4"


def test_the_list_names_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    for word in ("eXmY", "chen-eXmY", "intN", "intN-full", "uintN", "mxfp4-even", "FILE#NAME", "--formats-file"):
        assert word in text


def test_e4m3_says_what_it_is_and_what_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "e4m3")
    assert "# e4m3: max 448, no Inf, one NaN a sign, bias 7 (specials fn)" in text
    for line in ("e4m3-ieee    max 240", "e4m3-fnuz    max 240", "chen-e4m3    max 240", "e4m3-none    max 480"):
        assert line in text
    assert "binary8p4se  max 224, Inf at the top, one NaN in the code of -0" in text
    assert "float8_e4m3fn" in text


def test_one_format_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "fp8")
    assert found["asked"] == "fp8"
    assert found["name"] == "e4m3"
    assert found["nan_codes"] == "0x7f 0xff"
    assert found["inf_codes"] is None
    assert {other["name"]: other["max"] for other in found["same_fields"]} == {
        "e4m3-ieee": "240",
        "e4m3-fnuz": "240",
        "binary8p4se": "224",
        "chen-e4m3": "240",
        "e4m3-none": "480",
    }


@pytest.mark.parametrize("name", builtin())
@pytest.mark.parametrize("option", ["", "--json", "--csv", "--markdown"])
def test_every_format_is_described(name: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, name, *option.split())
    source = builtin()[name].format.source
    assert (json.dumps(source)[1:-1] if option == "--json" else source) in text
    assert not any(other == name for other in _namesakes(text))


def _namesakes(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("#   ")]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("mxfp4", {"element": "e2m1", "block": 32, "scale": "e8m0", "rule": "floor", "bits": 4.25}),
        ("mxfp8-even", {"element": "e4m3", "rule": "even", "bits": 8.25}),
        ("nvfp4", {"element": "e2m1", "block": 16, "scale": "e4m3", "rule": "max", "tensor_scale": True, "bits": 4.5}),
        ("int6", {"min": "-31", "max": "31", "levels": 63}),
        ("uint8", {"min": "0", "max": "255", "levels": 256}),
        ("int8-q6", {"min": "-127/64", "max": "127/64", "step": "1/64"}),
        ("nf4", {"levels": 16, "min": -1.0, "max": 1.0}),
        ("e3m4", {"bias": 3, "specials": "none", "max": "31", "emin": -2, "emax": 4, "precision": 5}),
        ("e8m0", {"signed": False, "zero": False, "min_normal": str(Fraction(2) ** -127), "min_subnormal": None}),
    ],
)
def test_facts(name: str, facts: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, name)
    assert {key: found[key] for key in facts} == facts


def test_a_changed_format_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "e4m3", "--bias", "6.37", "--specials", "ieee", "--no-subnormals")
    assert found["resolved"] == "e4m3 bias=6.37 specials=ieee subnormals=false"
    assert found["grid_bias"] == 6
    fmt = fpsim.format("e4m3", bias=6.37, specials="ieee")
    assert Fraction(found["max"]) == Fraction(fmt.scale()) * fmt.max  # type: ignore[union-attr]
    assert "e4m3" in {other["name"] for other in found["same_fields"]}


@pytest.mark.parametrize("bias", ["4000", "-4000", "4000.5", "-4000.5"])
def test_values_beyond_float64_are_described_exactly(bias: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2^" in printed(capsys, "e4m3", "--bias", bias)


def test_formats_of_the_users_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[e4m3]\nexponent_bits = 4\nmantissa_bits = 3\nbias = 4000\naliases = ["mine"]\nsource = "a | b"\n')
    names = [entry["name"] for entry in document(capsys, "--formats-file", str(path))["formats"]]
    assert names == ["e4m3", *(name for name in builtin() if name != "e4m3")]
    assert "2^-" in printed(capsys, "--formats-file", str(path)).splitlines()[8]
    for words in (["mine", "--formats-file", str(path)], [f"{path}#e4m3"]):
        found = document(capsys, *words)
        assert (found["bias"], found["aliases"]) == (4000, ["mine"])
    assert "a \\| b" in printed(capsys, "e4m3", "--formats-file", str(path), "--markdown")
