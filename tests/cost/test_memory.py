"""Peak memory against published measurements, and its parts by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
from trace_cases import traced

from fpsim.cost.catalogue import lookup
from fpsim.cost.memory import largest_batch, peak, sweep
from fpsim.cost.memory_options import PAPER_SCORE_COPIES, MemoryOptions
from fpsim.cost.operations import Component, Operation, Trace
from fpsim.errors import FpsimError

SD15_PIPELINE = MemoryOptions(cfg=True, resident=lookup("sd15").resident)


def sd15(images, **changes):
    return peak(traced("sd15"), SD15_PIPELINE, images=images, **changes).total / 1e9


@pytest.mark.parametrize(("images", "measured"), [(1, 8.37), (16, 54.9)])
def test_the_papers_peaks_with_three_score_matrices(images, measured):
    """Chen et al. 2024, Fig. 5: float32, naive attention, guidance, the whole pipeline with its safety checker."""
    assert sd15(images, attention="naive", score_copies=PAPER_SCORE_COPIES) == pytest.approx(measured, rel=0.1)


def test_the_papers_growth_is_not_that_of_two_score_matrices():
    growth = (54.9 - 8.37) / 15
    two, three = (
        (sd15(16, attention="naive", score_copies=count) - sd15(1, attention="naive", score_copies=count)) / 15
        for count in (2, 3)
    )
    assert abs(three / growth - 1) < 0.1 < abs(two / growth - 1)


@pytest.mark.parametrize(("images", "measured"), [(1, 7.76), (8, 23.85), (32, 79.6)], ids=["m1", "m2", "m4"])
def test_naive_float32_of_lambda(images, measured):
    """LambdaLabsML/lambda-diffusers, benchmark_no_xformers.csv, A100 80 GB, diffusers 0.11."""
    assert sd15(images, attention="naive") == pytest.approx(measured, rel=0.03)


def test_fused_float16_of_lambda():
    """The same, benchmark.csv (m6): the decoder, not the U-Net, has the peak."""
    half = {"weight_bits": 16, "other_bits": 16, "act_bytes": 2}
    assert sd15(1, **half) == pytest.approx(3.19, rel=0.03)
    assert peak(traced("sd15"), SD15_PIPELINE, **half).phase == "decoder"


def test_the_safety_checker_is_counted_from_its_module():
    assert lookup("sd15").resident == {"safety_checker": 303_981_588}


def small(batch=2):
    """A denoiser of two layers and attention between them, and a decoder."""
    product = Operation(layer="a", op="aten.mm", kind="linear", macs=1, weights=12)
    attention = Operation(layer="b", op="sdpa", kind="attention", macs=1, scores=1000)
    other = Operation(layer="c", op="sdpa", kind="attention", macs=1, scores=900)
    shapes = (("a.weight", (3, 4)), ("a.bias", (3,)), ("b.weight", (10, 2)))
    denoiser = Component(
        name="denoiser",
        operations=(product, attention, other),
        parameters=35,
        live=400,
        attention_live=(100, 350),
        parameter_shapes=shapes,
    )
    decoder = Component(name="decoder", operations=(product,), parameters=5, live=3000, calls=1)
    return Trace(name="small", source="", batch=batch, components=(denoiser, decoder))


def test_the_parts_add_up():
    result = peak(
        small(), images=2, cfg=True, attention="naive", resident={"x": 8}, scale_bits=64, allocator_reserve=0.5
    )
    assert (result.phase, result.images) == ("denoiser", 2)
    assert result.weights == 35 * 4
    assert result.resident == (5 + 8) * 4
    assert result.scales == 8
    assert (result.activations, result.scores) == (
        2 * 350 * 4,
        2 * 2 * 900 * 4,
    )  # not the largest scores: the sum counts
    assert result.reserve == 0.5 * (2 * 350 * 4 + 2 * 2 * 900 * 4)
    assert result.total == 140 + 52 + 8 + 1.5 * (2800 + 14400)


def test_copies_and_width_of_scores():
    assert peak(small(), images=2, attention="naive", score_copies=9).scores == 9 * 1000 * 4
    assert peak(small(), images=2, attention="naive", score_copies=9, score_bytes=2).scores == 9 * 1000 * 2
    assert peak(small(), images=2, attention="fused").scores == 0


def test_the_largest_phase_has_the_peak():
    result = peak(small(), images=2)
    assert (result.phase, result.activations) == ("decoder", 3000 * 4)


def test_guidance_doubles_the_denoiser_and_not_the_decoder():
    one, two = (peak(small(), images=2, cfg=cfg, attention="naive", score_copies=9) for cfg in (False, True))
    assert (one.scores, two.scores) == (36_000, 72_000)
    assert peak(small(), images=2, cfg=True).activations == 3000 * 4


def test_bits_by_layer():
    result = peak(small(), weight_bits={"a": 4.25}, scale_bits={"a": 96}, other_bits=16)
    assert result.weights == (12 * 4.25 + 3 * 16 + 20 * 16) / 8
    assert result.scales == 12
    assert peak(small(), weight_bits=4.0, other_bits=16).weights == 35 / 2


def test_bits_of_no_layer():
    with pytest.raises(FpsimError, match="'z', which is no layer"):
        peak(small(), weight_bits={"z": 4})
    with pytest.raises(FpsimError, match=r"'a\.bias', which is no layer"):
        peak(small(), scale_bits={"a.bias": 4})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "has no image"),
        ({"attention": "flash"}, "choose naive or fused"),
        ({"act_bytes": -1}, "cannot be negative"),
        ({"allocator_reserve": -0.1}, "cannot be negative"),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(FpsimError, match=message):
        peak(small(), **changes)


def test_a_sweep_is_a_line_once_one_phase_leads():
    totals = [item.total for item in sweep(small(), [1, 2, 4, 8])]
    assert totals[3] - totals[2] == 2 * (totals[2] - totals[1]) == 4 * (totals[1] - totals[0])


def test_the_largest_batch_fits_and_the_next_does_not():
    for capacity in (1e3, 7e3, 1e5, 1e6 + 1):
        most = largest_batch(small(), capacity, attention="naive")
        assert most == 0 or peak(small(), images=most, attention="naive").total <= capacity
        assert peak(small(), images=most + 1, attention="naive").total > capacity


def test_an_a100_holds_the_papers_batch_and_half_as_much_again():
    options = MemoryOptions(cfg=True, resident=lookup("sd15").resident, attention="naive", score_copies=3)
    assert 16 <= largest_batch(traced("sd15"), 80e9, options) <= 24
    assert largest_batch(traced("sd15"), 5e9, options) == 0
    assert largest_batch(traced("sd15"), 80e9, SD15_PIPELINE) > 80  # fused attention: weights and decoder only


def test_a_trace_of_the_batch_itself_says_the_same():
    """Taking the batch in proportion is off by what does not depend on it only."""
    real = peak(traced("sd15", 3), images=3, attention="naive").total
    assert peak(traced("sd15"), images=3, attention="naive").total == pytest.approx(real, rel=1e-4)


def test_memory_of_a_trace_needs_no_torch():
    modules = "memory", "catalogue", "scaling", "liveness", "classify"
    code = f"import sys; import {', '.join(f'fpsim.cost.{name}' for name in modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
