"""Counts of whole models against published ones."""

from __future__ import annotations

import math

import pytest
from trace_cases import giga_macs, traced

PARAMETERS = {
    "sd15": (859_520_964, 123_060_480, 83_653_863),
    "sd21": (865_910_724, 340_387_840, 83_653_863),
    "sdxl": (2_567_463_684, 123_060_480, 694_659_840, 83_653_863),
    "ddim-cifar10": (35_746_307,),
}
GIGA_MACS = {
    "sd15": {"": 401.64, "conv": 221.97, "linear": 116.64, "attention": 63.02},
    "sdxl": {"": 3380.6, "conv": 811.6, "linear": 2177.1, "attention": 391.96},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_every_network(name):
    assert tuple(item.parameters for item in traced(name).components) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "tolerance"), [("sd15", 0.01), ("sdxl", 0.06)])
def test_multiply_accumulates_by_kind(name, tolerance):
    for kind, expected in GIGA_MACS[name].items():
        assert giga_macs(traced(name).denoiser, kind) == pytest.approx(expected, abs=tolerance)


def test_sd15_is_exact_to_the_last_unit():
    macs = {kind: round(giga_macs(traced("sd15").denoiser, kind) * 1e9) for kind in ("conv", "linear", "attention")}
    assert macs == {"conv": 221_973_053_440, "linear": 116_637_532_160, "attention": 63_026_135_040}


def test_sd15_has_the_modules_that_it_has():
    kinds = [item.kind for item in traced("sd15").denoiser.operations]
    assert kinds.count("conv") == 98
    assert kinds.count("linear") == 184
    assert kinds.count("norm") == 61 + 48
    assert kinds.count("attention") == 32


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_products_agree_with_their_matrices(name):
    for component in traced(name).components:
        for item in component.operations:
            if item.kind in ("conv", "linear"):
                assert item.gemm is not None
                assert math.prod(item.gemm) == item.macs
            if item.kind == "attention":
                assert item.gemm is not None
                assert item.macs == 2 * math.prod(item.gemm)  # both products: heads have one width
                assert item.scores == math.prod(item.gemm[:3])
            assert item.flops == 2 * item.macs or item.macs == 0


def test_every_weight_of_the_unet_is_read_once():
    denoiser = traced("sd15").denoiser
    assert sum(item.weights for item in denoiser.operations) == denoiser.parameters
    assert sum(math.prod(shape) for _, shape in denoiser.parameter_shapes) == denoiser.parameters


def test_the_papers_score_tensor():
    """256 = 16 images × 2 (guidance) × 8 heads: more than 17 GB in float32."""
    item = max(traced("sd15", 32, only_denoiser=True).denoiser.operations, key=lambda item: item.scores)
    assert item.gemm == (256, 4096, 4096, 40)
    assert item.scores * 4 == 17_179_869_184


def test_layers_have_the_names_of_modules():
    denoiser = traced("sd15").denoiser
    products = {item.layer for item in denoiser.operations if item.kind in ("conv", "linear")}
    owners = {name.removesuffix(".weight") for name, shape in denoiser.parameter_shapes if len(shape) > 1}
    assert products == owners
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn1" in {item.layer for item in denoiser.operations}


def test_dit_and_latent_diffusion_as_published():
    assert giga_macs(traced("dit-xl-2").denoiser) == pytest.approx(118.64, abs=0.05)
    assert traced("ldm-bedrooms").denoiser.parameters == pytest.approx(274e6, rel=0.001)


def test_flux_has_the_published_parameters():
    transformer, clip, t5, decoder = traced("flux-dev").components
    assert transformer.parameters == 11_901_408_320
    assert (clip.parameters, t5.parameters, decoder.parameters) == (123_060_480, 4_762_310_656, 83_819_683)
    assert [item.calls for item in (transformer, clip, t5, decoder)] == [0, 1, 1, 1]
