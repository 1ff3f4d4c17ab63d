"""Timestep bins of denoisers that are called with a part of training instead of a timestep, such as Flux."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from tiny_pipelines import _text_encoder
from tiny_tokenizer import tiny_tokenizer
from torch import Tensor, nn
from transformers import CLIPTextModel, T5Config, T5EncoderModel

import fpsim
from fpsim import Policy
from fpsim.methods.allocation_measure import measure
from fpsim.methods.allocation_request import AllocationRequest, Limit
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel, load
from fpsim.model.samples import collect
from fpsim.model.timestep import Clock, in_training
from fpsim.quant.policy import spec
from fpsim.quant.policy_toml import loads
from fpsim.sample.spec import SampleSpec

TIMESTEPS = (1000.0, 700.0, 699.0, 300.0, 299.0, 1.0)
EDGES = (300.0, 700.0)
BINNED = loads(f'[[rule]]\nmatch = "*"\nacts = {{ format = "int8", scale = "max", timestep_bins = {list(EDGES)} }}\n')
PLAIN = Policy.uniform(None, "int8", scale="max")
LAYER = "transformer_blocks.0.attn.to_q"


def tiny_flux() -> Any:
    """Two blocks, one of each kind."""
    torch.manual_seed(0)
    return diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
    ).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A pipeline like FLUX.1 schnell, of 8 × 8 latents."""
    folder = tmp_path_factory.mktemp("flux")
    tokenizer = tiny_tokenizer(folder / "source")
    torch.manual_seed(1)
    vae = AutoencoderKL(latent_channels=4, norm_num_groups=4, block_out_channels=(8,), shift_factor=0.1)
    sizes = {"vocab_size": len(tokenizer), "d_model": 32, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": 1}
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=_text_encoder(CLIPTextModel, tokenizer, hidden=16, seed=1),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(T5Config(**sizes)).eval(),
        tokenizer_2=tokenizer,
        transformer=tiny_flux(),
    )
    pipeline.save_pretrained(folder / "tiny-flux")
    found = load(str(folder / "tiny-flux"))
    assert found.pipeline is not None
    found.pipeline.default_sample_size = 8
    return found


def call(t: float, number: int = 0) -> dict[str, Tensor]:
    """What the pipeline gives to its transformer at a timestep: larger latents at larger numbers."""
    source = torch.Generator().manual_seed(number)
    return {
        "hidden_states": torch.randn(1, 16, 16, generator=source) * (1 + number),
        "timestep": torch.tensor([t]) / 1000,
        "encoder_hidden_states": torch.randn(1, 4, 32, generator=source),
        "pooled_projections": torch.randn(1, 16, generator=source),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(4, 3),
    }


CALLS = [call(t, number) for number, t in enumerate(TIMESTEPS)]


def test_bins_hold_timesteps_of_training() -> None:
    """Each call is quantized as a model is that was calibrated on the calls of its bin, edges to the lower digit."""
    flux, bins = tiny_flux(), (CALLS[4:], CALLS[2:4], CALLS[:2])
    with torch.no_grad():
        with fpsim.quantize_(flux, BINNED, CALLS) as handle:
            found = [flux(**each).sample for each in CALLS]
            operand = handle.acts[LAYER]
            assert isinstance(operand, BinnedActivation)
            scales = [float(each.quantizer.scales.scale[0]) for each in operand.operands]  # type: ignore[union-attr]
        assert len(set(scales)) == 3
        for mine in bins:
            with fpsim.quantize_(flux, PLAIN, list(mine)):
                for each in mine:
                    assert torch.equal(flux(**each).sample, found[next(i for i, c in enumerate(CALLS) if c is each)])


def test_samples_say_the_timestep_of_training() -> None:
    each = collect(tiny_flux(), CALLS)[LAYER].each
    assert each is not None
    assert each[:, 0].tolist() == list(TIMESTEPS)


def test_compiled() -> None:
    torch._dynamo.reset()
    flux = tiny_flux()
    with torch.no_grad(), fpsim.quantize_(flux, BINNED, CALLS):
        compiled = torch.compile(flux, backend="eager")
        assert all(torch.equal(compiled(**each).sample, flux(**each).sample) for each in CALLS)


class Lumina2Transformer2DModel(nn.Module):
    """Of the same name as one that counts from the other end."""

    def forward(self, hidden_states: Tensor, timestep: Tensor) -> Tensor:
        return hidden_states * timestep


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_timestep_of_training(dtype: torch.dtype) -> None:
    t = torch.arange(1001, dtype=dtype)
    flux, lumina, unet = tiny_flux(), Lumina2Transformer2DModel(), nn.Linear(1, 1)
    assert torch.equal(in_training(flux, t / 1000), t.double())
    assert torch.equal(in_training(lumina, 1 - t / 1000), t.double())
    assert torch.equal(in_training(unet, t + 0.1234567), (t + 0.1234567).double())
    assert in_training(flux, torch.tensor(1)).item() == 1000
    clock = Clock(1)
    undo = clock.attach(lumina)
    clock.start(lumina, (t, 0.25), {})
    assert clock.timesteps == (750.0,)
    for each in undo:
        each()


def test_bf16_knows_eight_bits_of_it() -> None:
    t = torch.arange(0, 1001, 4).bfloat16()
    assert (in_training(tiny_flux(), t / 1000) - t.double()).abs().max() <= 4


def asked(**changes: Any) -> AllocationRequest:
    given: dict[str, Any] = {
        "weights": {"int8": spec("int8", "channel", "max")},
        "acts": {name: spec(name, "tensor", "max") for name in ("int4", "int8")},
        "limits": (Limit(kind="bpw", value=40, text=""),),
        "measure": "mse",
        "spec": SampleSpec(steps=6, num_images=1, batch_size=1, seed=0, prompts=("a cat",), guidance_scale=0),
        "images": 1,
        "timesteps": 6,
        "bins": 2,
        "skip": ("[!x]*.*", "[!x]*out", "context_embedder"),
    }
    return AllocationRequest(**{**given, **changes})


def test_allocation_by_timestep(model: LoadedModel) -> None:
    """Through the pipeline; each bin has its own calls, and a bin's error is made in its calls alone."""
    told: list[str] = []
    settings = {"sensitivity_images": 1}
    for name, given in (("mse", {}), ("sensitivity", settings)):
        found = measure(asked(measure=name, settings=given), model, None, lambda what, *_: told.append(what))
        assert list(found.sizes) == ["x_embedder"]
        assert found.timesteps == pytest.approx([1000 * part / 6 for part in (6, 5, 4, 3, 2, 1)], abs=1e-3)
        assert found.shares == pytest.approx([1 / 3, 2 / 3])
        assert found.harm.acts is not None
        assert (found.harm.acts[:, 0] > 0).all()
        assert (found.harm.acts[:, 0] > found.harm.acts[:, 1]).all(), "int4 harms more than int8, in both bins"
        assert not found.network.guided, "Flux is guided without twice the samples"
    assert told
