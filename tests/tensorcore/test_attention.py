"""Stacks of matrices through a tensor core."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fpsim.tensorcore import matmul
from fpsim.tensorcore.attention import batched_matmul
from fpsim.tensorcore.unit import TensorCore

CORE = TensorCore(arch="hopper", dtype="e4m3")


def integers(*shape: int, seed: int = 0) -> Tensor:
    """Values of e4m3."""
    return torch.randint(-16, 17, shape, generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize(("a", "b"), [((3, 8), (8, 5)), ((2, 3, 4, 8), (2, 3, 8, 5)), ((2, 3, 4, 8), (8, 5))])
def test_each_matrix_is_a_product_of_its_own(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    left, right = integers(*a), integers(*b, seed=1)
    found = batched_matmul(left, right, core=CORE)
    assert found.shape == (left @ right).shape
    last = matmul(
        left.reshape(-1, *a[-2:])[-1].numpy(), right.reshape(-1, *b[-2:])[-1].numpy(),
        arch="hopper", dtype="e4m3", pad=True,
    )  # fmt: skip
    assert found.reshape(-1, *found.shape[-2:])[-1].numpy().tobytes() == last.tobytes()
    assert torch.equal(found, left @ right)


def test_a_transposed_key_is_read_as_it_is() -> None:
    query, key = integers(2, 4, 8), integers(2, 6, 8, seed=1)
    assert torch.equal(batched_matmul(query, key.transpose(-2, -1), core=CORE), query @ key.transpose(-2, -1))


def test_the_scale_is_one_multiplication() -> None:
    a, b = integers(3, 40), integers(40, 5, seed=1)
    assert torch.equal(batched_matmul(a, b, 0.37, core=CORE), batched_matmul(a, b, core=CORE) * torch.tensor(0.37))
