"""Measured numbers in a file, written as they are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpsim.methods.kept import damaged
from fpsim.sample.npz import atomic


class NumberStore:
    """Numbers by key in one JSON file; without a path they are kept in memory alone.

    Args:
        path: the file; it need not exist yet, its folder must.

    Raises:
        FpsimError: the file is damaged.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, Any] = {}
        if path is not None and path.is_file():
            try:
                self.found = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise damaged(path, error) from error

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return the numbers of a key, computed and written down if they are not there yet."""
        if key not in self.found:
            self.found[key] = compute()
            self.save()
        return self.found[key]

    def save(self) -> None:
        """Write everything; all of it or nothing appears."""
        if self.path is not None:
            with atomic(self.path) as stream:
                stream.write(json.dumps(self.found).encode())
