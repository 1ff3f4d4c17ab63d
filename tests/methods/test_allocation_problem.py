"""What an allocation forbids, and what it refuses before anything is measured."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from allocation_checks import BPW, quiet, request

from fpsim.errors import FpsimError
from fpsim.methods.allocation_latency import Network
from fpsim.methods.allocation_measure import measure
from fpsim.methods.allocation_problem import problem_of
from fpsim.methods.allocation_request import Limit
from fpsim.methods.importance import mse
from fpsim.methods.importance.harm import Harm
from fpsim.methods.mpq_diff import allocate
from fpsim.model.layer_sizes import LayerSize
from fpsim.model.load import LoadedModel
from fpsim.quant.allocation.solve import solve
from fpsim.sample import schedulers
from fpsim.sample.spec import SampleSpec

ATTENTION = ("*resnets*", "*time_emb*", "*samplers*", "*to_out*")


def test_only_some_formats(model: LoadedModel) -> None:
    """Of two globs that match, what both leave; inputs likewise, in every timestep bin."""
    asked = request(
        only={"conv_*": ("int2", "e2m1"), "*_out": ("e2m1", "int8")},
        only_acts={"conv_in": ("e4m3",)},
        limits=(Limit(kind="bpw", value=40, text=""), Limit(kind="bpa", value=8, text="")),
    )
    found = allocate(asked, measure(asked, model, None, quiet), quiet).allocation
    assert found.weight_formats() == {"conv_in": "e2m1", "conv_out": "e2m1"}, "the better of those that are left"
    assert found.act_formats()["conv_in"] == ("e4m3", "e4m3")
    assert np.isposinf(found.problem.harm).tolist() == [[False, False, True, True], [True, False, True, True]]
    used = found.used["weights"]
    assert used.least < used.most == used.used, "the dearest assignment is one that is allowed"


def test_layers_that_share(model: LoadedModel) -> None:
    asked = request(skip=ATTENTION, share=("*.to_[qkv]",), front=3, bins=1)
    measured = measure(asked, model, None, quiet)
    done = allocate(asked, measured, quiet)
    for each in (done.allocation, *done.front):
        together: dict[str, set[Any]] = {}
        weights, acts = each.weight_formats(), each.act_formats()
        for name in weights:
            if ".to_" in name:
                together.setdefault(name.rpartition(".")[0], set()).add((weights[name], acts[name]))
        assert together
        assert all(len(found) == 1 for found in together.values())
    free = allocate(request(skip=ATTENTION, bins=1), measured, quiet).allocation
    assert free.harm <= done.allocation.harm
    layers = [(done.policy.layer(f"mid_block.attentions.0.to_{x}").weights) for x in "qkv"]
    assert layers[0] == layers[1] == layers[2]


def test_short_budgets_are_refused_before_anything_is_measured(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_job: object) -> object:
        raise AssertionError("measured")

    monkeypatch.setattr(mse, "harm", never)
    for limit, message in (
        (Limit(kind="bpw", value=1.0, text=""), "(weights) is"),
        (Limit(kind="latency", value=1e-9, text="", device="b200"), "(time on b200) is"),
        (Limit(kind="bpa", value=3.9, text=""), "(activations) is"),
    ):
        with pytest.raises(FpsimError, match=re.escape(message) + r".* below the cheapest assignment"):
            measure(request(limits=(limit,)), model, None, quiet)
    with pytest.raises(FpsimError, match="unknown device 'b20'"):
        measure(request(limits=(Limit(kind="latency", value=1.0, text="", device="b20"),)), model, None, quiet)
    with pytest.raises(FpsimError, match="below the cheapest assignment"):
        measure(request(only={"*": ("int8",)}), model, None, quiet)


def test_shares_are_those_of_the_sampler(model: LoadedModel) -> None:
    """Not those of the few probes: 3 of 5 calls are in the lower bin, and 1 of the 2 probes."""
    spec = SampleSpec(steps=5, num_images=1, batch_size=4, seed=0)
    asked = request(spec=spec, limits=(BPW, Limit(kind="bpa", value=4.0, text="")))
    found = measure(asked, model, None, quiet)
    scheduler = schedulers.make(None, model.scheduler)
    schedulers.set_steps(scheduler, 5)
    calls = [float(t) < 500 for t in scheduler.timesteps]
    assert sum(calls) == 3
    assert found.shares.tolist() == [0.6, 0.4]


def test_the_rounding_of_shares_refuses_nothing(model: LoadedModel) -> None:
    """4 bits an activation and int4 everywhere: 4 (768 + 1024) is less than 4 (0.2 · 768 + 0.8 · 768 + …), rounded."""
    sizes = {str(inputs): LayerSize(shape=(4, 4), out=0, into=1, inputs=inputs, macs=1) for inputs in (768, 1024)}
    asked = request(limits=(Limit(kind="bpa", value=4.0, text=""),), skip=())
    harm = Harm(unit="", weights=np.zeros((2, 4)), acts=np.zeros((2, 2, 2)))
    network = Network(module=model.denoiser, guided=False)
    problem = problem_of(asked, harm, sizes, network, np.array([0.2, 0.8]), {})
    found = solve(problem)
    assert set(sum(found.act_formats().values(), ())) == {"int4"}
    assert found.used["activations"].used <= found.used["activations"].limit == pytest.approx(4 * 1792, rel=1e-13)


REFUSED = {
    "no layer": ({"only": {"conv_inn": ("int8",)}}, "--only 'conv_inn' matches no layer that is allocated"),
    "a skipped one": ({"only_acts": {"*resnets*": ("int4",)}}, "--only-acts '*resnets*' matches no layer"),
    "nothing left": ({"only": {"conv_*": ("int8",), "*_in": ("int2",)}}, "--only leaves layer 'conv_in' no format"),
    "nothing left to a group": (
        {"only": {"conv_in": ("int8",), "conv_out": ("int2",)}, "share": ("conv_*",)},
        "--only leaves layer 'conv_in' no format",
    ),
    "share": ({"share": ("*.to_q",)}, "--share '*.to_q' matches no layer"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_sampling(
    change: dict[str, Any], message: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpsim.methods import allocation_data

    monkeypatch.setattr(allocation_data, "run_calibration", None)
    with pytest.raises(FpsimError, match=re.escape(message)):
        measure(request(**change), model, None, quiet)


NO_REQUEST = {
    "unknown": ({"only": {"conv_in": ("int7",)}}, "--only 'conv_in': 'int7' is not among --formats int2,e2m1"),
    "unknown input": ({"only_acts": {"*": ("e5m2",)}}, "--only-acts '*': 'e5m2' is not among --acts int4,e4m3"),
    "no choice": ({"acts": {}, "bins": 1, "only_acts": {"*": ("int4",)}}, "inputs' formats are not chosen"),
}


@pytest.mark.parametrize(("change", "message"), NO_REQUEST.values(), ids=NO_REQUEST)
def test_no_request(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match=re.escape(message)):
        request(**change)
