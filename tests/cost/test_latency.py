"""The roofline of one operation: what each term is, and what may never happen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latency_cases import attention, bound, conv, held, linear, silu, sparser, time, without_sparsity

from fpsim.cost.device_file import find, known
from fpsim.cost.latency import bounds, ideal, limits, seconds
from fpsim.cost.parameters import DECODE, starting
from fpsim.cost.runtime import Setting
from fpsim.cost.work import is_winograd, works
from fpsim.errors import FpsimError

GRAPH = Setting(runtime="compiled")
OLD = ("orin-agx", "a100-sxm-80", "v100-sxm2")


def test_a_large_product_takes_its_flops_over_the_rate_it_reaches() -> None:
    values, operation = starting().values, linear(16384)
    expected = operation.flops / (989.4e12 * values["tensor.linear"]) + values["t0"]
    assert time(operation, "h100-sxm") == pytest.approx(expected)
    assert bound(operation, "h100-sxm") == pytest.approx(operation.flops / 989.4e12)


def test_one_row_takes_its_weights_bytes_over_the_bandwidth() -> None:
    values, operation = starting().values, linear(1)
    bytes_ = 2 * (operation.weights + operation.inputs + operation.outputs)
    assert time(operation, "h100-sxm") == pytest.approx(bytes_ / (3350e9 * values["bandwidth"]) + values["t0"])
    assert bound(operation, "h100-sxm") == pytest.approx(bytes_ / 3350e9)


def test_eager_kernels_take_a_launch_at_least() -> None:
    values = starting().values
    assert time(silu(1), "h100-sxm", setting=Setting()) == values["launch.torch-2"]
    assert time(silu(1), "h100-sxm", setting=Setting(stack="torch-1")) == values["launch.torch-1"]
    large = silu(1 << 28)
    assert time(large, "h100-sxm", setting=Setting()) > 20 * values["launch.torch-2"]
    assert time(silu(1), "h100-sxm") < 1e-12, "compiled activations belong to a norm"


@pytest.mark.parametrize("device", OLD)
@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "mxfp4", "nvfp4", "mxfp8"])
@pytest.mark.parametrize("rows", [4096, 16384])
def test_formats_without_a_rate_never_speed_up_what_is_compute_bound(device: str, name: str, rows: int) -> None:
    for operation in (linear(rows), conv(64, 640)):
        assert time(operation, device, (name, name)) > time(operation, device)
        assert time(operation, device, (name, None)) > time(operation, device)


@pytest.mark.parametrize("device", OLD)
def test_memory_bound_work_gains_at_most_its_bytes_less_the_decode(device: str) -> None:
    operation, values, where = linear(1), starting().values, find(device)
    rate = where.bandwidth.value * values["bandwidth"]
    saved = (operation.weights * 12 + operation.inputs * 8) / 8 / rate
    decode = (operation.weights + operation.inputs) * DECODE / where.peaks["fp32"].dense.value / values["pointwise"]
    gain = time(operation, device) - time(operation, device, ("e2m1", "e4m3"))
    assert gain == pytest.approx(saved - decode, rel=1e-6)
    assert 0 < gain < saved


def test_a_native_format_runs_at_its_own_rate_and_decodes_nothing() -> None:
    operation, values = linear(16384), starting().values
    expected = operation.flops / (1978.9e12 * values["tensor.linear"] * values["narrow8"]) + values["t0"]
    assert time(operation, "h100-sxm", ("e4m3", "e4m3")) == pytest.approx(expected)
    assert not held("e4m3", "e4m3", find("h100-sxm")).decode


def test_int8_of_a_b300_is_its_own_slow_rate() -> None:
    operation = linear(16384)
    assert bound(operation, "b300", ("int8", "int8")) == pytest.approx(operation.flops / 153.5e12)
    assert time(operation, "b300", ("int8", "int8")) > 10 * time(operation, "b300")
    assert time(operation, "b200", ("int8", "int8")) < time(operation, "b200")


@pytest.mark.parametrize("device", known())
@pytest.mark.parametrize("formats", [(None, None), ("e4m3", "e4m3"), ("mxfp4", "mxfp4"), ("int8", "int8")])
def test_sparse_rates_never_leak_into_times(device: str, formats: tuple[str | None, str | None]) -> None:
    where, dtype = find(device), "fp32" if find(device).kind == "cpu" else "fp16"
    setting = Setting(runtime="compiled", dtype=dtype)
    for operation in (linear(4096), conv(64, 320), attention()):
        dense, sparse = (time(operation, d, formats, setting) for d in (without_sparsity(where), sparser(where)))
        assert dense == sparse


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 20000),
    out=st.integers(1, 9000),
    depth=st.integers(1, 9000),
    device=st.sampled_from(["v100", "a100", "h100", "b200", "b300", "orin-agx", "rtx-5090", "xeon"]),
    formats=st.sampled_from([(None, None), ("e4m3", "e4m3"), ("e2m1", "e4m3"), ("nvfp4", "nvfp4"), ("int8", "int8")]),
    setting=st.builds(
        Setting,
        runtime=st.sampled_from(["eager", "compiled", "tensorrt"]),
        quantize=st.sampled_from(["fused", "separate"]),
        act_scales=st.sampled_from(["static", "dynamic"]),
        attention=st.sampled_from(["fused", "naive"]),
    ),
)
def test_no_time_is_below_its_bound_and_more_rows_take_no_less(
    rows: int, out: int, depth: int, device: str, formats: tuple[str | None, str | None], setting: Setting
) -> None:
    where, sums = find(device), []
    for operations in ([linear(rows, out, depth), silu(rows)], [linear(rows + 7, out, depth), silu(rows + 7)]):
        done = list(works(operations, lambda _: held(*formats, where), setting))
        times = ideal(done, where)
        calibrated = seconds(times, starting(), setting)
        assert (calibrated >= bounds(times)).all()
        sums.append(calibrated.sum())
    assert sums[0] <= sums[1]


def test_separate_quantize_kernels_read_two_bytes_and_write_one() -> None:
    operation, where = linear(4096), find("h100-sxm")
    for scales, passes, kernels in (("static", 1, 1), ("dynamic", 2, 2)):
        setting = Setting(runtime="compiled", quantize="separate", act_scales=scales)
        first, product = works([operation], lambda _: held("e4m3", "e4m3", where), setting)
        assert (first.kind, first.kernels) == ("quantize", kernels)
        assert first.bytes == operation.inputs * (2 * passes + 1)
        assert product.kind == "linear"
    fused = list(works([operation], lambda _: held("e4m3", "e4m3", where), GRAPH))
    assert [work.kind for work in fused] == ["linear"]
    weights_only = list(works([operation], lambda _: held("e4m3", None, where), Setting(quantize="separate")))
    assert [work.kind for work in weights_only] == ["linear"]


def test_scales_of_blocks_are_read() -> None:
    where, operation = find("b200"), linear(1)
    (plain,) = works([operation], lambda _: held("e2m1", "e2m1", where), GRAPH)
    (blocks,) = works([operation], lambda _: held("nvfp4", "nvfp4", where), GRAPH)
    assert blocks.bytes - plain.bytes == pytest.approx((operation.weights + operation.inputs) / 16)


def test_naive_attention_writes_and_reads_its_scores_four_times() -> None:
    operation, where = attention(), find("a100")
    setting = Setting(runtime="compiled", attention="naive")
    naive = list(works([operation], lambda _: held(None, None, where), setting))
    (fused,) = works([operation], lambda _: held(None, None, where), GRAPH)
    extra = sum(work.bytes for work in naive) - fused.bytes
    assert len(naive) == 3
    assert extra == pytest.approx(4 * 2 * operation.scores, rel=0.01)
    assert sum(work.flops for work in naive if work.compute) == fused.flops
    assert time(operation, "a100", setting=setting) > time(operation, "a100")


def test_only_three_by_three_convolutions_of_stride_one_are_winograds() -> None:
    assert is_winograd(conv(64, 320))
    assert not is_winograd(conv(64, 320, size=1))
    assert not is_winograd(linear(4096))
    fp32 = Setting(runtime="compiled", dtype="fp32")
    where = find("v100")
    (three,) = works([conv(64, 320)], lambda _: held(None, None, where, "fp32"), fp32)
    peak = three.flops / where.peaks["fp32"].dense.value
    assert bounds(ideal([three], where))[0] < peak, "the algorithm may beat the counted operations"


def test_limits_say_what_is_waited_for() -> None:
    where = find("h100-sxm")
    done = list(works([linear(16384), silu(1 << 28), silu(1)], lambda _: held(None, None, where), Setting()))
    assert limits(ideal(done, where), starting(), Setting()) == ["compute", "memory", "launch"]


def test_unknown_choices_are_refused_in_one_line() -> None:
    with pytest.raises(FpsimError, match=r"runtime 'jit' is unknown; choose one of eager, compiled, tensorrt"):
        Setting(runtime="jit")
    with pytest.raises(FpsimError, match=r"dtype 'e4m3' is unknown"):
        Setting(dtype="e4m3")
