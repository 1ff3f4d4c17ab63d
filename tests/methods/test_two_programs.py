"""Weights and activations under budgets of their own: one program, or MixDQ's two, choose the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.solve import solve

LAYERS, FORMATS = tuple("abcdefgh"), ("2", "4", "8")
BITS = np.array([2, 4, 8])


@pytest.mark.parametrize("bins", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_one_program_is_two(seed: int, bins: int) -> None:
    source = np.random.default_rng(seed)
    sizes, inputs = source.integers(10, 99, (2, len(LAYERS)))
    harm = source.uniform(size=(len(LAYERS), 3)) * 4.0**-BITS
    acts = source.uniform(size=(len(LAYERS), 3, bins)) * 4.0 ** -BITS[:, None]
    bits = np.repeat((inputs[:, None] * BITS)[..., None], bins, axis=2)
    weights = Budget(name="weights", unit="bits", limit=int(4.3 * sizes.sum()), weights=sizes[:, None] * BITS, fixed=0)
    inner = Budget(name="acts", unit="bits", limit=int(5.1 * bins * inputs.sum()), acts=bits, fixed=0)
    both = Problem(layers=LAYERS, weights=FORMATS, harm=harm, acts=FORMATS, harm_acts=acts, budgets=(weights, inner))
    one = solve(both, gap=0)
    first = solve(replace(both, acts=(), harm_acts=None, budgets=(weights,)), gap=0)
    second = solve(replace(both, weights=("8",), harm=np.zeros((len(LAYERS), 1)), budgets=(inner,)), gap=0)
    assert one.weights.tolist() == first.weights.tolist()
    assert one.acts is not None
    assert second.acts is not None
    assert one.acts.tolist() == second.acts.tolist()
    assert one.harm == pytest.approx(first.harm + second.harm, rel=1e-12)
    assert len(set(one.weights.tolist())) > 1
