"""8-bit integers, signed and unsigned: exact sums that wrap or stop, zero points, and what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.tensorcore import dot, find_unit, matmul, units
from fpsim.tensorcore import reference_integers as reference
from fpsim.tensorcore.integer_types import LARGEST, LEAST, RANGES
from fpsim.tensorcore.layers import conv1d, conv2d, linear
from fpsim.tensorcore.unit import Grid, TensorCore
from fpsim.tensorcore.zero_points import removed

PAIRS = list(product(RANGES, repeat=2))
UNITS = [unit for unit in units() if "int32" in unit.accumulators]
pairs = pytest.mark.parametrize("types", PAIRS, ids=["x".join(pair) for pair in PAIRS])
few = budget(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def integers(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Numbers of a type, its ends often."""
    low, high = RANGES[name]
    values = rng.integers(low, high + 1, shape)
    return np.where(rng.random(shape) < 0.3, rng.choice([low, high], shape), values)


def specified(a: Any, b: Any, c: Any, step: int | None) -> list[int]:
    return [reference.dot(*row, step=step) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.arch}.{unit.instruction}")
@pairs
def test_every_architecture_multiplies_every_pair(unit: Any, types: tuple[str, str]) -> None:
    assert find_unit(unit.arch, types, unit.instruction) == unit
    rng = np.random.default_rng(0)
    a, b = (integers(rng, name, (20, 2 * unit.step)) for name in types)
    c = rng.integers(LEAST, LARGEST + 1, 20)
    how: dict[str, Any] = {"arch": unit.arch, "dtype": types, "instruction": unit.instruction}
    assert dot(a, b, c, **how).tolist() == specified(a, b, c, None)
    wanted = [[reference.dot(row, column) for column in b.tolist()] for row in a.tolist()]
    assert matmul(a, b.T, **how).tolist() == wanted


@pairs
@few
@given(seed=seeds, k=st.sampled_from([16, 32, 48, 64, 96]), near=st.integers(-300_000, 300_000))
def test_sums_stop_at_the_ends_after_each_instruction(types: tuple[str, str], seed: int, k: int, near: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (integers(rng, name, (6, k)) for name in types)
    c = np.clip(rng.choice([LEAST, LARGEST], 6) + near * rng.choice([0, 1], 6), LEAST, LARGEST)
    step = 32 if k % 32 == 0 else 16
    how: dict[str, Any] = {"arch": "ampere", "dtype": types, "satfinite": True}
    found = dot(a, b, c, **how)
    assert found.dtype == np.int32
    assert found.tolist() == specified(a, b, c, step)
    assert matmul(a, b.T, np.broadcast_to(c[:, None], (6, 6)), **how).diagonal().tolist() == found.tolist()
    assert dot(a, b, c, group=8, **how).tolist() == specified(a, b, c, 8)


def test_a_limit_is_no_wrap_and_comes_after_the_instruction() -> None:
    """Up by 32·255·127 and down again: within one instruction nothing is lost, over two the limit is where it turns."""
    a, b = np.full((1, 64), 255), np.full((1, 64), 127)
    b[:, 32:] = -127
    how: dict[str, Any] = {"arch": "hopper", "dtype": "uint8,int8"}
    assert dot(a, b, [LARGEST], **how) == [LARGEST]
    assert dot(a, b, [LARGEST], satfinite=True, **how) == [LARGEST - 32 * 255 * 127]
    mixed = np.where(np.arange(64) % 2, 127, -127)[None]
    assert dot(a, mixed, [LARGEST], satfinite=True, **how) == [LARGEST]
    assert dot(a, np.abs(b), [LARGEST], satfinite=True, **how) == [LARGEST]
    assert dot(a, np.abs(b), [LARGEST], **how) == [reference.wrapped(LARGEST + 64 * 255 * 127)]


def test_the_sum_of_parts_that_cannot_reach_the_ends_is_one_sum() -> None:
    rng = np.random.default_rng(1)
    a, b = integers(rng, "uint8", (5, 512)), integers(rng, "int8", (512, 7))
    how: dict[str, Any] = {"arch": "ampere", "dtype": "uint8,int8"}
    assert np.array_equal(matmul(a, b, satfinite=True, **how), a @ b)


@few
@given(seed=seeds, types=st.sampled_from(PAIRS), far=st.booleans())
def test_zero_points_are_taken_away_exactly(seed: int, types: tuple[str, str], far: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = integers(rng, types[0], (4, 24)), integers(rng, types[1], (24, 3))
    reach = 1 << 20 if far else 256
    a_zero, b_zero = rng.integers(-reach if far else 0, reach, 4), rng.integers(-reach if far else 0, reach, 3)
    codes = (a @ b).astype(np.int32)
    found = removed(codes, a, b, a_zero, b_zero)
    exact = (a - a_zero[:, None]) @ (b - b_zero)
    assert found.dtype == np.int32
    assert np.array_equal(found, exact.astype(np.int32))
    for i, j in np.ndindex(4, 3):
        row, column = a[i].tolist(), b[:, j].tolist()
        assert found[i, j] == reference.dot_of_codes(row, column, int(a_zero[i]), int(b_zero[j]))
    assert np.array_equal(removed(codes, a, b, a_zero[:1], None), ((a - a_zero[0]) @ b).astype(np.int32))
    assert np.array_equal(removed(codes, a, b, None, b_zero[:1]), (a @ (b - b_zero[0])).astype(np.int32))
    assert removed(codes, a, b, None, None) is codes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "int8,uint8"}, r"a\[0, 0\] is 255, which int8 does not hold"),
        ({"b": np.full((16, 2), -1), "dtype": "uint8"}, r"b\[0, 0\] is -1, which uint8 does not hold"),
        ({"a": np.full((2, 16), np.nan)}, r"a\[0, 0\] is nan, which uint8 does not hold"),
        ({"arch": "volta"}, "volta takes no operands of uint8 with int8; it takes fp16"),
        ({"dtype": "uint8,fp16"}, "ampere takes no operands of uint8 with fp16"),
        ({"satfinite": True, "split_k": 2}, "satfinite limits each instruction's sum; drop promote_every and split_k"),
        ({"satfinite": True, "promote_every": 16}, "satfinite limits each instruction's sum; drop promote_every"),
        ({"satfinite": True, "dtype": "fp16"}, "satfinite is for int32 sums; those of fp16 are fp32: drop it"),
        ({"c": np.full((2, 2), 2**31)}, r"c\[0, 0\] is 2147483648, which int32 does not hold"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    given = {"a": np.full((2, 16), 255), "b": np.ones((16, 2)), "arch": "ampere", "dtype": "uint8,int8"}
    with pytest.raises(FpsimError, match=message) as error:
        matmul(**(given | changes))
    assert "\n" not in str(error.value)


def test_turing_has_no_instruction_of_32() -> None:
    """m16n8k16 and m16n8k32 need sm_80; sm_75 has m8n8k16."""
    assert find_unit("turing", "uint8,int8").k == (16,)
    assert find_unit("ampere", "uint8,int8").k == (16, 32)


CORE = TensorCore(arch="hopper", dtype="uint8")
MIXED = TensorCore(arch="hopper", dtype="uint8,int8")


def codes(*shape: int, seed: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("points", [[128], [3, 250]])
def test_a_linear_layer_of_codes_is_that_of_differences(points: list[int]) -> None:
    x, w = codes(2, 5, 40, seed=0), codes(3, 40, seed=1)
    a_zero, b_zero = torch.tensor(points), torch.tensor([7, 0, 255])
    found = linear(Grid(x, zero=a_zero), Grid(w, zero=b_zero), core=CORE)
    differences = x - a_zero.reshape(-1, 1, 1), w - b_zero.reshape(-1, 1)
    assert torch.equal(found.double(), F.linear(*(part.double() for part in differences)))


@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}, {"padding": "same", "groups": 2}], ids=str)
@pytest.mark.parametrize("points", [[100], [3, 250]])
def test_a_convolution_pads_with_its_zero_point(points: list[int], options: dict[str, Any]) -> None:
    x, w = codes(2, 4, 6, 5, seed=0), codes(6, 4 // options.get("groups", 1), 3, 3, seed=1)
    a_zero, b_zero = torch.tensor(points), torch.tensor([0, 1, 2, 100, 254, 255])
    found = conv2d(Grid(x, zero=a_zero), Grid(w, zero=b_zero), core=CORE, **options)
    differences = x - a_zero.reshape(-1, 1, 1, 1), w - b_zero.reshape(-1, 1, 1, 1)
    assert torch.equal(found.double(), F.conv2d(*(part.double() for part in differences), **options))
    signed = w - 128
    found = conv2d(Grid(x, zero=a_zero), Grid(signed), core=MIXED, **options)
    assert torch.equal(found.double(), F.conv2d(differences[0].double(), signed.double(), **options))
    one = conv2d(Grid(x[0], zero=a_zero[:1]), Grid(w, zero=b_zero), core=CORE, **options)
    assert torch.equal(
        one.double(), F.conv2d(*(part.double() for part in (x[0] - a_zero[0], differences[1])), **options)
    )


def test_a_convolution_along_one_axis_keeps_its_zero_points() -> None:
    x, w, zero = codes(2, 4, 9, seed=0), codes(3, 4, 3, seed=1) - 128, torch.tensor([9, 200])
    found = conv1d(Grid(x, zero=zero), Grid(w), core=MIXED, padding=1)
    assert torch.equal(found.double(), F.conv1d((x - zero.reshape(-1, 1, 1)).double(), w.double(), padding=1))


@pytest.mark.parametrize("point", [-1, 256])
def test_padding_needs_a_code_for_0(point: int) -> None:
    x, w, zero = codes(1, 4, 5, 5, seed=0), codes(3, 4, 3, 3, seed=1) - 128, torch.tensor([point])
    with pytest.raises(FpsimError, match=f"zero point {point} is no 8-bit code, so that a convolution has no code"):
        conv2d(Grid(x, zero=zero), Grid(w), core=MIXED, padding=1)
    found = conv2d(Grid(x, zero=zero), Grid(w), core=MIXED)
    assert torch.equal(found.double(), F.conv2d((x - point).double(), w.double()))


def test_pieces_have_their_samples_zero_points(monkeypatch: pytest.MonkeyPatch) -> None:
    from fpsim.tensorcore import unfold

    x, w, zero = codes(3, 4, 6, 5, seed=0), codes(3, 4, 3, 3, seed=1), torch.tensor([5, 100, 200])
    whole = conv2d(Grid(x, zero=zero), Grid(w), core=CORE, padding=1)
    monkeypatch.setattr(unfold, "LARGEST_PIECE", 400)
    assert torch.equal(conv2d(Grid(x, zero=zero), Grid(w), core=CORE, padding=1), whole)
