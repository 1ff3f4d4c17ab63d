"""Names and facts that make no format: each error is one line that says what to do."""

from __future__ import annotations

import pytest

import fpsim
from fpsim.errors import FpsimError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("e4m3fm", ["'e4m3fm'", "Did you mean 'e4m3fn'?", "'fpsim formats'"]),
        ("mxpf4", ["Did you mean 'mxfp4'?"]),
        ("bflot16", ["Did you mean 'bfloat16'?"]),
        ("qqqqqq", ["unknown format 'qqqqqq'. 'fpsim formats'"]),
        ("", ["unknown format ''"]),
        ("e9m2", ["9 exponent", "1 <= X <= 8"]),
        ("e0m3", ["0 exponent"]),
        ("e8m8", ["X + Y <= 15"]),
        ("chen-e4m3-ieee", ["all-finite", "drop '-ieee'"]),
        ("int1", ["bits is 1", "2 to 16"]),
        ("uint17", ["bits is 17"]),
        ("uint8-full", ["drop 'full'"]),
        ("nvfp4-floor", ["scale rule 'floor' does not fit scale format 'e4m3'"]),
        ("int8-floor", ["unknown format"]),
        ("e8m0-ieee", ["ieee specials need a mantissa bit"]),
        ("e1m0-fn", ["no finite value but zero"]),
    ],
)
def test_bad_names(name: str, words: list[str]) -> None:
    with pytest.raises(FpsimError) as caught:
        fpsim.format(name)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("e4m3", {"bias": float("nan")}, "bias nan is not a finite number"),
        ("e4m3", {"bias": float("-inf")}, "bias -inf is not a finite number"),
        ("e4m3", {"bias": 1e6}, "outside"),
        ("e4m3", {"specials": "ocp"}, "'ocp' are not one of ieee, fn, fnuz, none"),
        ("int8", {"bias": 3}, "int8 is no floating-point format, so it has no bias to change"),
        ("mxfp4", {"subnormals": False}, "mxfp4 is no floating-point format"),
        ("e8m0", {"subnormals": True}, "without subnormals"),
        ("e8m0", {"specials": "fnuz"}, "an unsigned format lacks"),
    ],
)
def test_bad_overrides(name: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(FpsimError, match=words):
        fpsim.format(name, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0], "needs 2 to 65536"),
        ([0.0, 0.0], "ascend strictly"),
        ([2.0, 1.0], "ascend strictly"),
        ([0.0, float("inf")], "not finite"),
    ],
)
def test_bad_codebooks(values: list[float], words: str) -> None:
    with pytest.raises(FpsimError, match=words):
        fpsim.format(values)
