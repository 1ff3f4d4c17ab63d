"""JSON with infinities: both ways, without mistaking text for numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim.errors import FpsimError
from fpsim.report import jsonsafe

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["inf", "-inf", "nan", "\\nan", "\\\\-inf"])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(deadline=None)
@given(TREES)
def test_what_is_written_comes_back(tree: Any) -> None:
    text = jsonsafe.dumps(tree)
    assert jsonsafe.loads(text) == tree
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


def test_non_finite_numbers_are_words() -> None:
    text = jsonsafe.dumps({"psnr_db": [math.inf, -math.inf, math.nan], "steps": 50})
    assert text == '{\n "psnr_db": [\n  "inf",\n  "-inf",\n  "nan"\n ],\n "steps": 50\n}\n'
    values = jsonsafe.loads(text)["psnr_db"]
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])


def test_keys_keep_their_order() -> None:
    assert list(jsonsafe.loads(jsonsafe.dumps({"z": 1, "a": 2}))) == ["z", "a"]


def test_numpy_values_are_numbers() -> None:
    given = {"a": np.array([1.5, np.inf]), "b": np.float32(0.5), "c": np.int64(3), "d": (np.float64(-np.inf),)}
    assert jsonsafe.loads(jsonsafe.dumps(given)) == {"a": [1.5, math.inf], "b": 0.5, "c": 3, "d": [-math.inf]}


def test_damaged_text_and_unknown_objects_are_refused() -> None:
    with pytest.raises(FpsimError, match="not JSON"):
        jsonsafe.loads('{"rows": [')
    with pytest.raises(TypeError, match="not JSON serializable"):
        jsonsafe.dumps({"path": object()})
    with pytest.raises(TypeError, match="a key in JSON is text"):
        jsonsafe.dumps({1: "one"})
