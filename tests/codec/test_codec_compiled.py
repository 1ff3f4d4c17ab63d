"""The backend ``torch-compile``: the bits of the other twins, without another compilation for another seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from codec_mode_cases import by_name, by_twin, conversion, disagreement, numbers
from codec_oracle import differences
from torch._dynamo.utils import counters

import fpsim
from fpsim.codec.torch.twin import constants, rounded, zero_of
from fpsim.number.conversion import DEFAULT, Conversion, Rounding


def _compiler() -> str:
    """Why nothing can be compiled here, or an empty string."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        return f"torch finds no C++ compiler: {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(_compiler()), reason=_compiler() or "there is one")
#: Each takes seconds to compile. Every mode once, each policy, each formulation.
CASES: list[tuple[str, Conversion]] = [
    *(("e4m3", conversion(mode, policy)) for mode, policy in zip(Rounding, ("special", "saturate") * 4, strict=False)),
    ("e5m2", conversion("toward-positive", "special")),
    ("e5m2", conversion("ties-to-even", "propagate")),
    ("int8", conversion("stochastic", nan="max", bits=9)),
    ("int8", DEFAULT),
    ("bfloat16", conversion("to-odd")),
    ("e3m0", DEFAULT),
]


def ids(value: object) -> str:
    return value if isinstance(value, str) else str(value).replace(" ", "-")


@pytest.mark.parametrize(("name", "how"), CASES, ids=ids)
def test_it_equals_the_specification_and_the_other_twins(name: str, how: Conversion) -> None:
    """Also where the number of elements changes: the code is for any."""
    fmt = fpsim.format(name)
    x = numbers(fmt, np.float32, 250)
    for part in (x, x[:37]):
        assert not disagreement(by_twin("torch-compile"), fmt, part, how)
        assert not differences(by_twin("torch-compile")(part, fmt, how), by_twin("torch")(part, fmt, how), part)


def test_it_equals_numba_on_tensors_of_any_type_and_layout() -> None:
    """By the public function; the code is that of the test before."""
    how = conversion("stochastic", "special" if list(Rounding).index(Rounding.STOCHASTIC) % 2 == 0 else "saturate")
    x = torch.from_numpy((np.random.default_rng(1).normal(size=(16, 50)) * 200).astype(np.float32))
    for view in (x, x.t().contiguous().t(), x.half(), x.bfloat16()):
        y = by_name("torch-compile", view, "e4m3", how)
        assert y.dtype == view.dtype
        assert torch.equal(y.nan_to_num(9e9), by_name("numba", view, "e4m3", how).nan_to_num(9e9))
    in_place = x.clone()
    assert by_name("torch-compile", in_place, "e4m3", how, out=in_place) is in_place
    assert torch.equal(in_place.nan_to_num(9e9), by_name("torch", x, "e4m3", how).nan_to_num(9e9))


@pytest.fixture
def counted() -> Iterator[None]:
    """Compilations are counted from zero."""
    counters.clear()
    yield
    counters.clear()


@pytest.mark.usefixtures("counted")
def test_another_seed_or_length_needs_no_other_code() -> None:
    """The seed is data."""
    fmt = fpsim.format("e2m3")
    x = (np.random.default_rng(2).normal(size=600) * 3).astype(np.float32)
    results = []
    for seed, count in product((1, 2, 1 << 63), (600, 400)):
        how = conversion("stochastic", bits=16, seed=seed)
        assert not disagreement(by_twin("torch-compile"), fmt, x[:count], how)
        results.append(by_twin("torch-compile")(x[:400], fmt, how))
    assert not np.array_equal(results[0], results[2])
    assert counters["stats"]["unique_graphs"] == 1


def test_scales_zero_points_and_blocks() -> None:
    """Scales of a row each, which blocks have too, and a zero point for each column."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 70)).astype(np.float32)
    wanted = by_name("numpy", x, "mxfp4", conversion("toward-zero"))
    assert not differences(by_name("torch-compile", x[:, :64], "mxfp4", conversion("toward-zero")), wanted[:, :64], x)
    scale, zero = rng.uniform(0.1, 0.4, (1, 70)).astype(np.float32), rng.integers(0, 15, (1, 70)).astype(np.float32)
    fmt, how = fpsim.format("uint4"), conversion("toward-positive")
    same = [by_twin(twin, scale, zero)(x, fmt, how) for twin in ("torch-compile", "torch", "numba")]
    assert not differences(same[0], same[1], x)
    assert not differences(same[0], same[2], x)


def test_formats_with_a_table_are_rounded_too() -> None:
    for name, how in product(("nf4", "e8m0"), (DEFAULT, conversion("toward-zero"), conversion("stochastic"))):
        fmt = fpsim.format(name)
        assert not disagreement(by_twin("torch-compile"), fmt, numbers(fmt, np.float32, 200), how)


def test_the_formula_can_be_part_of_a_users_compiled_function() -> None:
    """Traced whole, fused with what surrounds it, and the same bits."""
    fmt = fpsim.format("e3m4")
    p, how = constants(fmt, 32, DEFAULT), DEFAULT

    @torch.compile(fullgraph=True, dynamic=True)
    def activation(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        positive = torch.relu(x)
        return rounded(positive / scale, p, scale, None, how, None) * scale + zero_of(p)

    x = torch.from_numpy((np.random.default_rng(3).normal(size=(9, 70)) * 10).astype(np.float32))
    y = activation(x, torch.ones(1, 1))
    assert torch.equal(y, fpsim.quantize(torch.relu(x), fmt))


def test_without_a_compiler_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    with config.patch({"cpp.cxx": ("/no/such/compiler",), "force_disable_caches": True}):
        with pytest.raises(fpsim.FpsimError, match=r"torch-compile needs a C\+\+ compiler"):
            fpsim.quantize(torch.ones(3), "e2m5", rounding="to-odd", backend="torch-compile")
