"""Finds attention that a model writes as product, softmax and product, so that it counts like the fused operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fpsim.cost.events import SDPA, WEIGHT, Event

PRODUCTS = frozenset({"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm"})
SOFTMAXES = frozenset({"aten._softmax", "aten._safe_softmax"})
#: Operators that may lie between the two products: scaling, masks, casts, dropout, copies.
_REACH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Scaled dot-product attention among the events.

    Attributes:
        members: indices of its events, from the first product to the second; one for the fused operator.
        scores: elements of the score matrix.
        storages: memory that holds score matrices.
    """

    members: tuple[int, ...]
    scores: int
    storages: frozenset[int] = frozenset()


def groups(events: Sequence[Event]) -> tuple[Group, ...]:
    """Return the attentions of a run in their order."""
    found: list[Group] = []
    taken: set[int] = set()
    for index, event in enumerate(events):
        if is_fused(event):
            query, key = event.inputs[:2]
            found.append(Group(members=(index,), scores=math.prod(query.shape[:-1]) * key.shape[-2]))
        elif index not in taken and is_activation_product(event):
            group = _follow(events, index)
            if group is not None:
                found.append(group)
                taken.update(group.members)
    return tuple(found)


def is_fused(event: Event) -> bool:
    """Whether an event is attention in one operator."""
    return event.op == SDPA or event.op.startswith("aten._scaled_dot_product_")


def is_activation_product(event: Event) -> bool:
    """Whether an event multiplies two matrices neither of which is a parameter."""
    return event.op in PRODUCTS and all(operand.role != WEIGHT for operand in event.inputs[-2:])


def _follow(events: Sequence[Event], start: int) -> Group | None:
    """Follow the result of a product through a softmax to the next product."""
    scores = math.prod(events[start].outputs[0].shape)
    lineage = {events[start].outputs[0].storage}
    members, normalized = [start], False
    for index in range(start + 1, min(start + _REACH, len(events))):
        event = events[index]
        if event.is_view or not any(operand.storage in lineage for operand in event.inputs):
            continue
        members.append(index)
        if is_activation_product(event):
            own = {item.storage for item in events[start].inputs[:-2] if item.elements == scores}
            done = Group(members=tuple(members), scores=scores, storages=frozenset(lineage | own))
            return done if normalized else None
        if not event.outputs or math.prod(event.outputs[0].shape) != scores:
            return None
        normalized |= event.op in SOFTMAXES
        lineage.add(event.outputs[0].storage)
    return None
