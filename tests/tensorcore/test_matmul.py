"""Products of matrices: promotion, split K, padding, scales, integers, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fpsim
from fpsim.errors import FpsimError
from fpsim.tensorcore import architectures, dot, find_unit, matmul, units

HOPPER: dict[str, Any] = {"arch": "hopper", "dtype": "e4m3"}


def e4m3(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return fpsim.quantize(x, fpsim.format("e4m3"))


A, B = e4m3(5, 512, seed=1), e4m3(512, 6, seed=2)
C = np.random.default_rng(3).standard_normal((5, 6)).astype(np.float32)


def test_promotion_adds_partial_sums_in_float32() -> None:
    total = C
    for k in range(0, 512, 128):
        total = total + matmul(A[:, k : k + 128], B[k : k + 128], **HOPPER)
    assert np.array_equal(matmul(A, B, C, promote_every=128, **HOPPER), total)
    assert not np.array_equal(matmul(A, B, C, **HOPPER), total)


def test_promotion_helps() -> None:
    a, b = np.abs(e4m3(4, 4096, seed=5)), np.abs(e4m3(4096, 4, seed=6))
    exact = a.astype(float) @ b.astype(float)
    plain, promoted = (np.abs(matmul(a, b, promote_every=e, **HOPPER) - exact).max() for e in (None, 128))
    assert promoted < plain / 8


def test_split_k_adds_the_parts_in_order() -> None:
    parts = [matmul(A[:, k : k + 128], B[k : k + 128], C if k == 0 else None, **HOPPER) for k in range(0, 512, 128)]
    expected = ((parts[0] + parts[1]) + parts[2]) + parts[3]
    assert np.array_equal(matmul(A, B, C, split_k=4, **HOPPER), expected)


def test_the_last_promotion_may_be_shorter() -> None:
    expected = matmul(A[:, :384], B[:384], **HOPPER) + matmul(A[:, 384:], B[384:], **HOPPER)
    assert np.array_equal(matmul(A, B, promote_every=384, **HOPPER), expected)


@pytest.mark.parametrize("arch", ["hopper", "ada", "blackwell-sm100"])
def test_zeros_that_fill_k_up_change_nothing(arch: str) -> None:
    how = {"arch": arch, "dtype": "e4m3"}
    long = np.pad(A[:, :67], ((0, 0), (0, 29))), np.pad(B[:67], ((0, 29), (0, 0)))
    padded = matmul(A[:, :67], B[:67], C, pad=True, **how)
    assert np.array_equal(padded, matmul(*long, C, **how))
    assert np.array_equal(padded, matmul(*(np.pad(x, 32) for x in long), np.pad(C, 32), **how)[32:-32, 32:-32])


def test_padding_leaves_the_floor_alone() -> None:
    """The floor holds whatever there is, so zeros beside tiny products and an accumulator of 0 change nothing."""
    a = np.full((1, 8), 2.0**-70, np.float32)
    how = {"arch": "ampere", "dtype": "bf16"}
    assert matmul(a, a.T, **how) == matmul(a[:, :5], a[:, :5].T, pad=True, **how) * 8 / 5


def test_scales_of_padding_are_ones() -> None:
    how = {"arch": "blackwell-sm100", "dtype": "nvfp4"}
    ones, scales = np.ones((2, 48)), np.full((2, 3), 2.0)
    d = matmul(ones, ones.T, scale_a=scales, scale_b=scales.T, pad=True, **how)
    assert d.tolist() == [[192.0] * 2] * 2


def test_mx_blocks_equal_scaled_operands() -> None:
    """Where nothing is lost, scales are factors."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (3, 64)).astype(float), rng.integers(-3, 4, (64, 5)).astype(float)
    scale_a, scale_b = 2.0 ** rng.integers(-2, 3, (3, 2)), 2.0 ** rng.integers(-2, 3, (2, 5))
    exact = (a * np.repeat(scale_a, 32, 1)) @ (b * np.repeat(scale_b, 32, 0))
    for dtype in ("mxfp8-e4m3", "mxfp6-e2m3", "mxfp8-e5m2,mxfp6-e3m2"):
        d = matmul(a, b, scale_a=scale_a, scale_b=scale_b, arch="blackwell-sm100", dtype=dtype)
        assert np.array_equal(d, exact)


@pytest.mark.parametrize("arch", ["turing", "ampere", "ada", "hopper", "blackwell-sm100", "blackwell-sm120"])
def test_int8_is_exact_and_wraps(arch: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (4, 64)), rng.integers(-128, 128, (64, 3))
    d = matmul(a, b, arch=arch, dtype="int8")
    assert d.dtype == np.int32
    assert np.array_equal(d, a @ b)
    c = np.full((4, 3), 2**31 - 1)
    assert np.array_equal(matmul(a, b, c, arch=arch, dtype="int8"), (a @ b + c).astype(np.int32))
    assert np.array_equal(dot(a, b[:, :1].T.repeat(4, 0), arch=arch, dtype="int8"), (a @ b)[:, 0])


def test_inputs_of_any_float_type_and_layout() -> None:
    expected = matmul(A, B, **HOPPER)
    for dtype in (np.float16, np.float64):
        assert np.array_equal(matmul(A.astype(dtype), np.asfortranarray(B.astype(dtype)), **HOPPER), expected)
    before = A.copy(), B.copy(), C.copy()
    matmul(A, B, C, **HOPPER)
    assert all(np.array_equal(x, y) for x, y in zip(before, (A, B, C), strict=True))


def test_nothing_and_one_row() -> None:
    assert matmul(A[:0], B, **HOPPER).shape == (0, 6)
    assert np.array_equal(matmul(A[:1], B, **HOPPER), matmul(A, B, **HOPPER)[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "pascal"}, "architecture 'pascal' is not known; choose from volta, turing, ampere, ada, hopper, bl"),
        ({"arch": "ampere"}, "ampere takes no operands of e4m3; it takes fp16, bf16, tf32, int8"),
        ({"instruction": "tcgen05"}, "hopper has no instruction 'tcgen05'; it has wgmma, mma"),
        ({"dtype": "e4m3,fp16"}, "hopper takes no operands of e4m3 with fp16; it takes "),
        ({"dtype": "bf16", "accumulator": "fp16"}, "accumulator 'fp16': wgmma on hopper with bf16 has fp32"),
        ({"a": A[:, :48], "b": B[:48]}, "K is 48; wgmma on hopper takes a K of 32 of e4m3, so multiples of 32; pad=Tr"),
        ({"a": A[:, :0], "b": B[:0]}, "K is 0; wgmma on hopper takes a K of 32 of e4m3, so multiples of 32"),
        ({"a": A[0]}, r"a has shape \(512,\) and b \(512, 6\); give \[M, K\] and \[K, N\]"),
        ({"b": B[:256]}, r"a has shape \(5, 512\) and b \(256, 6\); give \[M, K\] and \[K, N\]"),
        ({"c": C[0]}, r"c has shape \(6,\); the result has \(5, 6\)"),
        ({"a": A + 0.01}, r"a\[0, 0\] is .*, which e4m3 does not hold; quantize to e4m3 first"),
        ({"b": np.full((512, 6), np.inf)}, r"b\[0, 0\] is inf, which e4m3 does not hold"),
        ({"a": A.astype(complex)}, "a holds complex128; give float16, float32 or float64 numbers"),
        ({"promote_every": 100}, "promote_every is 100; wgmma on hopper takes a K of 32 .*: give one of those"),
        ({"promote_every": 0}, "promote_every is 0; give a multiple of 32, such as 128"),
        ({"split_k": 3}, "split_k is 3: K = 512 has no so many equal parts; wgmma on hopper takes a K of 32"),
        ({"scale_a": [[1.0]]}, "e4m3 has no block scales; drop scale_a and scale_b"),
        ({"group": 6}, "group 6 is no multiple of 4 that divides the K of wgmma, 32"),
    ],
)
def test_bad_input_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match=message) as error:
        matmul(**({"a": A, "b": B, **HOPPER} | changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "mxfp8-e4m3 has a scale for each 32 elements of K; give scale_a"),
        ({"scale_a": np.ones((2, 3))}, r"scale_a has shape \(2, 3\); mxfp8-e4m3 has a scale .*: \(2, 2\)"),
        ({"scale_a": np.full((2, 2), 3.0)}, r"scale_a\[0, 0\] is 3.0, which e8m0 does not hold"),
        ({"scale_a": np.zeros((2, 2))}, r"scale_a\[0, 0\] is 0.0, which e8m0 does not hold"),
    ],
)
def test_bad_scales(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match=message):
        matmul(np.ones((2, 64)), np.ones((64, 2)), arch="blackwell-sm100", dtype="mxfp8-e4m3", **changes)


def test_nvfp4_scales_have_no_sign() -> None:
    scales = -np.ones((2, 4))
    with pytest.raises(FpsimError, match="E4M3 without sign"):
        matmul(
            np.ones((2, 64)), np.ones((64, 2)), scale_a=scales, scale_b=-scales.T, arch="blackwell-sm100", dtype="nvfp4"
        )


@pytest.mark.parametrize(
    ("a", "b", "c", "how", "message"),
    [
        (A, A[:, :64], None, HOPPER, r"a has shape \(5, 512\) and b \(5, 64\); give two of one shape \[N, K\]"),
        (A[:, :40], A[:, :40], None, HOPPER, "K is 40; wgmma on hopper takes a K of 32 of e4m3, so multiples of 32"),
        (A, A, np.float32([1e-9] * 5), HOPPER | {"accumulator": "fp16"}, r"c\[0\] is 1e-09, which fp16 does not hold"),
        ([[0.5] * 16], [[1] * 16], None, {"arch": "ampere", "dtype": "int8"}, r"a\[0, 0\] is 0.5, which int8 does not"),
        ([[1] * 16], [[128] * 16], None, {"arch": "ampere", "dtype": "int8"}, r"b\[0, 0\] is 128, which int8 does not"),
    ],
)
def test_bad_input_of_dot(a: Any, b: Any, c: Any, how: Any, message: str) -> None:
    with pytest.raises(FpsimError, match=message):
        dot(a, b, c, **how)


def test_every_unit_is_sound() -> None:
    for unit in units():
        assert unit.arch in architectures()
        assert unit.confidence in ("verified on recorded data", "MMA-Sim only", "disputed")
        assert unit.source
        assert all(k % unit.step == 0 and unit.step % unit.group == 0 for k in unit.k)
        for name in unit.inputs:
            for accumulator in unit.accumulators:
                assert find_unit(unit.arch, name, unit.instruction, accumulator).takes((name, name))
    assert find_unit("hopper", "e4m3").instruction == "wgmma"
    assert [unit.arch for unit in units() if unit.confidence == "disputed"] == ["turing"]
