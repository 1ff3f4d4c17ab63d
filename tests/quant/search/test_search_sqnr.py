"""Optimal SQNR of formats on standard distributions, against closed-form integrals (dB, float64).

The figures were found with closed-form integrals and the best c on a fine grid; here the densities stand on a fine grid
of values, so that no sampling noise enters, and c is searched as finely.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fpsim
from fpsim import search_format
from fpsim.quant.search.errors import errors_at
from fpsim.quant.search.magnitudes import Magnitudes

POINTS = 400_000
#: distribution -> format -> SQNR in dB
TABLE = {
    "normal": {
        "int8": 40.54, "e2m5": 42.67, "e3m4": 37.56, "e4m3": 31.56, "e5m2": 25.58,
        "int6": 29.71, "e2m3": 30.81, "e3m2": 25.58, "int4": 18.90, "e1m2": 18.90, "e2m1": 18.97, "e3m0": 14.23,
    },
    "student-t8": {
        "int8": 34.39, "e2m5": 38.43, "e3m4": 37.52, "e4m3": 31.54, "e5m2": 25.56, "int4": 16.41, "e2m1": 17.76,
    },
    "uniform": {"int8": 48.13, "e2m5": 44.49, "e3m4": 38.49, "e4m3": 32.41, "e5m2": 26.28, "int4": 23.52},
}  # fmt: skip


def density(name: str) -> Magnitudes:
    """Magnitudes on a fine grid, as often as a distribution has them: normal up to 10, Student's t up to 100."""
    top, pdf = {
        "uniform": (1, stats.uniform().pdf),
        "normal": (10, stats.halfnorm().pdf),
        "student-t8": (100, lambda x: 2 * stats.t(8).pdf(x)),
    }[name]
    x = (np.arange(POINTS) + 0.5) * (top / POINTS)
    counts = np.rint(pdf(x) * (top / POINTS) * 1e15).astype(np.int64)
    exponent = int(np.frexp(float(top))[1])
    near = np.ldexp(x, -exponent)[None]
    return Magnitudes(
        values=near,
        largest=near[:, -1],
        exponent=np.array([exponent]),
        heads=near,
        counts=np.append(0, np.cumsum(counts))[None],
        sums=np.append(0.0, np.cumsum(counts * near[0]))[None],
        energy=np.array([np.sum(counts * near[0] ** 2)]),
        within=np.zeros(1),
        step=1,
    )


@pytest.mark.parametrize("name", TABLE)
def test_the_best_sqnr_is_the_integrals(name: str) -> None:
    m = density(name)
    for what, expected in TABLE[name].items():
        fmt = fpsim.format(what if what.startswith("int") else f"{what}-none")
        tops = np.geomspace(0.5, 60, 4000) if name != "uniform" else np.linspace(0.8, 1.3, 4000)
        errors = errors_at(m, fmt, tops[None] / (float(fmt.grid.max) * fmt.scale(64)))[0]
        energy = float(m.energy[0]) * 4.0 ** float(m.exponent[0])
        assert 10 * np.log10(energy / errors.min()) == pytest.approx(expected, abs=0.02), what


def test_the_search_over_encodings_finds_the_same() -> None:
    x = stats.halfnorm.ppf((np.arange(POINTS) + 0.5) / POINTS)
    fine = np.linspace(0.1, 1.2, 3000)
    found = search_format(x, maxima=fine)
    assert (found.encoding.name, round(found.sqnr_db, 1)) == ("e2m5", 42.7)
    ranking = dict(found.ranking())
    for name in ("e3m4", "e4m3", "e5m2"):
        assert ranking[name] == pytest.approx(TABLE["normal"][name], abs=0.02)
    four = search_format(x, 4, maxima=fine)
    assert four.encoding.name == "e2m1"
    assert four.sqnr_db == pytest.approx(18.97, abs=0.02)
    assert four.maximum[0] == pytest.approx(2.921, abs=0.02)
