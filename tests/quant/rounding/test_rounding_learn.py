"""Learned rounding of a layer: never worse than nearest, mostly much better, always on the grid, always the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from rounding_checks import LAYERS, direct, gram_of, layer

from fpsim import FpsimError, PerBlock, PerChannel, PerTensor, Quantizer
from fpsim.quant.rounding.gram import Gram
from fpsim.quant.rounding.grid import on_grid, rounding_grid
from fpsim.quant.rounding.learn import learn_rounding
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic
from fpsim.quant.rounding.regularizer import Schedule

QUICK = RoundingOptions(iterations=150)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0)], ids=str)
def test_every_layer_of_a_toy_net(granularity: Any) -> None:
    ratios = []
    for case in LAYERS:
        module, w, x = layer(case)
        quantizer = Quantizer("e2m1", granularity).fit(w)
        found = learn_rounding(w, quantizer, gram_of(module, x), QUICK)
        exact = direct(module, x, w)
        ours, theirs = (float((direct(module, x, v) - exact).square().mean()) for v in (found.weight, quantizer(w)))
        assert found.loss_after == pytest.approx(ours, rel=1e-5)
        assert found.loss_before == pytest.approx(theirs, rel=1e-5)
        assert ours <= theirs
        assert torch.equal(quantizer(found.weight), found.weight)
        grid = rounding_grid(w, quantizer)
        assert ((found.weight == grid.lower) | (found.weight == grid.upper)).all()
        assert 0 < found.changed < 0.5
        assert found.changed == pytest.approx(float((found.weight != quantizer(w)).double().mean()))
        ratios.append(ours / theirs)
    assert sum(ratio <= 0.9 for ratio in ratios) >= 5


#: Settings of the paper, of AdaRound and of FP4DiT; all reductions.
SETTINGS = {
    "printed": RoundingOptions(
        iterations=300, lr=1e-2, kind="sigmoid", reduction="mean", polish=0,
        schedule=Schedule(weight=1e-5, beta_start=20, beta_end=20, warmup=0),
    ),
    "adaround": RoundingOptions(
        iterations=300, lr=1e-2, reduction="sum", polish=0, schedule=Schedule(weight=1e-3)
    ),
    "scale-aware": RoundingOptions(iterations=300, scale_aware=True, polish=0),
    "plain": RoundingOptions(iterations=300, polish=0),
    "descent alone": RoundingOptions(iterations=0),
    "both": RoundingOptions(iterations=300),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_lower_the_error(case: str) -> None:
    module, w, x = layer("wide")
    found = learn_rounding(w, Quantizer("e2m1", PerTensor(), "max"), gram_of(module, x), SETTINGS[case])
    # The printed exponent, constantly 20, presses too late on positions that are not near the ends.
    assert found.loss_after < (0.98 if case == "printed" else 0.9) * found.loss_before
    assert len(found.history) == min(SETTINGS[case].iterations, 20)
    if found.history:
        assert found.history[0][1] < 1e-4  # soft weights start at the weight itself


def test_polish_helps_and_scale_aware_is_another_path() -> None:
    module, w, x = layer("wide")
    quantizer, gram = Quantizer("e2m1", PerTensor()).fit(w), gram_of(module, x)
    found = {case: learn_rounding(w, quantizer, gram, SETTINGS[case]) for case in ("plain", "scale-aware", "both")}
    assert found["both"].loss_after < found["plain"].loss_after
    assert not torch.equal(found["plain"].weight, found["scale-aware"].weight)


@pytest.mark.parametrize(
    ("name", "granularity"),
    [("int4", PerChannel(0)), ("uint4", PerChannel(0)), ("nf4", PerTensor()), ("mxfp4", PerBlock(32, 1)),
     ("nvfp4", PerBlock(16, 1)), ("e3m4", PerTensor()), ("e2m1", PerBlock(4, 1))],
)  # fmt: skip
def test_other_formats(name: str, granularity: Any) -> None:
    module, w, x = layer("1x1")
    quantizer = Quantizer(name, granularity, "max" if isinstance(granularity, PerTensor) else "mse")
    found = learn_rounding(w, quantizer, gram_of(module, x), QUICK)
    assert found.loss_after < found.loss_before
    assert on_grid(found.weight, w, quantizer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types(dtype: torch.dtype) -> None:
    module, w, x = layer("linear", dtype)
    quantizer = Quantizer("e2m1").fit(w)
    found = learn_rounding(w, quantizer, gram_of(module, x.to(dtype)), QUICK)
    assert found.weight.dtype == dtype
    assert torch.equal(quantizer(found.weight), found.weight)
    assert found.loss_after < found.loss_before


def test_it_is_deterministic_and_tells_its_progress() -> None:
    module, w, x = layer("3x3")
    told: list[tuple[int, int]] = []
    gram = gram_of(module, x)
    first = learn_rounding(w, Quantizer("e2m1"), gram, QUICK, lambda *a: told.append(a))
    again = learn_rounding(w, Quantizer("e2m1"), gram, QUICK)
    assert torch.equal(first.weight, again.weight)
    assert first.history == again.history
    assert told == [(i, 150) for i in range(1, 151)]


def test_nearest_is_kept_where_nothing_is_better() -> None:
    """With uncorrelated inputs of equal energy nearest is optimal."""
    w = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    gram = Gram(hessian=torch.eye(8, dtype=torch.float64)[None], cross=None, target=None, count=8)
    hostile = replace(QUICK, schedule=Schedule(weight=1e6), polish=0)
    quantizer = Quantizer("e2m1").fit(w)
    found = learn_rounding(w, quantizer, gram, hostile)
    assert torch.equal(found.weight, quantizer(w))
    assert (found.changed, found.kept_rows) == (0, 1)
    assert found.loss_after == found.loss_before


def test_inputs_of_zeros_change_nothing() -> None:
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    gram = Gram(hessian=torch.zeros(1, 4, 4, dtype=torch.float64), cross=None, target=None, count=5)
    quantizer = Quantizer("e2m1").fit(w)
    assert torch.equal(learn_rounding(w, quantizer, gram, QUICK).weight, quantizer(w))


def test_a_gram_matrix_of_another_layer_is_refused() -> None:
    module, _, x = layer("linear")
    with pytest.raises(FpsimError, match=r"weight of shape \[3, 5\] does not fit Gram matrices of 1 groups of 24"):
        learn_rounding(torch.ones(3, 5), Quantizer("e2m1"), gram_of(module, x))


def test_the_error_of_the_form_is_never_negative() -> None:
    module, w, x = layer("linear")
    form = quadratic(gram_of(module, x, x), w)
    assert mean_squared_error(form, torch.zeros(1, *w.shape)) == 0
