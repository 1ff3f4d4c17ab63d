"""Coordinate descent on the exact form, and inputs that come from a quantized prefix."""

from __future__ import annotations

import pytest
import torch
from rounding_checks import direct, gram_of, layer

import fpsim
from fpsim import PerTensor, Quantizer
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.gram import Gram
from fpsim.quant.rounding.grid import rounding_grid
from fpsim.quant.rounding.learn import learn_rounding
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.polish import polish
from fpsim.quant.rounding.quadratic import quadratic

QUICK = RoundingOptions(iterations=150)


def test_polish_ends_where_no_flip_helps() -> None:
    module, w, x = layer("3x3")
    grid, form = rounding_grid(w, Quantizer("e2m1")), quadratic(gram_of(module, x.double()), w)
    lower, upper, exact = (as_matrices(v.double(), 1) for v in (grid.lower, grid.upper, w))
    up = as_matrices(grid.goes_up(), 1)
    error = torch.where(up, upper, lower) - exact
    found = polish(form, error, up, upper - lower, sweeps=100)
    final = torch.where(found, upper, lower) - exact
    rows = form.rows(final)
    assert (rows <= form.rows(error)).all()
    assert float(rows.sum()) < 0.8 * float(form.rows(error).sum())
    for k in range(final.shape[-1]):
        flipped = final.clone()
        flipped[..., k] += torch.where(found[..., k], lower[..., k] - upper[..., k], upper[..., k] - lower[..., k])
        assert (form.rows(flipped) >= rows * (1 - 1e-9)).all()


def test_a_quantized_prefix_is_compensated() -> None:
    """With its inputs wrong, the best rounding is not that of right ones."""
    module, w, x = layer("linear")
    seen = fpsim.quantize(x, "e2m1")
    quantizer = Quantizer("e2m1", PerTensor()).fit(w)
    target = direct(module, x, w)

    def error(gram: Gram) -> float:
        rounded = learn_rounding(w, quantizer, gram, QUICK).weight
        return float((direct(module, seen, rounded) - target).square().mean())

    crossed = learn_rounding(w, quantizer, gram_of(module, seen, x), QUICK)
    assert crossed.loss_after == pytest.approx(error(gram_of(module, seen, x)), rel=1e-5)
    assert error(gram_of(module, seen, x)) < error(gram_of(module, x))
