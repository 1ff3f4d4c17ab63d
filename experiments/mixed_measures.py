"""From a point of `mixed_precision.py` to its policy: measure layers once, solve under each budget, keep both."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mixed_settings import ENDS, ENDS_FORMAT, FAMILIES, How, Point

import fpsim
from fpsim.methods.allocation_request import AllocationRequest, Limit
from fpsim.methods.importance.store import NumberStore
from fpsim.methods.mpq_diff import Measured, allocate, measure
from fpsim.model.layers import axes, quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.quant import policy_toml
from fpsim.quant.allocation.sizes import packed_bytes
from fpsim.quant.policy import Policy, TensorSpec, spec
from fpsim.sample.spec import SampleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A point's policy, the packed bytes of all weights, and how many layers have each format."""

    policy: Policy
    bytes: int
    counts: dict[str, int]


class Measures:
    """Importance of layers, measured when it is first asked for and kept in a folder.

    Args:
        model: not quantized.
        how: sizes.
        folder: where measurements are kept.
        store: of the harms and the allocations.
    """

    def __init__(self, model: LoadedModel, how: How, folder: Path, store: NumberStore) -> None:
        self.model, self.how, self.folder, self.store = model, how, folder, store
        self._measured: dict[tuple[str, str, int], Measured] = {}
        self.weights = sum(module.weight.numel() for _, module in self.layers)

    @property
    def layers(self) -> list[tuple[str, Any]]:
        """Layers with a weight, by name."""
        return list(quantizable(self.model.denoiser))

    def chosen(self, point: Point, seed: int) -> Chosen:
        """The policy of a point; only a random importance depends on the seed."""
        if not point.mixed:
            return self._uniform(point)
        draw = seed if point.name == "random" else 0
        key = f"allocation {point.group} {point.name} {point.budget:g} {draw}"
        kept = self.store.get(key, lambda: self._allocated(point, draw))
        return Chosen(policy=policy_toml.loads(kept["policy"]), bytes=kept["bytes"], counts=kept["counts"])

    def importance(self, name: str, family: str, fmt: str) -> list[float]:
        """Per-layer harm of one format; for a measure that is one number a layer, that number."""
        key = f"harm {name} {family}"
        if key not in self.store.found:
            self._measure(name, family, 0)
        kept = self.store.found[key]
        if kept["importance"] is not None:
            return list(kept["importance"])
        return [row[FAMILIES[family].index(fmt)] for row in kept["harm"]]

    def _uniform(self, point: Point) -> Chosen:
        policy = Policy.uniform(point.name, point.acts, weights_granularity=point.granularity, timestep_bins=point.bins)
        for match in ENDS if point.group == "ends" else ():
            ends = spec(fpsim.format(ENDS_FORMAT), "channel", "mse")
            policy = policy.rule(match, weights=ends, acts=policy.rules[0].acts)
        split = find_splits(self.model.denoiser, point.split)
        weights = {name: policy.layer(name).weights for name, _ in self.layers}
        size = sum(self._bytes(module, weights[name], split.get(name, 0)) for name, module in self.layers)
        names = ["none" if each is None else each.format.name for each in weights.values()]
        return Chosen(policy=policy, bytes=size, counts={name: names.count(name) for name in dict.fromkeys(names)})

    @staticmethod
    def _bytes(module: Any, weights: TensorSpec | None, split: int) -> int:
        where = axes(module)
        return packed_bytes(tuple(module.weight.shape), weights, out=where.out, into=where.into, split=split)

    def _allocated(self, point: Point, draw: int) -> dict[str, Any]:
        request, measured = self._measure(point.name, point.group, draw, point.budget)
        found = allocate(request, measured, lambda *_: None)
        names = list(found.allocation.weight_formats().values())
        return {
            "policy": policy_toml.dumps(found.policy),
            "bytes": int(found.allocation.used["weights"].used),
            "limit": found.allocation.used["weights"].limit,
            "gap": found.allocation.gap,
            "counts": {name: names.count(name) for name in FAMILIES[point.group] if name in names},
        }

    def _measure(self, name: str, family: str, draw: int, budget: float = 8.0) -> tuple[AllocationRequest, Measured]:
        request = self._request(name, family, draw, budget)
        key = (name, family, draw)
        if key not in self._measured:
            print(f"measuring {name}, {family}", file=sys.stderr, flush=True)
            folder = self.folder / f"probes-{request.images}"
            found = self._measured[key] = measure(request, self.model, folder, lambda *_: None)
            self.store.get(f"harm {name} {family}", lambda: _harm(name, found))
        return request, self._measured[key]

    def _request(self, name: str, family: str, draw: int, budget: float) -> AllocationRequest:
        how, few = self.how, name in ("output-mse", "sqnr", "sensitivity")
        settings: dict[str, Any] = {"measure_seed": draw} if name == "random" else {}
        if name == "sensitivity":
            settings = {"sensitivity_images": how.trajectories}
        images = how.outputs if few else how.probes
        return AllocationRequest(
            weights={fmt: spec(fpsim.format(fmt), "channel", "mse") for fmt in FAMILIES[family]},
            acts={"int8": spec(fpsim.format("int8"), "tensor", "mse")},
            limits=(Limit(kind="bpw", value=budget, text=f"{budget:g}bpw"),),
            measure=name,
            settings=settings,
            spec=SampleSpec(steps=how.steps, num_images=1, batch_size=images, seed=0),
            images=images,
            timesteps=how.timesteps,
        )


def _harm(name: str, found: Measured) -> dict[str, Any]:
    harm = found.harm
    own = None if harm.importance is None or name == "orm-error" else harm.importance.tolist()
    return {"layers": list(found.sizes), "harm": harm.weights.tolist(), "importance": own, "notes": list(harm.notes)}


def ranks(measures: Measures, names: tuple[str, ...], family: str, fmt: str) -> dict[str, float]:
    """Spearman's correlation of each measure's layers with the ground truth's."""
    from scipy.stats import spearmanr

    truth = measures.importance("sensitivity", family, fmt)
    found = {}
    for name in names:
        ours = np.array(measures.importance(name, family, fmt))
        found[name] = float(spearmanr(ours, truth).statistic)
    return found
