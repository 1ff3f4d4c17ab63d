"""How much memory activations take at once: storages that come and go, in the order of execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fpsim.cost.attention_groups import Group
from fpsim.cost.events import Event

#: Score matrices that naive attention holds at once: the product's and the softmax's.
SCORE_COPIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Live activation elements over a run, in elements whatever their type.

    Attributes:
        peak: the largest sum of live storages that hold no score matrix, while an operator runs.
        attention: the same while each attention runs, in order.
        as_run: the largest sum of all live storages, with those score matrices that the run really made.
    """

    peak: int
    attention: tuple[int, ...]
    as_run: int

    def with_scores(self, scores: Sequence[int], copies: int = SCORE_COPIES) -> int:
        """Return the peak with so many score matrices materialized.

        Args:
            scores: elements of each attention's score matrix, in order.
            copies: how many are alive at once.
        """
        return max([self.peak, *(live + copies * size for live, size in zip(self.attention, scores, strict=True))])


def liveness(events: Sequence[Event], groups: Sequence[Group]) -> Liveness:
    """Return the live activation elements of a run.

    A storage counts from the operator that made it to the last moment that anything refers to it, so skip connections
    and local variables count as long as eager execution keeps them. Parameters and buffers do not count.

    Args:
        events: a run.
        groups: its attentions.
    """
    hidden = frozenset[int]().union(*(group.storages for group in groups))
    shown = timeline(events, hidden)
    return Liveness(
        peak=max(shown, default=0),
        attention=tuple(max(shown[group.members[0] : group.members[-1] + 1]) for group in groups),
        as_run=max(timeline(events), default=0),
    )


def timeline(events: Sequence[Event], hidden: frozenset[int] = frozenset()) -> list[int]:
    """Return the live elements while each operator runs: its operands, its results and all that is kept for later.

    Args:
        events: a run.
        hidden: storages that do not count.
    """
    sizes: dict[int, int] = {}
    live, result = 0, []
    for event in events:
        live -= sum(sizes.pop(storage, 0) for storage in event.freed)
        for storage, elements in event.allocated:
            if storage not in hidden:
                sizes[storage] = elements
                live += elements
        result.append(live)
    return result
