"""Algorithm 1 of Chen et al. 2024 value by value in float64, straight from its equations 6 to 9 (as corrected)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fpsim.quant.search.candidates import Encoding

FRACTIONS = np.linspace(0.1, 1.2, 111)
Draw = Callable[[np.random.Generator, int], np.ndarray]


def rounded(x: np.ndarray, encoding: Encoding, bias: np.ndarray) -> np.ndarray:
    """``x`` [n] in the encoding at each bias [candidates], ``[candidates, n]``."""
    e, m, b = encoding.exponent_bits, encoding.mantissa_bits, np.asarray(bias, np.float64)[:, None]
    c = (2 - 2.0**-m) * 2.0 ** (2.0**e - b - 1)  # equation 7
    clipped = np.clip(x, -c, c)  # equation 6
    with np.errstate(divide="ignore"):
        p = np.maximum(np.floor(np.log2(np.abs(clipped)) + b), 1)  # equation 9; p = 1 also holds the subnormals
    s = 2.0 ** (p - b - m)
    return np.clip(s * np.rint(clipped / s), -c, c)  # equation 8


def biases(encoding: Encoding, maxima: np.ndarray) -> np.ndarray:
    """Equation 7 solved for the bias."""
    return 2.0**encoding.exponent_bits - np.log2(maxima) + np.log2(2 - 2.0**-encoding.mantissa_bits) - 1


def search(x: np.ndarray, encodings: tuple[Encoding, ...], fractions: np.ndarray = FRACTIONS) -> np.ndarray:
    """Mean squared errors ``[encodings, candidates]``."""
    x = x.astype(np.float64).reshape(-1)
    maxima = fractions * np.abs(x).max()
    return np.array([np.mean((rounded(x, e, biases(e, maxima)) - x) ** 2, axis=1) for e in encodings])


def _spiky(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n) * np.where(rng.random(n) < 0.05, 30, 1)


#: Eight distributions, from flat to heavy tails, with zeros, signs and repeated values.
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "laplace": lambda rng, n: rng.laplace(size=n),
    "student-t3": lambda rng, n: rng.standard_t(3, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n) * rng.choice([-1, 1], n),
    "silu": lambda rng, n: (lambda z: z / (1 + np.exp(-z)))(rng.standard_normal(n)),
    "outliers": _spiky,
    "half zeros": lambda rng, n: np.round(rng.standard_normal(n), 1) * (rng.random(n) < 0.5),
}


def draw(seed: int, *, dtype: type = np.float32) -> np.ndarray:
    """A random tensor: of a distribution by the seed, of 16 to 400 values, of any magnitude."""
    rng = np.random.default_rng(seed)
    kind = list(DISTRIBUTIONS.values())[seed % len(DISTRIBUTIONS)]
    x = kind(rng, int(rng.integers(16, 400))) * 10.0 ** rng.uniform(-6, 6)
    x[0] += 1e-3 * (not x.any())
    return x.astype(dtype)
