"""What the tests of Chen et al. 2024 with timestep bins share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chen2024_checks import static_job

from fpsim import Policy
from fpsim.methods import chen2024
from fpsim.methods.job import Job
from fpsim.model.load import LoadedModel
from fpsim.quant import policy_toml

QUICK = {"rounding_iters": 10, "rounding_samples": 1, "init_samples": 2}
#: Timesteps 666 and 333 lie in the second bin, 0 in the first.
EDGE = 300.0
SAMPLES = 2


def policy_with(acts: str, weights: str = "e3m2") -> Policy:
    """One rule; weights of more than 4 bits need no learning, which takes time."""
    rule = f'[[rule]]\nmatch = "*"\nweights = {{ format = "{weights}", granularity = "tensor" }}\nacts = {acts}\n'
    return policy_toml.loads(rule)


PLAIN = policy_with('"e4m3"')
ONE = policy_with('{ bins = [{ format = "e4m3" }] }')
TWO = policy_with(f'{{ format = "e4m3", timestep_bins = [{EDGE}] }}')
FEW = TWO.rules[0].acts, Policy.uniform("e2m1", weights_granularity="tensor").rules[0].weights
#: Some layers are learned.
LEARNED = TWO.rule("mid_block.*", acts=FEW[0], weights=FEW[1]).rule("conv_out", acts=FEW[0], weights=FEW[1])


def job(model: LoadedModel, folder: Path, policy: Policy = TWO, **options: Any) -> Job:
    given = {**QUICK, **options}
    if not given.get("format_search", True):
        del given["init_samples"]
    return static_job(model, folder, policy, **given)


def attached(model: LoadedModel, folder: Path, policy: Policy = TWO, **options: Any) -> Policy:
    """The policy that an attached method found."""
    chen2024.attach(job(model, folder, policy, **options)).remove()
    return policy_toml.loads((folder / "searched.toml").read_text())
