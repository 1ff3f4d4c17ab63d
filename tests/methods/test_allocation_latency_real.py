"""Latency budgets of real networks: they bind, and what they promise is what ``fpsim cost`` says of the policy."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allocation_checks import BPW, quiet, request
from tiny_pipelines import save_sd

from fpsim import cost
from fpsim.cli.main import run
from fpsim.cost.workload import load as load_layers
from fpsim.errors import FpsimError
from fpsim.methods.allocation_latency import Network, latency
from fpsim.methods.allocation_measure import measure
from fpsim.methods.allocation_request import Limit
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel, load
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.allocation.policies import policy_of
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.solve import solve
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import Policy, TensorSpec, spec

Specs = Mapping[str, TensorSpec | None]
WEIGHTS: Specs = {"none": None, "int8": spec("int8", "channel", "max"), "e2m1": spec("e2m1", "channel", "max")}
BINNED = {"e4m3": spec("e4m3", "tensor", "max"), "int8": spec("int8", "tensor", "max")}
ACTS: Specs = {"none": None, **BINNED}
#: Its processors are few and slow: even a network whose kernels mostly wait to be launched feels a format.
DEVICE = "orin-agx@15w"
SMALL = ["--steps", "1", "--timesteps", "1", "--calibration-images", "1", "--measure", "random", "--scale", "max"]
FORMATS = ["--formats", "none,int8,int4", "--acts", "none,int8", "--gap", "1e-2"]


def allocate(folder: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """Of the bundled model, as a user does; exit code, JSON, and the errors."""
    where = ["--work", str(folder / "work"), "--out", str(folder / "p.toml"), "--overwrite"]
    code = run(["allocate", *SMALL, *FORMATS, *where, "--budget", f"{DEVICE}:{limit}", "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out or "{}"), printed.err


def test_a_budget_that_binds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the bundled model through the command line, to all digits that ``fpsim cost`` prints."""
    chosen, used = {}, {}
    for limit in ("1s", "4.75ms"):
        code, shown, _ = allocate(tmp_path, limit, capsys)
        assert code == 0
        (budget,) = shown["budgets"]
        chosen[limit], used[limit] = Counter(row["weights"] for row in shown["layers"]), budget["used"]
        assert budget["used"] <= budget["limit"]
        cli = ["cost", "--model", "bundled", "--device", DEVICE, "--policy", str(tmp_path / "p.toml"), "--json"]
        assert run(cli) == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert row["step_s"] == float(f"{budget['used'] / 1e3:.6g}")
    assert set(chosen["1s"]) == {"none"}, "nothing is narrow where time does not matter"
    assert chosen["4.75ms"]["int8"] > 0
    assert 4.7 < used["4.75ms"] <= 4.75 < used["1s"]
    code, shown, err = allocate(tmp_path, "4.5ms", capsys)
    (line,) = [line for line in err.splitlines() if not line.startswith("# ")]
    assert (code, shown) == (2, {})
    found = re.fullmatch(r"error: the budget of 4.5 ms \(time on (.+)\) is (.+) ms below the cheapest (.+)", line)
    assert found, line
    assert float(found[2]) == pytest.approx(budget["least"] - 4.5, rel=1e-5)


def solved(names: list[str], budget: Budget, acts: Specs = ACTS) -> Allocation:
    """Harms at random, less of them with more bits."""
    assert budget.pairs is not None
    source, size, bins = np.random.default_rng(0), len(names), budget.pairs.shape[-1]
    noise = [np.array([4.0 ** -(each.format.bits if each else 32) for each in of.values()]) for of in (WEIGHTS, acts)]
    harms = source.uniform(size=(size, 3)) * noise[0], source.uniform(size=(size, len(acts), bins)) * noise[1][:, None]
    problem = Problem(
        layers=tuple(names),
        weights=tuple(WEIGHTS),
        harm=harms[0],
        acts=tuple(acts),
        harm_acts=harms[1],
        budgets=(budget,),
    )
    return solve(problem, gap=1e-2, seconds=5)


def range_of(budget: Budget) -> tuple[float, float]:
    """Least and most milliseconds of any assignment."""
    assert budget.pairs is not None
    flat = budget.pairs.reshape(len(budget.pairs), -1, budget.pairs.shape[-1])
    return (float(flat.min(axis=1).sum() + budget.fixed), float(flat.max(axis=1).sum() + budget.fixed))


def costs(network: Network, names: list[str], device: str, acts: Specs, shares: Sequence[float]) -> Budget:
    """Milliseconds of every choice."""
    limit = Limit(kind="latency", value=1e9, text="", device=device)
    return latency(limit, network, names, tuple(WEIGHTS.values()), tuple(acts.values()), np.array(shares))


@pytest.mark.parametrize("device", ["b200", "orin-agx"])
def test_the_layers_of_stable_diffusion(device: str) -> None:
    """All 282 of SD 1.5 without its weights: 148 to 96 ms on Orin; on a B200 launches leave formats 4 %."""
    operations = load_layers("sd15").at(1).denoiser.operations
    names = list(dict.fromkeys(o.layer for o in operations if o.kind in ("conv", "linear") and o.weights))
    assert len(names) == 282
    budget = costs(Network(module="sd15", guided=True), names, device, ACTS, [1.0])
    least, most = range_of(budget)
    assert most / least > {"b200": 1.03, "orin-agx": 1.5}[device]
    asked = replace(budget, limit=least + (most - least) / 3)
    free, bound = (solved(names, each) for each in (budget, asked))
    assert set(free.weight_formats().values()) == {"none"}
    assert "int8" in bound.weight_formats().values()
    for found in (free, bound):
        policy = policy_of(found, tuple(WEIGHTS.values()), tuple(ACTS.values()), TimestepBins())
        predicted = 1e3 * cost.estimate("sd15", device=device, policy=policy, cfg=True).latency_s
        use = found.used[f"time on {device}"]
        assert use.used == pytest.approx(predicted, rel=1e-12)
        assert use.used <= use.limit
    with pytest.raises(FpsimError, match=r"\(time on .+\) is [\d.]+ ms below the cheapest assignment"):
        solved(names, replace(budget, limit=least / 2))


def test_bins_cost_the_mean_over_the_run(model: LoadedModel) -> None:
    """Of formats that follow the timestep no single prediction exists; each bin has its own, and its share."""
    names, shares = [name for name, _ in quantizable(model.denoiser)], (0.25, 0.75)
    budget = costs(Network(module=model.denoiser, guided=False), names, "xeon-5115", BINNED, shares)
    least, most = range_of(budget)
    found = solved(names, replace(budget, limit=least + (most - least) / 3), BINNED)
    policy = policy_of(found, tuple(WEIGHTS.values()), tuple(BINNED.values()), TimestepBins((500.0,)))
    assert any(isinstance(rule.acts, BinnedSpec) and len(set(rule.acts.specs)) == 2 for rule in policy.rules)
    mean = 0.0
    for number, share in enumerate(shares):
        rules = tuple(
            replace(rule, acts=rule.acts.specs[number] if isinstance(rule.acts, BinnedSpec) else rule.acts)
            for rule in policy.rules
        )
        mean += share * cost.estimate(model.denoiser, device="xeon-5115", policy=Policy(rules), cfg=False).latency_s
    use = found.used["time on xeon-5115"]
    assert use.used == pytest.approx(1e3 * mean, rel=1e-12)
    assert use.used <= use.limit < most


def test_guidance_is_that_of_the_calls(tmp_path: Path) -> None:
    """The pipeline doubles its samples, or does not: as it is called, whatever kind it is."""
    pipeline = load(str(save_sd(tmp_path)))
    asked = request(skip=(), measure="random", acts={}, bins=1, images=1, timesteps=1, limits=(BPW,))
    for scale, guided in ((None, True), (1.0, False)):
        spec = replace(asked.spec, steps=4, prompts=("a", "b"), guidance_scale=scale)
        assert measure(replace(asked, spec=spec), pipeline, None, quiet).network.guided is guided
