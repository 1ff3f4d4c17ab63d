"""Hold back what diffusers and transformers print while they load."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Turn off the loading bars and warnings of diffusers and transformers, and put them back afterwards.

    The download bars of the Hugging Face hub stay as the user has them; transformers would switch them too.
    """
    hub = importlib.import_module("huggingface_hub.utils")
    hub_bars = hub.disable_progress_bars if hub.are_progress_bars_disabled() else hub.enable_progress_bars
    with contextlib.ExitStack() as stack:
        stack.callback(hub_bars)
        for library in ("diffusers", "transformers"):
            log = importlib.import_module(f"{library}.utils.logging")
            stack.callback(log.set_verbosity, log.get_verbosity())
            if log.is_progress_bar_enabled():
                stack.callback(log.enable_progress_bar)
            log.set_verbosity_error()
            log.disable_progress_bar()
        hub_bars()
        yield
