"""Vectors of matrix units: the same every time, every class, committed files as the specification has them.

After a wanted change: ``FPSIM_WRITE_GOLDEN=1 pytest tests/tensorcore/test_dot_vectors.py``, then read the difference.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorcore_units import Setting, bits, name_of, settings, specified

from fpsim.errors import FpsimError
from fpsim.tensorcore import dot
from fpsim.tensorcore.operands import element_format
from fpsim.tensorcore.vectors import DotRequest, DotVector, code_of, dot_vectors

GOLDEN = Path(__file__).parent / "golden"
#: Every so many-th directed vector is kept, and so many random ones.
STEP, RANDOM = 4, 40
SETTINGS = settings()


def request(setting: Setting, count: int = 0, seed: int = 0) -> DotRequest:
    unit, types, accumulator = setting
    how: dict[str, Any] = {"arch": unit.arch, "instruction": unit.instruction, "accumulator": accumulator}
    return DotRequest(dtype=",".join(types), count=count, seed=seed, **how)


def arrays(vectors: list[DotVector]) -> dict[str, Any]:
    """Vectors as arrays of dot, and their results."""
    found = {key: np.float32([getattr(v.case, key) for v in vectors]) for key in ("a", "b", "c", "scale_a", "scale_b")}
    return {key: value for key, value in found.items() if value.size} | {"d": np.float32([v.result for v in vectors])}


def made(setting: Setting) -> dict[str, Any]:
    vectors = list(dot_vectors(request(setting, RANDOM)))
    return arrays([*vectors[:-RANDOM:STEP], *vectors[-RANDOM:]])


#: Arithmetic that two architectures share is checked once, as the older one's.
ARCHITECTURES = sorted({unit.arch for unit, _, _ in SETTINGS})


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_golden_files_hold_for_engine_and_specification(arch: str) -> None:
    file = GOLDEN / f"{arch}.npz"
    own = [setting for setting in SETTINGS if setting[0].arch == arch]
    if os.environ.get("FPSIM_WRITE_GOLDEN"):
        parts = {f"{name_of(s)}.{key}": value for s in own for key, value in made(s).items()}
        np.savez_compressed(file, **parts)
    with np.load(file, allow_pickle=False) as data:
        stored = dict(data)
    assert {name.rpartition(".")[0] for name in stored} == {name_of(setting) for setting in own}
    for setting in own:
        unit, types, accumulator = setting
        name = name_of(setting)
        keys = [key for key in ("a", "b", "c", "scale_a", "scale_b") if f"{name}.{key}" in stored]
        given = {key: stored[f"{name}.{key}"] for key in keys}
        expected = bits(stored[f"{name}.d"])
        how = {"arch": arch, "dtype": types, "instruction": unit.instruction, "accumulator": accumulator}
        assert np.array_equal(bits(dot(**given, **how)), expected), name
        assert np.array_equal(specified(setting, given), expected), name


def test_golden_files_are_small_and_all_used() -> None:
    assert sorted(file.stem for file in GOLDEN.glob("*.npz")) == ARCHITECTURES
    assert max(file.stat().st_size for file in GOLDEN.glob("*.npz")) < 200_000


def test_a_request_gives_the_same_vectors_and_another_seed_others() -> None:
    first, again, other = (list(dot_vectors(request(SETTINGS[0], 5, seed))) for seed in (1, 1, 2))
    assert repr(first) == repr(again)
    assert repr(first[:-5]) == repr(other[:-5])
    assert repr(first[-5:]) != repr(other[-5:])


@pytest.mark.parametrize("name", ["hopper.wgmma.e5m2.fp32", "volta.mma.fp16.fp32", "ampere.mma.bf16.fp32"])
def test_every_class_is_there(name: str) -> None:
    setting = next(s for s in SETTINGS if name_of(s) == name)
    kinds = {vector.case.kind for vector in dot_vectors(request(setting, 1))}
    assert kinds == {
        "zero",
        "not finite",
        "largest products",
        "overflow",
        "subnormal",
        "cancellation",
        "unnormalized product",
        "cancellation by c",
        "late c",
        "products under c",
        "rounding",
        "carry",
        "group boundary",
        "random",
    }


@pytest.mark.parametrize("setting", SETTINGS[::5], ids=map(name_of, SETTINGS[::5]))
def test_operands_have_codes(setting: Setting) -> None:
    for vector in islice(dot_vectors(request(setting)), 0, None, 40):
        for name, values in zip(setting[1], (vector.case.a, vector.case.b), strict=True):
            codes = [code_of(element_format(name), value) for value in values]
            assert all(0 <= code < 1 << element_format(name).bits for code in codes)


def test_exact_sums_have_no_vectors() -> None:
    with pytest.raises(FpsimError, match="int8 sums are exact and have no dot vectors"):
        DotRequest(arch="ampere", dtype="int8")
