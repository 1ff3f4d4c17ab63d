"""Settings of methods that learn rounding, what they refuse, and how progress is counted."""

from __future__ import annotations

from typing import Any

import pytest

from fpsim import FpsimError
from fpsim.methods import chen2024, registry
from fpsim.methods.rounding_run import Progress


def test_the_papers_figures_depend_on_the_kind_of_model() -> None:
    ours = chen2024.settings({}, "unconditional", 50)
    theirs = chen2024.settings({}, "text-to-image", 50)
    assert (ours["samples_per_step"], ours["batch_size"]) == (5, 16)
    assert (theirs["samples_per_step"], theirs["batch_size"]) == (20, 8)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "method": ("adaquant", {}, "no method 'adaquant'; there are chen2024"),
    "rtn": ("rtn", {"rounding_iters": 3}, "--rounding-iters is for methods that learn"),
    "iterations": ("chen2024", {"rounding_iters": -1}, "-1 iterations of learned rounding"),
    "rate": ("chen2024", {"rounding_lr": 0.0}, "learning rate of the rounding is 0.0"),
    "lambda": ("chen2024", {"rounding_lambda": float("nan")}, "the regularizer's weight is nan"),
    "beta": ("chen2024", {"rounding_beta": "20:2:1"}, "--rounding-beta '20:2:1' is no exponent such as 20"),
    "beta word": ("chen2024", {"rounding_beta": "high"}, "--rounding-beta 'high'"),
    "beta 0": ("chen2024", {"rounding_beta": "0"}, "exponent is 0"),
    "samples": ("chen2024", {"rounding_samples": 0}, "--rounding-samples 0: at least 1 sample"),
    "reconstruct": ("chen2024", {"reconstruct": "net"}, "reconstruct 'net' is not one of layer, block"),
    "unknown": ("chen2024", {"no_such": 1}, "--no-such is no option of this method"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused_settings(case: str) -> None:
    name, given, wanted = WRONG[case]
    with pytest.raises(FpsimError, match=wanted) as caught:
        registry.settings(name, given, "unconditional", 50)
    assert "\n" not in str(caught.value)


def test_progress_counts_thousandths_of_the_work() -> None:
    told: list[tuple[int, int]] = []
    progress = Progress(lambda *a: told.append(a))
    progress.begin(10)
    first, second = progress.part(1), progress.part(9)
    first(1, 2)
    first(2, 2)
    second(1, 3)
    progress.end()
    assert told == [(50, 1000), (100, 1000), (400, 1000), (1000, 1000)]
