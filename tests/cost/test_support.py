"""What devices do with formats: natively, or stored and decoded, and at whose rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_cases import of

from fpsim.cost.device_file import find, known
from fpsim.number.names import format as named

BLACKWELL = ("b200", "gb200", "b300", "gb300", "thor", "rtx-5090", "rtx-pro-6000")
FP8 = ("l40s", "rtx-6000-ada", "rtx-4090", "h100-sxm", "h100-pcie", "h200", *BLACKWELL)
OLD = ("v100-sxm2", "v100-pcie", "a100-sxm-40", "a100-sxm-80", "a100-pcie-80", "orin-agx", "orin-agx@30w")


@pytest.mark.parametrize("device", FP8)
@pytest.mark.parametrize("pair", [("e4m3", "e4m3"), ("e4m3", "e5m2"), ("e5m2", "e5m2")])
def test_fp8_pairs_are_native_from_ada_on(device: str, pair: tuple[str, str]) -> None:
    found = of(*pair, device)
    assert (found.level, found.compute, found.decode, found.exact) == ("native", "fp8", False, True)
    assert (found.weight_bits, found.act_bits) == (8, 8)


@pytest.mark.parametrize("device", OLD)
@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "mxfp4", "nvfp4", "mxfp8", "e3m2", "chen-e2m1", "chen-e4m3"])
def test_fp8_and_fp4_run_at_fp16s_rate_on_older_devices(device: str, name: str) -> None:
    found, full = of(name, name, device), of(None, None, device)
    assert (found.level, found.compute, found.decode) == ("stored", "fp16", True)
    assert find(device).peaks[found.compute] == find(device).peaks[full.compute]
    assert found.weight_bits == named(name).bits < full.weight_bits
    assert found.faster == ""
    assert "decoded to fp16" in found.note


@pytest.mark.parametrize("device", ["h100-sxm", "h200", "l40s", "rtx-4090"])
@pytest.mark.parametrize("name", ["e2m1", "mxfp4", "nvfp4", "mxfp8", "mxfp6", "e3m2"])
def test_hopper_and_ada_store_fp4_fp6_and_block_scales(device: str, name: str) -> None:
    found = of(name, name, device)
    assert (found.level, found.compute) == ("stored", "fp16")


@pytest.mark.parametrize("device", BLACKWELL)
@pytest.mark.parametrize(
    ("weights", "acts", "compute"),
    [
        ("mxfp4", "mxfp4", "fp4"),
        ("nvfp4", "nvfp4", "fp4"),
        ("e2m1", "e2m1", "fp8"),
        ("e2m1", "e4m3", "fp8"),
        ("e3m2", "e2m3", "fp8"),
        ("e3m2", "e5m2", "fp8"),
        ("chen-e2m1", "e4m3", "fp8"),
        ("mxfp8", "mxfp8", "fp8"),
        ("mxfp6", "mxfp8", "fp8"),
        ("mxfp4", "mxfp8", "fp8"),
        ("mxfp4", "e4m3", "fp8"),
        ("mxfp4", "e2m1", "fp8"),
    ],
)
def test_blackwell_multiplies_narrow_floats(device: str, weights: str, acts: str, compute: str) -> None:
    found = of(weights, acts, device)
    assert (found.level, found.compute, found.decode) == ("native", compute, False)
    assert find(device).peaks[found.compute].dense.value > find(device).peaks["fp16"].dense.value


@pytest.mark.parametrize(
    ("weights", "acts"),
    [
        ("nvfp4", "mxfp4"),
        ("nvfp4", "mxfp8"),
        ("nvfp4", "e4m3"),
        ("mxint8", "mxint8"),
        ("int8", "e4m3"),
        ("e3m4", "e3m4"),
    ],
)
def test_what_blackwell_does_not_multiply(weights: str, acts: str) -> None:
    for device in BLACKWELL:
        found = of(weights, acts, device)
        assert (found.level, found.compute) == ("stored", "fp16")


def test_six_bits_save_memory_and_no_time() -> None:
    six, eight = of("e3m2", "e3m2", "b200"), of("e4m3", "e4m3", "b200")
    assert six.compute == eight.compute
    assert six.weight_bits == 6 < eight.weight_bits


@pytest.mark.parametrize(
    ("name", "bits"), [("mxfp4", 4.25), ("nvfp4", 4.5), ("mxfp8", 8.25), ("mxfp6", 6.25), ("mxint8", 8.25), ("int4", 4)]
)
def test_bits_hold_the_scales_of_blocks(name: str, bits: float) -> None:
    for device in ("b200", "orin-agx"):
        found = of(name, None, device)
        assert (found.weight_bits, found.act_bits) == (bits, 16)


@pytest.mark.parametrize("device", [name for name in known() if "int8" in find(name).peaks])
def test_int8_is_native_where_it_has_a_rate(device: str) -> None:
    for pair in (("int8", "int8"), ("int8-full", "int8"), ("int8", "uint8")):
        found = of(*pair, device)
        assert (found.level, found.compute) == ("native", "int8")


def test_int8_of_b300_runs_at_its_own_slow_rate_and_says_so() -> None:
    for device in ("b300", "gb300", "v100-sxm2"):
        found = of("int8", "int8", device)
        assert found.compute == "int8"
        assert "below its fp16 rate" in found.note
    assert "below" not in of("int8", "int8", "b200").note
    assert of("int4", "int4", "b300").faster == "fp8"  # not its slow int8


@pytest.mark.parametrize("device", [name for name in known() if find(name).kind == "gpu"])
def test_int4_is_native_on_ampere_and_ada_alone(device: str) -> None:
    found = of("int4", "int4", device)
    expected = "int4" if find(device).architecture in ("ampere", "ada") else "fp16"
    assert (found.compute, found.decode) == (expected, expected == "fp16")


def test_the_papers_formats_are_judged_by_their_values() -> None:
    assert of("chen-e1m2", "chen-e1m2", "a100").compute == "int4"  # the same grid up to scale
    assert of("chen-e2m1", "chen-e2m1", "b200").compute == "fp8"
    eight = of("chen-e4m3", "chen-e4m3", "h100")
    assert (eight.level, eight.compute, eight.exact) == ("stored", "fp16", True)
    assert "but for its largest value, chen-e4m3 is e4m3 up to scale" in eight.note
    assert "largest" not in of("chen-e4m3", "chen-e4m3", "a100").note
    assert of("chen-e3m4", "e4m3", "h100").level == "stored"
    assert of("e4m3-ieee", "e4m3", "h100").compute == "fp8"


def test_a_real_bias_is_a_scale() -> None:
    weights, acts = named("e2m1", bias=2.71), named("e4m3", bias=6.37)
    assert of(weights, acts, "b200").compute == "fp8"
    assert of(acts, acts, "h100").compute == "fp8"
    assert of(named("e3m4", bias=2.5), acts, "h100").level == "stored"


@pytest.mark.parametrize("device", [name for name in known() if find(name).kind == "gpu"])
@pytest.mark.parametrize("name", ["e4m3", "int8", "int4", "mxfp4", "nvfp4"])
def test_weights_alone_are_decoded_and_computed_at_full_precisions_rate(device: str, name: str) -> None:
    for dtype in ("fp32", "fp16"):
        found = of(name, None, device, dtype)
        assert (found.level, found.compute) == ("stored", dtype)
        assert (found.decode_weights, found.decode_acts) == (True, False)
    found = of(None, name, device)
    assert (found.decode_weights, found.decode_acts) == (False, True)


def test_sparse_rates_change_nothing(tmp_path: Path) -> None:
    text = '[x]\ninherit = "h100-sxm"\n[x.peaks]\nfp16 = { dense = 900, sparse = 90000 }\n'
    text += "bf16 = { dense = 900, sparse = 90000 }\nfp8 = { dense = 950, sparse = 951 }\n"
    (tmp_path / "x.toml").write_text(text)
    device = find("x", [str(tmp_path / "x.toml")])
    assert of("e2m1", "e2m1", device).faster == "fp8"
    assert "below" not in of("e4m3", "e4m3", device).note


def test_a_device_of_ones_own_multiplies_what_it_lists(tmp_path: Path) -> None:
    text = '[x]\narchitecture = "other"\nprocessors = 1\nmemory_gb = 1\nbandwidth_gb_s = 1\ntdp_w = 1\n'
    (tmp_path / "x.toml").write_text(text + "peaks = { bf16 = 1, fp4 = 8, int4 = 8 }\n")
    device = find("x", [str(tmp_path / "x.toml")])
    assert of("nvfp4", "nvfp4", device).compute == "fp4"
    assert of("e2m1", "e2m1", device).compute == "fp4"
    assert of("int4", "int4", device).compute == "int4"
    assert of("e4m3", "e4m3", device).compute == "bf16"
    assert of("e2m1", "e4m3", device).compute == "bf16"
    assert of(None, None, device).compute == "bf16"


def test_notes_are_one_short_line() -> None:
    names = [None, "e4m3", "chen-e4m3", "int8", "nf4", "mxfp4", "e3m4"]
    for device in known():
        for pair in ((w, a) for w in names for a in names):
            text = of(*pair, device).note
            assert text.startswith(find(device).name)
            assert "\n" not in text
            assert len(text) < 220
