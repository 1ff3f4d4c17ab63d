"""What quantizers refuse, and that nothing becomes infinite."""

from __future__ import annotations

import numpy as np
import pytest
from quantizer_checks import BACKENDS, X

import fpsim
from fpsim import PerBlock, PerChannel, PerTensor, Quantizer
from fpsim.errors import FpsimError
from fpsim.quant import granularity
from fpsim.quant.scales import Scales


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["e4m3", "int8", "nf4", "uint8"])
def test_a_scale_that_overflows_is_refused_not_infinite(name: str, backend: str) -> None:
    fmt = fpsim.format(name)
    limit = float(np.finfo(np.float32).max) / float(fmt.grid.max)
    huge = np.array([-3e38, 3e38], np.float32)
    fits = Scales(np.array([limit * 0.99], np.float32))
    assert np.isfinite(Quantizer(fmt, scales=fits, backend=backend)(huge)).all()
    if name != "nf4":
        beyond = Quantizer(fmt, scales=Scales(np.array([limit * 1.01], np.float32)), backend=backend, name="w")
        with pytest.raises(FpsimError, match=r"^w: scale .* overflows float32"):
            beyond(huge)


@pytest.mark.parametrize("rule", ["max", "mse", "percentile"])
@pytest.mark.parametrize("name", ["e4m3", "int8", "uint8", "e2m1"])
def test_the_largest_numbers_never_become_infinite(name: str, rule: str) -> None:
    largest = np.finfo(np.float32).max
    for x in ([largest, 1.0], [-largest / 2, largest / 3], [-largest, 0.0], [largest, largest]):
        try:
            y = Quantizer(name, scale=rule)(np.array(x, np.float32))
        except FpsimError:  # the scale's rounding may have put the format's largest value beyond float32
            continue
        assert np.isfinite(y).all()
        assert np.abs(y).max() > largest / 4


def test_the_formats_own_scale_must_stay_normal() -> None:
    tiny = Scales(np.array([np.finfo(np.float32).tiny], np.float32))
    with pytest.raises(FpsimError, match="no positive normal float32"):
        Quantizer(fpsim.format("e3m4", bias=6.5), scales=tiny)(X)


REFUSED = {
    "unknown format": (lambda: Quantizer("e4mm3"), "unknown format"),
    "unknown rule": (lambda: Quantizer("e4m3", scale="best"), "'best' is not one of max"),
    "unknown rule of a block format": (lambda: Quantizer("mxfp4", scale="best"), "'best' is not one of max"),
    "rule of blocks": (lambda: Quantizer("e2m1", PerTensor(), "e8m0-floor"), "is for blocks, not per tensor"),
    "scales without exponent": (lambda: Quantizer("e2m1", PerBlock(4), "int8-max"), "int8 is no floating-point format"),
    "unknown scale format": (lambda: Quantizer("e2m1", PerBlock(4), "e8mm0-floor"), "unknown format 'e8mm0'"),
    "rule of another scale": (lambda: Quantizer("e2m1", PerBlock(4), "e8m0-max"), "does not fit scale format"),
    "block of one": (lambda: PerBlock(1), "at least 2 values"),
    "another block": (lambda: Quantizer("mxfp4", PerBlock(16)), "blocks of 32, not of 16"),
    "fixed blocks": (
        lambda: Quantizer("mxfp4", scales=Scales(np.ones(1))),
        "drop the fixed scales",
    ),
    "no such axis": (lambda: Quantizer("e4m3", PerChannel(3))(X), "axis 3 does not exist"),
    "no such axis of blocks": (lambda: Quantizer("mxfp4", PerBlock(32, -4))(X), "axis -4 does not exist"),
    "integers": (lambda: Quantizer("e4m3")(np.arange(3)), "int64 cannot be rounded"),
    "no array": (lambda: Quantizer("e4m3")([1.0]), "an array or a tensor is needed"),
    "unknown backend": (lambda: Quantizer("e4m3", backend="abacus")(X), "no backend 'abacus'"),
    "scales of another tensor": (
        lambda: Quantizer("e4m3", PerChannel(0), name="w").fit(X)(X[:2]),
        "^w: 4 fixed scales for 2 groups",
    ),
    "nan": (lambda: Quantizer("e4m3", name="w")(np.array([np.nan], np.float32)), "^w holds NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    act, wanted = REFUSED[case]
    with pytest.raises(FpsimError, match=wanted) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_granularities_by_name() -> None:
    assert granularity.parse("tensor") == PerTensor()
    assert granularity.parse("channel") == PerChannel(0)
    assert granularity.parse("block:64") == PerBlock(64)
    for text in ("", "block", "block:", "block:x", "block:-2", "tensor:3", "channels", "block:1"):
        with pytest.raises(FpsimError):
            granularity.parse(text)
    for text in ("tensor", "channel", "block:7"):
        assert str(granularity.parse(text)) == text
