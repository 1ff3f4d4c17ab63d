"""Hold back what a library says while it builds a module without weights."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(library: str) -> Iterator[None]:
    """Turn off the warnings of diffusers or transformers, and put them back afterwards.

    Args:
        library: ``diffusers`` or ``transformers``.
    """
    log = importlib.import_module(f"{library}.utils.logging")
    before = log.get_verbosity()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(before)
