"""The tiny pipelines on disk, each built at its first use."""

from __future__ import annotations

from pathlib import Path

from tiny_pipelines import BUILDERS


class TinyFolders:
    """Builds each kind once, at its first use: ``folders("sd")`` is the folder of the saved pipeline."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._built: dict[str, Path] = {}

    def __call__(self, kind: str) -> Path:
        """The folder of one of ``BUILDERS``; copy it before changing anything in it."""
        if kind not in self._built:
            folder = self._root / kind
            folder.mkdir()
            self._built[kind] = BUILDERS[kind](folder)
        return self._built[kind]
