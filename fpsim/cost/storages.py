"""Which memory is alive during a run: storages by identity, until the last reference to them goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from fpsim.cost.events import ACTIVATION, Operand


class Storages:
    """Numbers the storages of a run and tells when they come and go, as eager execution would allocate and free."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._refs: dict[int, StorageWeakRef] = {}
        self._owned: dict[int, StorageWeakRef] = {}
        self._roles: dict[int, str] = {}
        self._new: list[tuple[int, int]] = []
        self._count = 0

    def own(self, tensor: Tensor, role: str) -> None:
        """Note a parameter or buffer, which is no activation and lives longer than the run."""
        self._roles.setdefault(self._number(tensor), role)
        self._owned |= self._refs
        self._refs.clear()

    def operand(self, tensor: Tensor) -> Operand:
        """Describe a tensor; one that was never seen takes memory now."""
        number = self._number(tensor)
        elements = _elements(tensor)
        if number not in self._roles:
            self._roles[number] = ACTIVATION
            self._new.append((number, elements))
        return Operand(
            storage=number,
            shape=tuple(tensor.shape),
            elements=min(tensor.numel(), elements),
            role=self._roles[number],
        )

    def take_new(self) -> tuple[tuple[int, int], ...]:
        """Return the (storage, elements) that came since the last call."""
        new, self._new = tuple(self._new), []
        return new

    def take_freed(self) -> tuple[int, ...]:
        """Return the storages that went since the last call."""
        gone = [key for key, ref in self._refs.items() if _gone(ref)]
        for key in gone:
            del self._refs[key]
        return tuple(self._ids.pop(key) for key in gone)

    def _number(self, tensor: Tensor) -> int:
        # A weak reference keeps the storage's address from being reused, so addresses identify storages.
        ref = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        key = int(ref.cdata)
        if key not in self._ids:
            self._ids[key], self._refs[key] = self._count, ref
            self._count += 1
        return self._ids[key]


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)


def _gone(ref: StorageWeakRef) -> bool:
    return bool(ref.expired())  # type: ignore[no-untyped-call]


def _elements(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()
