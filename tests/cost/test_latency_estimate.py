"""Whole estimates of the bundled model: levels, intervals, batches, policies, memory, throughput and energy."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
from latency_cases import measured_machine

import fpsim
from fpsim.cost.calibration_file import Calibration, load, loads
from fpsim.cost.device_file import find
from fpsim.cost.energy import PICOJOULES, energy
from fpsim.cost.estimating import estimate
from fpsim.cost.parameters import starting
from fpsim.cost.result import Estimate
from fpsim.cost.throughput import best_batch
from fpsim.cost.work import Work
from fpsim.cost.workload import load as traced
from fpsim.errors import FpsimError
from fpsim.quant.policy import Policy

FP8 = Policy.uniform(weights="e4m3", acts="e4m3")


def of(device: str = "b200", **options: object) -> Estimate:
    return estimate("bundled", device=device, **options)  # type: ignore[arg-type]


def test_the_public_name_returns_a_frozen_result() -> None:
    found = fpsim.cost.estimate("bundled", device="b200", policy=FP8, batch=1)
    assert 0 < found.bound <= found.low <= found.latency_s <= found.high
    assert found.level == "calibrated"
    assert found.peak_bytes > 0
    assert found.fits
    assert sum(row.seconds for row in found.rows) == pytest.approx(found.latency_s)
    assert sum(row.share for row in found.by("layer")) == pytest.approx(1)
    with pytest.raises(FrozenInstanceError):
        found.latency_s = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("runtime", ["eager", "compiled", "tensorrt"])
@pytest.mark.parametrize("device", ["v100", "orin-agx", "b300", "xeon"])
def test_time_memory_and_energy_grow_with_the_batch(device: str, runtime: str) -> None:
    found = [of(device, batch=batch, runtime=runtime, policy=FP8) for batch in (1, 2, 3, 8, 64)]
    for one, more in pairwise(found):
        assert one.latency_s <= more.latency_s
        assert one.bound <= more.bound
        assert one.peak_bytes < more.peak_bytes
        assert one.images_per_s <= more.images_per_s * 1.001
        assert one.energy.dram < more.energy.dram


def test_guidance_doubles_the_denoisers_samples_only() -> None:
    plain, guided = of(cfg=False, batch=4), of(cfg=True, batch=4)
    assert (plain.samples, guided.samples) == (4, 8)
    assert guided.latency_s == of(cfg=False, batch=8).latency_s
    assert of().samples == 1, "the bundled model's pipeline has no guidance"


def test_fusion_saves_launches_and_traffic() -> None:
    eager, compiled, tensorrt = (of("h100", runtime=name) for name in ("eager", "compiled", "tensorrt"))
    assert eager.latency_s > compiled.latency_s > tensorrt.latency_s
    assert eager.limit == "launch"


def test_devices_of_the_fit_have_narrower_intervals_than_what_nobody_measured() -> None:
    wide = {
        name: found.high / found.latency_s
        for name, found in {
            "seen": of("h100"),
            "unseen": of("gb200"),
            "cpu": of("xeon"),
            "fp4": of("b200", policy=Policy.uniform(weights="nvfp4", acts="nvfp4")),
        }.items()
    }
    assert wide["seen"] <= wide["unseen"] < wide["cpu"] == pytest.approx(wide["fp4"])
    assert "was not in the fit" in " ".join(of("gb200").notes)
    assert "nor was fp4" in " ".join(of("b200", policy=Policy.uniform(weights="nvfp4", acts="nvfp4")).notes)


def test_a_measured_calibration_holds_for_its_own_machine_only() -> None:
    calibration = loads(measured_machine('"cpu.linear" = 0.9'), "mine.toml")
    mine, other = of("mine", calibration=calibration), of("h100", calibration=calibration)
    assert (mine.level, other.level) == ("measured", "calibrated")
    assert other.latency_s == of("h100").latency_s
    assert mine.setting.dtype == "fp32"
    slower = Calibration(parameters=calibration.parameters.replaced({"cpu.linear": 0.1}), devices=calibration.devices)
    assert of("mine", calibration=slower).latency_s > mine.latency_s


def test_layers_follow_their_rules() -> None:
    partly = FP8.skip("*attentions*")
    found = of("h100", policy=partly, runtime="compiled")
    uses = {(use.weights, use.acts): use for use in found.uses}
    assert set(uses) == {("e4m3", "e4m3"), ("", "")}
    assert all("attentions" in item.work.layer for item in found.timed if item.work.compute == "fp16")
    assert sum(use.layers for use in found.uses) == len({*_layers(found)})
    with pytest.raises(FpsimError, match="matches no layer"):
        of(policy=FP8.skip("nothing.*"))


def _layers(found: Estimate) -> set[str]:
    return {item.work.layer for item in found.timed if item.work.kind in ("conv", "linear") and item.work.compute}


def test_weights_in_memory_shrink_with_their_format_whatever_computes() -> None:
    for device in ("orin-agx", "h100", "b200"):
        wide = of(device).memory.weights
        assert of(device, policy=FP8).memory.weights < 0.6 * wide
        assert of(device, policy=Policy.uniform(weights="e2m1")).memory.weights < 0.35 * wide


def test_dynamic_separate_quantization_costs_more_than_static_and_than_fused() -> None:
    times = [
        of("h100", policy=FP8, quantize_ops=ops, act_scales=scales).latency_s
        for ops, scales in (("fused", "static"), ("separate", "static"), ("separate", "dynamic"))
    ]
    assert times[0] < times[1] < times[2]


def test_the_best_batch_has_the_most_images_a_second_and_fits() -> None:
    best = best_batch(lambda images: of("h100", batch=images, runtime="compiled"))
    assert best.fits
    assert best.images_per_s > 2 * of("h100", runtime="compiled").images_per_s
    small = replace(find("h100"), memory=replace(find("h100").memory, value=20e6))
    tight = best_batch(lambda images: estimate("bundled", device=small, batch=images))
    assert tight.fits
    assert tight.images <= tight.largest


def test_energy_counts_operations_and_says_what_is_assumed() -> None:
    device = find("h100")
    fp16 = Work(layer="", kind="linear", compute="fp16", flops=2e12, bytes=1e9)
    fp8 = replace(fp16, compute="fp8", bytes=5e8)
    first, second = energy([(fp16, 1)], device, 0.5), energy([(fp8, 3)], device, 0.5)
    assert first.bound == pytest.approx(350 if device.tdp.value == 700 else device.tdp.value / 2)
    assert first.arithmetic == pytest.approx(1.5)
    assert first.dram == pytest.approx(0.1625)
    assert (first.assumed, second.assumed) == ((), ("fp8",))
    assert second.arithmetic == pytest.approx(3 * sum(PICOJOULES["fp8"]))


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(FpsimError, match="0 images in 50 steps"):
        of(batch=0)
    with pytest.raises(FpsimError, match=r"unknown device 'h1000'.*Known: "):
        of("h1000")


def test_a_model_is_traced_once() -> None:
    assert traced("bundled") is traced("bundled")
    assert load().parameters is load().parameters
    assert starting() == starting()
