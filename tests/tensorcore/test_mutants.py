"""Wrong models are rejected by the directed vectors of every unit, type and accumulator."""

from __future__ import annotations

import math

import pytest
from tensorcore_mutants import NAMES, mutated
from tensorcore_units import Setting, name_of, settings

from fpsim.tensorcore import reference
from fpsim.tensorcore.vectors import DotRequest, DotVector, dot_vectors

SETTINGS = settings()


def rejects(vector: DotVector, setting: Setting) -> bool:
    """Whether the specification, as it is now, differs from a vector."""
    (unit, types, accumulator), case = setting, vector.case
    scales = {"scale_a": case.scale_a, "scale_b": case.scale_b}
    made = reference.dot(unit, types, case.a, case.b, case.c, accumulator=accumulator, **scales)
    return made != vector.result and not (math.isnan(made) and math.isnan(vector.result))


@pytest.mark.parametrize("setting", SETTINGS, ids=map(name_of, SETTINGS))
def test_every_wrong_model_is_rejected(setting: Setting) -> None:
    unit, types, accumulator = setting
    request = DotRequest(arch=unit.arch, dtype=",".join(types), instruction=unit.instruction, accumulator=accumulator)
    vectors = list(dot_vectors(request))
    assert not any(rejects(vector, setting) for vector in vectors)
    survivors = []
    for name in NAMES:
        if name == "twice the group" and unit.group == unit.k[-1]:
            continue  # one instruction has no second group
        with mutated(name, unit, accumulator) as changed:
            if not any(rejects(vector, (changed, types, accumulator)) for vector in vectors):
                survivors.append(name)
    assert survivors == []
