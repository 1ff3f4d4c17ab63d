"""The network orthogonality metric against its definition on features, its invariances and hand cases."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim.errors import FpsimError
from fpsim.measure import orthogonality as om
from fpsim.measure.projection import projection, standard_error


def direct(features: list[np.ndarray]) -> np.ndarray:
    """‖Fⱼᵀ Fᵢ‖² / (‖Fᵢᵀ Fᵢ‖ ‖Fⱼᵀ Fⱼ‖) on centred features, with d × d matrices in float64."""
    centred = [f.reshape(len(f), -1) - f.reshape(len(f), -1).mean(axis=0) for f in features]
    own = [np.linalg.norm(f.T @ f) for f in centred]
    return np.array(
        [
            [np.linalg.norm(b.T @ a) ** 2 / (own[i] * own[j]) for j, b in enumerate(centred)]
            for i, a in enumerate(centred)
        ]
    )


def layers(seed: int, count: int = 4, inputs: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(inputs, 3))
    return [
        shared @ rng.normal(size=(3, width)) * rng.random() * 2 + rng.normal(size=(inputs, width)) + 5
        for width in rng.integers(1, 20, count)
    ]


def orm(features: list[np.ndarray]) -> np.ndarray:
    return om.orthogonality(np.stack([om.gram(f) for f in features]), np.array([om.energy(f) for f in features]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
@settings(deadline=None, max_examples=50)
def test_equals_the_definition(seed: int, inputs: int) -> None:
    features = layers(seed, inputs=inputs)
    np.testing.assert_allclose(orm(features), direct(features), rtol=1e-9, atol=1e-12)


def test_images_in_float32_and_long_features() -> None:
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(5, 3, 7, 7)), rng.normal(size=(5, 150_000)) + 100]
    single = [f.astype(np.float32) for f in features]
    expected = [f.astype(np.float64) for f in single]
    hand = [(f - f.mean(axis=0)).reshape(5, -1) for f in expected]
    grams = np.stack([f @ f.T for f in hand])
    np.testing.assert_allclose([om.gram(f) for f in single], grams, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(orm(single), om.orthogonality(grams), rtol=1e-8)
    assert om.energy(single[1]) == pytest.approx(np.square(expected[1]).sum(), rel=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_orthogonal_transformations_scales_and_shifts_change_nothing(seed: int) -> None:
    rng, features = np.random.default_rng(seed), layers(seed)
    changed = []
    for f in features:
        q, _ = np.linalg.qr(rng.normal(size=(f.shape[1], f.shape[1])))
        changed.append(10.0 ** rng.uniform(-3, 3) * (f @ q) + rng.normal(size=f.shape[1]))
    np.testing.assert_allclose(orm(changed), orm(features), rtol=1e-6, atol=1e-9)


def test_hand_cases() -> None:
    x = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    first, second = x[:, :1], x[:, 1:]
    found = orm([x, first, second, 3 * first + 7])
    root = 1 / np.sqrt(2)
    expected = [[1, root, root, root], [root, 1, 0, 1], [root, 0, 1, 0], [root, 1, 0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    np.testing.assert_allclose(om.redundancy(found), np.array(expected).sum(axis=1) - 1, atol=1e-15)


def test_a_layer_that_does_not_see_the_input() -> None:
    """Such as a time embedding; float32 leaves differences of 1e-7, which are no correlation."""
    rng = np.random.default_rng(0)
    blind = np.repeat(rng.normal(size=(1, 50)), 6, axis=0) * (1 + 1e-7 * rng.normal(size=(6, 50)))
    found = orm([rng.normal(size=(6, 4)), blind, rng.normal(size=(6, 4)), np.zeros((6, 3))])
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(found[:, [1, 3]]).all()
    assert np.isfinite(found[np.ix_([0, 2], [0, 2])]).all()
    gamma = om.redundancy(found)
    assert np.isnan(gamma).tolist() == [False, True, False, True]
    theta = om.importance(gamma, 1.0)
    assert theta[1] == theta[3] == pytest.approx((theta[0] + theta[2]) / 2)


GAMMAS = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 1.0]])


def test_aggregations_by_hand() -> None:
    e = np.exp(-0.5 * GAMMAS)
    mean = e.mean(axis=0)
    np.testing.assert_allclose(om.importance(GAMMAS, 0.5, "mean-of-exp"), mean / mean.max())
    np.testing.assert_allclose(om.importance(GAMMAS, 0.5, "per-timestep"), e / e.max())
    once = np.exp(-0.5 * GAMMAS.mean(axis=0))
    np.testing.assert_allclose(om.importance(GAMMAS, 0.5, "exp-of-mean"), once / once.max())
    assert set(om.AGGREGATIONS) == {"mean-of-exp", "exp-of-mean", "per-timestep"}


def test_importance_does_not_underflow() -> None:
    theta = om.importance(np.array([[400.0, 401.0, 900.0]]), 10.0)
    np.testing.assert_allclose(theta[:2], [1, np.exp(-10)])
    assert np.isfinite(theta).all()


def test_automatic_beta_spans_a_few_factors_of_e() -> None:
    assert om.automatic_beta(GAMMAS * 7) == pytest.approx(1 / np.std(GAMMAS.mean(axis=0) * 7))
    assert om.automatic_beta(np.ones((2, 3))) == 1.0


def test_weights_of_bits() -> None:
    theta = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(om.later_mean(theta), [[2.0, 1.5, 2.0], [1.0, 1.0, 1.0]])


def test_projection_keeps_products_within_its_stated_error() -> None:
    """Unbiased, with at most the stated deviation, which the worst pair nearly reaches."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(2, 3000))
    u[1] += u[0]
    exact = u @ u.T / np.sqrt(np.outer(np.diag(u @ u.T), np.diag(u @ u.T)))
    found = []
    for seed in range(400):
        small = projection(3000, 128, seed)(u)
        found.append(small @ small.T * exact / (u @ u.T))
    deviation = np.std(found, axis=0)
    assert np.abs(np.mean(found, axis=0) - exact).max() < 4 * standard_error(128) / np.sqrt(400)
    assert deviation.max() <= 1.15 * standard_error(128)
    assert deviation.max() >= 0.85 * standard_error(128)


def test_orthogonality_of_projected_features() -> None:
    """Centring commutes with it; four times the size halves the error."""
    features = [np.random.default_rng(i).normal(size=(16, 4000)) + 3 for i in range(2)]
    features.append(features[0] + 0.5 * features[1])
    exact, errors = orm(features), []
    for size in (256, 4096):
        found = [orm([projection(4000, size, 10 * s + i)(f) for i, f in enumerate(features)]) for s in range(8)]
        errors.append(float(np.sqrt(np.mean((np.array(found) - exact) ** 2))))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 3 * standard_error(4096)


REFUSED = {
    "one input": (lambda: om.orthogonality(np.ones((2, 1, 1))), "one input has no correlation"),
    "shape": (lambda: om.orthogonality(np.ones((2, 3))), "[2, 3], but [layers, inputs, inputs] is needed"),
    "aggregation": (lambda: om.importance(GAMMAS, 1.0, "mean"), "aggregation 'mean' is not one of mean-of-exp"),
    "beta": (lambda: om.importance(GAMMAS, 0.0), "beta is 0.0; give a number above 0"),
    "no layer": (lambda: om.importance(np.full((1, 2), np.nan), 1.0), "no layer's output depends on the input"),
    "projection": (lambda: projection(4, 0, 0), "a projection onto 0 numbers"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(call: object, message: str) -> None:
    with pytest.raises(FpsimError, match=re.escape(message)):
        call()  # type: ignore[operator]
