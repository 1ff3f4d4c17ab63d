"""The operation list of any batch from those of two: every count is a line in the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fpsim.cost.operations import Component, Operation, Trace
from fpsim.errors import FpsimError

_COUNTS = ("macs", "flops", "weights", "inputs", "outputs", "scores")


def scaled(first: Trace, second: Trace, batch: int) -> Trace:
    """Return the trace that a model would have at another batch.

    Weights and what depends on the time step only stay as they are, everything else grows with the batch. The peak of
    live activations is a line as long as the same operation has it, as it is for two batches of a diffusion model.

    Args:
        first, second: traces of the same model at two different batches.
        batch: samples.

    Raises:
        FpsimError: the traces are of different models or of the same batch, or the batch is below 1.
    """
    if batch < 1:
        raise FpsimError(f"a batch of {batch} has no sample; give a positive number")
    alike = [len(item.operations) for item in first.components] == [len(item.operations) for item in second.components]
    if first.name != second.name or first.batch == second.batch or not alike:
        raise FpsimError(
            f"traces of {first.name} at batch {first.batch} and of {second.name} at batch {second.batch} do not "
            "determine a third; give two batches of one model"
        )
    line = _Line(first=first.batch, second=second.batch, batch=batch)
    pairs = zip(first.components, second.components, strict=True)
    return replace(first, batch=batch, components=tuple(line.component(one, two) for one, two in pairs))


class _Line:
    """The line through two batches, at a third."""

    def __init__(self, *, first: int, second: int, batch: int) -> None:
        self._first, self._span, self._batch = first, second - first, batch

    def at(self, one: int, two: int) -> int:
        return one + (two - one) * (self._batch - self._first) // self._span

    def component(self, one: Component, two: Component) -> Component:
        pairs = zip(one.operations, two.operations, strict=True)
        lives = zip(one.attention_live, two.attention_live, strict=True)
        return replace(
            one,
            operations=tuple(self.operation(left, right) for left, right in pairs),
            live=self.at(one.live, two.live),
            live_naive=self.at(one.live_naive, two.live_naive),
            attention_live=tuple(self.at(*pair) for pair in lives),
        )

    def operation(self, one: Operation, two: Operation) -> Operation:
        if one == two:
            return one
        counts: dict[str, Any] = {name: self.at(getattr(one, name), getattr(two, name)) for name in _COUNTS}
        gemm = one.gemm
        if gemm is not None and two.gemm is not None:
            batch, rows, columns, depth = (self.at(*pair) for pair in zip(gemm, two.gemm, strict=True))
            gemm = (batch, rows, columns, depth)
        return replace(one, **counts, gemm=gemm)
