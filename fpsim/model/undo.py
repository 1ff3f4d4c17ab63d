"""Ways back: what was done to a model is undone in the opposite order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence


def restore(undo: Sequence[Callable[[], None]]) -> None:
    """Undo everything, what was done last first."""
    for step in reversed(undo):
        step()


@contextlib.contextmanager
def restored(undo: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Undo everything at the end of a ``with`` block, however it ends."""
    try:
        yield
    finally:
        restore(undo)
