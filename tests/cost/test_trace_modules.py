"""Operations of small modules, counted by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from trace_cases import Fused, Naive, Scaled

from fpsim.cost.modules import trace_module
from fpsim.errors import FpsimError


def operations(module, *shapes, **options):
    return trace_module(module, tuple(torch.empty(shape) for shape in shapes), **options).operations


def only(module, *shapes):
    (operation,) = operations(module, *shapes)
    return operation


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution_is_an_implicit_product(groups):
    item = only(nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=groups), (2, 8, 10, 6))
    assert (item.op, item.kind, item.kernels) == ("aten.convolution", "conv", 1)
    assert item.gemm == (groups, 2 * 5 * 3, 12 // groups, 8 // groups * 9)
    assert item.macs == 2 * 5 * 3 * 12 * 8 // groups * 9 == math.prod(item.gemm)
    assert (item.inputs, item.outputs) == (2 * 8 * 10 * 6, 2 * 12 * 5 * 3)
    assert item.weights == 12 * 8 // groups * 9 + 12


def test_a_transposed_convolution_multiplies_at_each_input_position():
    item = only(nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5))
    assert item.macs == 25 * 4 * 6 * 4 == math.prod(item.gemm)
    assert item.outputs == 6 * 10 * 10


@pytest.mark.parametrize(("kind", "shape"), [(nn.Conv1d, (2, 3, 8)), (nn.Conv3d, (2, 3, 4, 4, 4))])
def test_convolutions_of_other_dimensions(kind, shape):
    item = only(kind(3, 5, 3, padding=1), shape)
    assert item.macs == item.outputs * 3 * 3 ** (len(shape) - 2)


@pytest.mark.parametrize(("bias", "op"), [(True, "aten.addmm"), (False, "aten.mm")])
def test_a_linear_layer(bias, op):
    item = only(nn.Linear(6, 4, bias=bias), (2, 5, 6))
    assert (item.op, item.kind, item.gemm) == (op, "linear", (1, 10, 4, 6))
    assert (item.macs, item.flops) == (240, 480)
    assert (item.weights, item.inputs, item.outputs) == (24 + 4 * bias, 60, 40)


@pytest.mark.parametrize("kind", [Fused, Naive, Scaled])
def test_attention_is_one_operation_however_it_is_written(kind):
    ops = operations(kind(heads=2, width=8), (3, 5, 8), (3, 7, 8))
    (item,) = [item for item in ops if item.kind == "attention"]
    assert item.gemm == (3 * 2, 5, 7, 4)
    assert item.macs == 2 * 6 * 5 * 7 * 4
    assert item.scores == 6 * 5 * 7
    assert item.outputs == 3 * 5 * 8
    assert item.inputs == 3 * 8 * (5 + 7 + 7)
    assert [item.kind for item in ops].count("linear") == 3


@pytest.mark.parametrize(("kind", "copies"), [(Fused, 0), (Naive, 4)])
def test_merging_heads_after_fused_attention_moves_nothing(kind, copies):
    assert [item.kind for item in operations(kind(), (3, 5, 8), (3, 7, 8))].count("layout") == copies


def test_attention_with_a_mask_reads_it():
    class Masked(Fused):
        def attend(self, query, key, value):
            mask = torch.zeros(query.shape[-2], key.shape[-2], device=query.device)
            return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    ops = operations(Masked(), (1, 5, 8), (1, 7, 8))
    assert next(item for item in ops if item.kind == "attention").inputs == 8 * (5 + 7 + 7) + 35


def test_torchs_own_attention_module():
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    component = trace_module(
        module, {"query": torch.empty(3, 5, 8), "key": torch.empty(3, 5, 8), "value": torch.empty(3, 5, 8)}
    )
    (item,) = [item for item in component.operations if item.kind == "attention"]
    assert item.macs == 2 * 3 * 2 * 5 * 5 * 4


def test_a_product_of_activations_without_softmax_has_no_scores():
    class Gram(nn.Module):
        def forward(self, x):
            return x @ x.transpose(-1, -2)

    item = only(Gram(), (2, 3, 4))
    assert (item.kind, item.macs, item.scores, item.weights) == ("attention", 2 * 3 * 3 * 4, 0, 0)


def test_views_cost_nothing_and_copies_are_layout():
    class Moves(nn.Module):
        def forward(self, x):
            turned = x.transpose(0, 1)[1:].reshape(-1)  # a copy: the transposed memory is no longer in order
            return turned.view(2, -1).unsqueeze(0).expand(3, -1, -1)

    item = only(Moves(), (4, 3))
    assert (item.kind, item.flops, item.inputs, item.outputs) == ("layout", 0, 8, 8)


@pytest.mark.parametrize(
    ("module", "shape", "kind"),
    [
        (nn.GroupNorm(2, 4), (1, 4, 3, 3), "norm"),
        (nn.LayerNorm(4), (2, 4), "norm"),
        (nn.BatchNorm2d(4), (1, 4, 3, 3), "norm"),
        (nn.RMSNorm(4), (2, 4), "norm"),
        (nn.SiLU(), (2, 4), "activation"),
        (nn.GELU(), (2, 4), "activation"),
        (nn.Softmax(-1), (2, 4), "activation"),
        (nn.Upsample(scale_factor=2), (1, 1, 3, 3), "layout"),
        (nn.ZeroPad2d(1), (1, 1, 3, 3), "layout"),
        (nn.PixelShuffle(2), (1, 4, 3, 3), "layout"),
    ],
)
def test_classes_of_everything_else(module, shape, kind):
    ops = operations(module, shape)
    assert {item.kind for item in ops} == {kind}
    assert all(item.macs == 0 and item.gemm is None for item in ops)


def test_an_embedding_reads_the_rows_that_it_looks_up():
    component = trace_module(nn.Embedding(1000, 16), (torch.zeros(2, 3, dtype=torch.int64),))
    (item,) = component.operations
    assert (item.kind, item.weights, item.outputs) == ("layout", 96, 96)


def test_an_addition_reads_two_and_writes_one():
    class Add(nn.Module):
        def forward(self, x, y):
            return x + y

    item = only(Add(), (3, 4), (4,))
    assert (item.kind, item.flops, item.inputs, item.outputs) == ("elementwise", 12, 16, 12)


def test_in_place_operations_count_and_take_no_memory():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(2).relu_()

    component = trace_module(InPlace(), (torch.empty(5),))
    assert [item.kind for item in component.operations] == ["elementwise", "activation"]
    assert component.live == 5


def test_the_module_stays_as_it_is():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    weight = module[0].weight
    ops = operations(module, (2, 4))
    assert [item.layer for item in ops] == ["0"]  # dropout does nothing in evaluation mode
    assert module[0].weight is weight
    assert weight.device.type == "cpu"
    assert module.training
    assert not module[0]._forward_hooks
    assert not module[0]._forward_pre_hooks


def test_no_weight_is_needed():
    with torch.device("meta"):
        module = nn.Linear(1 << 20, 1 << 20)
    assert only(module, (1, 1 << 20)).macs == 1 << 40


def test_tensors_that_are_no_parameters_come_along():
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.ones(4)

        def forward(self, x):
            return x * self.table

    assert only(Holds(), (2, 4)).kind == "elementwise"


def test_bad_inputs_are_one_line():
    with pytest.raises(FpsimError, match="Linear cannot be traced with these inputs"):
        operations(nn.Linear(3, 2), (4, 5))


def test_values_cannot_be_looked_at():
    class Looks(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(FpsimError, match="depend on values") as caught:
        operations(Looks(), (3,))
    assert "\n" not in str(caught.value)
