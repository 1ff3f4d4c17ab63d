"""What searched formats are called in a run's record and report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fpsim.quant.policy import BinnedSpec, Rule, TensorSpec


def words_of(rules: Iterable[Rule]) -> dict[str, str]:
    """Return which encodings the weights and the inputs of a model's layers have.

    Args:
        rules: of all its layers, or of the halves of split ones.
    """
    given = list(rules)
    acts = [rule.acts for rule in given if rule.acts]
    counts = sorted({spec.count for spec in acts if isinstance(spec, BinnedSpec)})
    bins = f", in {' or '.join(map(str, counts))} timestep bin{'s' * (counts != [1])}" if counts else ""
    return {
        "weights": _counted([_short(rule.weights) for rule in given if rule.weights]),
        "acts": _counted([_short(each) for spec in acts for each in _specs(spec)]) + bins,
    }


def _specs(spec: TensorSpec | BinnedSpec) -> tuple[TensorSpec, ...]:
    return spec.specs if isinstance(spec, BinnedSpec) else (spec,)


def _short(spec: TensorSpec) -> str:
    return str(spec) if spec.biases is None else f"{spec.format.name}, biases per channel"


def _counted(specs: list[str]) -> str:
    """How many tensors have which encoding, such as ``e1m2 × 40, e2m1 × 24, searched``; the only one in full."""
    if len(set(specs)) <= 1:
        return specs[0] if specs else "full precision"
    names = Counter(spec.split()[0].rstrip(",") for spec in specs)
    return ", ".join(f"{name} × {count}" for name, count in sorted(names.items())) + ", searched"
