"""Devices by name, and the user's own devices files: what they may say, and one line about what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim.cost.device_file import find, known
from fpsim.errors import FpsimError

MINE = """# my chip
[mine]
architecture = "other"
processors = 8
memory_gb = 4
bandwidth_gb_s = 100
tdp_w = 25
[mine.peaks]
fp16 = 10
fp8 = { dense = 20, sparse = 40, source = "simulation", confidence = "derived" }
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("h100", "h100-sxm"),
        ("H100-SXM", "h100-sxm"),
        ("h100 sxm", "h100-sxm"),
        ("v100", "v100-sxm2"),
        ("a100", "a100-sxm-80"),
        ("a100-40", "a100-sxm-40"),
        ("orin", "orin-agx"),
        ("orin@30w", "orin-agx@30w"),
        ("orin-agx@maxn", "orin-agx"),
        ("orin@maxn", "orin-agx"),
        ("Orin-AGX@30W", "orin-agx@30w"),
        ("rtx5090", "rtx-5090"),
        ("4090", "rtx-4090"),
        ("xeon", "xeon-5115"),
    ],
)
def test_aliases(name: str, device: str) -> None:
    assert find(name).name == device


def test_an_unknown_device_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(FpsimError, match=r"unknown device 'h10'.*Did you mean 'h100'") as caught:
        find("h10")
    assert all(name in str(caught.value) for name in known())
    assert "--devices" in str(caught.value)


@pytest.mark.parametrize("name", ["", "@", "orin@", "orin@60w", "@30w", "h100\nx", "fp8"])
def test_no_device_has_these_names(name: str) -> None:
    with pytest.raises(FpsimError, match="unknown device") as caught:
        find(name)
    assert "\n" not in str(caught.value)


def test_a_table_is_a_device(tmp_path: Path) -> None:
    file = write(tmp_path, MINE)
    device = find("mine", [file])
    assert (device.label, device.kind, device.architecture, device.processors) == ("mine", "gpu", "other", 8)
    assert (device.memory.value, device.memory.source, device.memory.confidence) == (4e9, file, "unverified")
    peak = device.peaks["fp8"]
    assert peak.sparse is not None
    assert (peak.dense.value, peak.sparse.value, peak.dense.confidence) == (2e13, 4e13, "derived")
    assert device.l2 is None
    assert device.clock is None
    assert known([file])[0] == "mine"


def test_a_table_inherits_and_changes(tmp_path: Path) -> None:
    text = '[big]\ninherit = "h100-sxm"\nmemory_gb = 160\nsource = "what if"\n[big.peaks]\nfp4 = 3957.8\nint8 = false\n'
    device, base = find("big", [write(tmp_path, text)]), find("h100-sxm")
    assert (device.memory.value, device.memory.source) == (160e9, "what if")
    assert device.bandwidth == base.bandwidth
    assert "int8" not in device.peaks
    assert device.clock is None  # the base's clock is that of the base's rates
    assert find("h200").clock == base.clock
    assert device.peaks["fp8"] == base.peaks["fp8"]
    assert device.peaks["fp4"].dense.value == 3957.8e12
    assert list(device.peaks) == ["fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp4"]


def test_tables_may_inherit_from_later_ones_and_shadow_built_in_ones(tmp_path: Path) -> None:
    text = '[h200]\ninherit = "h200"\nmemory_gb = 200\n[x]\ninherit = "y"\n[y]\ninherit = "h200"\ntdp_w = 1\n'
    file = write(tmp_path, text)
    assert find("h200", [file]).memory.value == 200e9
    assert (find("x", [file]).memory.value, find("x", [file]).tdp.value) == (200e9, 1)
    assert find("h200").memory.value == 141e9
    assert known([file]).count("h200") == 1


def test_later_files_come_first(tmp_path: Path) -> None:
    files = [write(tmp_path, MINE, "a.toml"), write(tmp_path, MINE.replace("= 4\n", "= 5\n"), "b.toml")]
    assert find("mine", files).memory.value == 5e9


BAD = {
    "syntax": ("[mine\n", ["not valid TOML", "line 1"]),
    "twice": (MINE + "[mine]\n", ["not valid TOML"]),
    "empty": ("# nothing\n", ["0 tables"]),
    "outside a table": ("tdp_w = 3\n" + MINE, [":1: [tdp_w]", "no table"]),
    "array of tables": ("[[mine]]\ntdp_w = 3\n", [":1: [mine]", "no table"]),
    "unknown key": (MINE.replace("tdp_w", "tdp"), [":7: [mine]", "'tdp'", "did you mean 'tdp_w'?"]),
    "unknown key, none near": (MINE.replace("tdp_w", "colour"), [":7: [mine]", "'colour'", "there are"]),
    "unknown type": (MINE.replace("fp16 =", "fp16_tc ="), [":9: [mine]", "'peaks.fp16_tc'", "'fp16'"]),
    "unknown key of a rate": (MINE.replace("sparse", "spars"), [":10: [mine]", "'peaks.fp8.spars'", "'sparse'"]),
    "missing key": (MINE.replace("tdp_w = 25\n", ""), [":2: [mine]", "'tdp_w': is missing", "inherit"]),
    "missing peaks": (MINE.partition("[mine.peaks]")[0], [":2: [mine]", "'peaks': is missing"]),
    "no full precision": (MINE.replace("fp16 =", "int8 ="), [":8: [mine]", "'peaks'", "fp32, fp16, bf16"]),
    "no dense rate": (MINE.replace("dense = 20, ", ""), [":10: [mine]", "'peaks.fp8.dense'", "missing", "sparse"]),
    "swapped": (MINE.replace("sparse = 40", "sparse = 4"), [":10: [mine]", "'peaks.fp8.sparse'", "swapped"]),
    "text for a number": (MINE.replace("= 4\n", '= "4 GB"\n'), [":5: [mine]", "'memory_gb'", "'4 GB'", "number"]),
    "truth for a number": (MINE.replace("= 4\n", "= true\n"), [":5: [mine]", "'memory_gb'", "True", "number"]),
    "bytes for gigabytes": (MINE.replace("= 4\n", "= 4e9\n"), [":5: [mine]", "'memory_gb'", "check the unit"]),
    "flops for teraflops": (MINE.replace("= 10\n", "= 1e13\n"), [":9: [mine]", "'peaks.fp16'", "check the unit"]),
    "zero": (MINE.replace("= 100\n", "= 0\n"), [":6: [mine]", "'bandwidth_gb_s'", "0 is not in the range"]),
    "negative": (MINE.replace("= 25\n", "= -25\n"), [":7: [mine]", "'tdp_w'", "-25 is not in the range"]),
    "infinite": (MINE.replace("= 25\n", "= inf\n"), [":7: [mine]", "'tdp_w'", "inf is not in the range"]),
    "nan": (MINE.replace("= 25\n", "= nan\n"), [":7: [mine]", "'tdp_w'", "nan is not a number"]),
    "huge": (MINE.replace("= 25\n", f"= 1{'0' * 400}\n"), [":7: [mine]", "'tdp_w'", "...", "not in the range"]),
    "half a processor": (MINE.replace("= 8\n", "= 8.5\n"), [":4: [mine]", "'processors'", "whole number"]),
    "architecture": (MINE.replace('"other"', '"hoper"'), [":3: [mine]", "'architecture'", "'hoper'", "hopper"]),
    "kind": (MINE.replace("[mine.peaks]", 'kind = "npu"\n[mine.peaks]'), [":8: [mine]", "'kind'", "gpu, cpu"]),
    "confidence": (MINE.replace('"derived"', '"sure"'), [":10: [mine]", "'peaks.fp8.confidence'", "vendor"]),
    "source": (MINE.replace('"simulation"', '""'), [":10: [mine]", "'peaks.fp8.source'", "text"]),
    "source of lines": (MINE.replace("tdp_w = 25", 'tdp_w = {value=1, source="a\\nb"}'), [":7", "'tdp_w.source'"]),
    "figure without value": (MINE.replace("= 25\n", "= {}\n"), [":7: [mine]", "'tdp_w.value'", "missing"]),
    "table's confidence": (MINE.replace("processors", "confidence = 3\nprocessors"), [":4: [mine]", "'confidence'"]),
    "peaks a number": (MINE.partition("[mine.peaks]")[0] + "peaks = 3\n", [":8: [mine]", "'peaks'", "not a table"]),
    "notes a text": (MINE.replace("[mine.peaks]", 'notes = "a"\n[mine.peaks]'), [":8: [mine]", "'notes'", "list"]),
    "aliases numbers": (MINE.replace("[mine.peaks]", "aliases = [1]\n[mine.peaks]"), [":8: [mine]", "'aliases'"]),
    "alias of two": (
        MINE.replace("[mine.peaks]", 'aliases = ["y"]\n[mine.peaks]') + '[Y]\ninherit = "h100"\n',
        [":8: [mine]", "'aliases'", "'y' is a name of 'Y' already"],
    ),
    "alias with a comma": (MINE.replace("[mine.peaks]", 'aliases = ["a,b"]\n[mine.peaks]'), ["'aliases'", "'a,b'"]),
    "name with a comma": ('["a,b"]\ninherit = "h100"\n', [":1: [a,b]", "letters, digits"]),
    "name of lines": ('["a\\nb"]\ninherit = "h100"\n', ["letters, digits", "'a\\nb'"]),
    "inherit unknown": ('[a]\ninherit = "h10"\n', [":2: [a]", "'inherit'", "'h10'", "did you mean 'h100'?"]),
    "inherit a number": ("[a]\ninherit = 3\n", [":2: [a]", "'inherit'", "3 is not the name"]),
    "inherit itself": ('[a]\ninherit = "a"\n', [":2: [a]", "a from a is a circle"]),
    "inherit in a circle": ('[a]\ninherit = "b"\n[b]\ninherit = "a"\n', ["a from b from a is a circle"]),
    "inherit in a circle of built-in names": (
        '[h200]\ninherit = "x"\n[x]\ninherit = "h200"\n',
        ["h200 from x from h200 is a circle"],
    ),
    "inherit something wrong": ('[a]\ninherit = "b"\n[b]\ntdp_w = 1\n', [":2: [a]", "'b' is wrong", "architecture"]),
    "heirs without end": (
        "".join(f'[a{i}]\ninherit = "a{i + 1}"\n' for i in range(500)) + '[a500]\ninherit = "h100"\n',
        ["'inherit'", "too long"],
    ),
    "too many": ("".join(f"[a{i}]\n" for i in range(1001)), ["1001 tables"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_table_is_one_line(case: str, tmp_path: Path) -> None:
    text, parts = BAD[case]
    file = write(tmp_path, text)
    with pytest.raises(FpsimError) as caught:
        find("mine", [file])
    message = str(caught.value)
    assert message.startswith(file)
    assert "\n" not in message
    assert len(message) < 1500
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FpsimError, match=r"devices file .* cannot be read"):
        known([str(path)])


KEYS = st.sampled_from(
    ["inherit", "memory_gb", "tdp_w", "peaks", "aliases", "notes", "architecture", "clock_mhz", "processors", "source"]
)
VALUES = st.sampled_from(
    ['"h100"', '"x"', "3", "-1", "nan", "true", "[]", '["a"]', "{ fp16 = 3 }", "{}", "1e999", '""']
)


@settings(deadline=None, max_examples=150)
@given(lines=st.lists(st.tuples(KEYS, VALUES), max_size=6, unique_by=lambda line: line[0]))
def test_any_table_is_a_device_or_one_error(
    lines: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "[x]\n" + "".join(f"{key} = {value}\n" for key, value in lines)
    file = write(tmp_path_factory.getbasetemp(), text, "any.toml")
    error = ""
    try:
        device = find("x", [file])
    except FpsimError as caught:
        error = str(caught)
    if error:
        assert re.fullmatch(rf"{re.escape(file)}(:\d+)?: \[x\]: .+", error)  # the dot takes no line end
    else:
        assert device.peaks
        assert device.memory.value > 0
