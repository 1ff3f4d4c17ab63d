"""What Q-Diffusion refuses before any work."""

from __future__ import annotations

from typing import Any

import pytest

from fpsim import FpsimError, Policy
from fpsim.methods import q_diffusion
from fpsim.model.load import LoadedModel


@pytest.mark.parametrize(
    ("policy", "given", "message"),
    [
        (Policy.uniform("e2m1", "int8"), {}, "quantizes to integers, not to e2m1"),
        (Policy.uniform("int4", "e4m3"), {}, "quantizes to integers, not to e4m3"),
        (Policy.uniform("int4", weights_granularity="block:16", scale="max"), {}, "no blocks"),
        (Policy.uniform("int4", scale="percentile"), {}, "choose --scale mse or max"),
        (Policy.uniform("int4"), {"scale_aware": True}, "--scale-aware is no option of --method q-diffusion"),
        (Policy.uniform("int4"), {"calibration_steps": 5}, "of 4 sampling steps"),
        (Policy.uniform("int4"), {"rounding_samples": 0}, "at least 1 sample"),
        (Policy.uniform("int4"), {"softmax_bits": 17}, "2 to 16"),
        (Policy.uniform("int4"), {"act_init": "min"}, "not one of max, ema, mse"),
        (Policy.uniform("int4"), {"compat": "brecq"}, "not one of none, q-diffusion"),
        (Policy.uniform("int4"), {"rounding_beta": "x"}, "no exponent"),
    ],
)
def test_refused(model: LoadedModel, policy: Policy, given: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match=message):
        q_diffusion.check(model.denoiser, policy, q_diffusion.settings(given, model.kind, 4), static=True)


def test_dynamic_activation_scales_are_refused(model: LoadedModel) -> None:
    settings = q_diffusion.settings({}, model.kind, 4)
    with pytest.raises(FpsimError, match="drop --act-scales dynamic"):
        q_diffusion.check(model.denoiser, Policy.uniform("int4", "int8"), settings, static=False)
    q_diffusion.check(model.denoiser, Policy.uniform("int4"), settings, static=False)
