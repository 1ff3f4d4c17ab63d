"""Live activations against memory that torch really took, and against a simulation by last uses."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from trace_cases import Branches, Fused, Naive, Skips, traced

from fpsim.cost.attention_groups import groups
from fpsim.cost.events import Event, Operand
from fpsim.cost.liveness import liveness, timeline
from fpsim.cost.modules import record_module, trace_module


def measured(module, *inputs):
    """Bytes of float32 that the CPU's allocator had given out at most, inputs included: torch.profiler's account."""
    module.eval()
    with torch.no_grad():
        module(*inputs)  # what is made once, such as packed weights, is no activation
        gc.collect()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as account:
            module(*inputs)
    changes = [item for item in account.profiler.kineto_results.events() if item.name() == "[memory]"]
    level, peak = 0, 0
    for item in sorted(changes, key=lambda item: item.start_ns()):
        level += item.nbytes()
        peak = max(peak, level)
    assert changes
    return peak + sum(item.nbytes for item in inputs)


def predicted(module, *inputs):
    events = record_module(module, inputs)
    return 4 * liveness(events, groups(events)).as_run


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Skips(64), (16, 64)),
        (Branches(32), (8, 32)),
        (nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 8), nn.Sigmoid()), (32, 8)),
        (nn.Sequential(*(nn.Linear(64, 64) for _ in range(5))), (32, 64)),
        (nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.Softmax(-1)), (4, 64)),
    ],
    ids=["skip", "branches", "wide middle", "chain", "norm"],
)
def test_the_peak_is_what_the_allocator_gave_out(module, shape):
    source = torch.randn(shape)
    assert predicted(module, source) == measured(module, source)


def test_attention_with_materialized_scores_is_what_the_allocator_gave_out():
    module, inputs = Naive(heads=4, width=32), (torch.randn(2, 96, 32), torch.randn(2, 96, 32))
    assert predicted(module, *inputs) == measured(module, *inputs)


def test_a_real_unet_is_within_a_tenth_of_what_the_allocator_gave_out():
    """The CPU's convolutions and attention take scratch memory besides."""
    from diffusers import UNet2DModel

    module = UNet2DModel(
        sample_size=32,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    sample, step = torch.randn(2, 3, 32, 32), torch.tensor([3, 3])
    assert predicted(module, sample, step) == pytest.approx(measured(module, sample, step), rel=0.1)


def last_uses(events):
    """Peak if a storage lived from where it is made to the last operator that reads or writes it."""
    first, last, size = {}, {}, {}
    for moment, event in enumerate(events):
        for storage, elements in event.allocated:
            first[storage], size[storage] = moment, elements
        for item in (*event.inputs, *event.outputs):
            last[item.storage] = moment
    return max(sum(size[key] for key in first if first[key] <= moment <= last[key]) for moment in range(len(events)))


@pytest.mark.parametrize("kind", [Skips, Branches])
def test_nothing_lives_shorter_than_its_last_use(kind):
    events = record_module(kind(32), (torch.empty(8, 32),))
    assert liveness(events, ()).peak >= last_uses(events) > 0


def test_a_chain_holds_two_neighbours_and_its_input():
    chain = nn.Sequential(nn.Linear(10, 100), nn.Linear(100, 100), nn.Linear(100, 1))
    assert trace_module(chain, (torch.empty(1, 10),)).live == 10 + 100 + 100


def test_a_freed_storage_no_longer_counts():
    def made(storage, elements, freed=()):
        out = Operand(storage=storage, shape=(elements,), elements=elements)
        return Event(op="aten.exp", outputs=(out,), allocated=((storage, elements),), freed=freed)

    events = (made(0, 5), made(1, 7), made(2, 1, freed=(0,)), made(3, 2, freed=(1, 2)))
    assert timeline(events) == [5, 12, 8, 2]
    assert timeline(events, frozenset({1})) == [5, 5, 1, 2]


def test_scores_are_apart_from_the_other_activations():
    inputs = (torch.empty(2, 96, 32), torch.empty(2, 96, 32))
    fused, naive = (trace_module(kind(heads=4, width=32), inputs) for kind in (Fused, Naive))
    scores = 2 * 4 * 96 * 96
    assert fused.live == pytest.approx(naive.live, rel=0.5)
    assert naive.live < scores  # the score matrices that it really makes are not among them
    assert fused.live_naive == fused.attention_live[0] + 2 * scores
    events = record_module(Naive(heads=4, width=32), inputs)
    run = liveness(events, groups(events)).as_run
    assert run <= naive.live_naive <= run + inputs[0].numel()  # the prediction has the result beside both matrices


def test_naive_processors_of_diffusers_have_the_peak_that_is_predicted_from_the_fused_trace():
    """The two score matrices that the prediction adds are those that diffusers' own processor holds."""
    from diffusers.models.attention_processor import AttnProcessor

    from fpsim.cost.architectures import ARCHITECTURES, build
    from fpsim.cost.catalogue import lookup
    from fpsim.cost.model_inputs import Sizes

    (part, *_), fused = lookup("sd15").parts, traced("sd15").denoiser
    module = build(part.kind, part.config)
    module.set_attn_processor(AttnProcessor())
    inputs = ARCHITECTURES[part.kind].inputs(module.config, Sizes(batch=1))
    events = record_module(module, inputs)
    found = groups(events)
    assert len(found) == 32
    assert liveness(events, found).as_run == pytest.approx(fused.live_naive, rel=0.02)
    naive = trace_module(module, inputs)
    assert sum(item.macs for item in naive.operations) == sum(item.macs for item in fused.operations)


def test_the_peak_of_sd15_holds_its_skip_connections():
    denoiser = traced("sd15").denoiser
    assert 30e6 < denoiser.live < 40e6
    assert denoiser.live_naive == pytest.approx(denoiser.live + 2 * 8 * 4096**2, rel=0.1)
    assert len(denoiser.attention_live) == 32
