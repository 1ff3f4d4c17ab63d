"""What a run kept in files for the next part of it."""

from __future__ import annotations

from pathlib import Path

from fpsim.errors import FpsimError


def damaged(path: Path, error: Exception) -> FpsimError:
    """Return the error that says that a file or folder cannot be read back.

    Args:
        path: what is damaged.
        error: what was found; its first words become one line.
    """
    reason = " ".join(str(error).split())[:120]
    return FpsimError(f"{path} is damaged ({reason}): delete it and run again")
