"""What the tests of sampling share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpsim.model.load import LoadedModel
from fpsim.sample.spec import SampleSpec

Models = Callable[[str], LoadedModel]
SPEC = SampleSpec(steps=3, num_images=2, batch_size=2, seed=0)
PROMPTS = ("red dog", "blue cat")


def spec_for(kind: str, **changes: Any) -> SampleSpec:
    return replace(SPEC, **{**({"prompts": PROMPTS} if kind.startswith("sd") else {}), **changes})


def interrupt(*_arguments: object) -> None:
    """A callback during which the user presses Ctrl-C."""
    raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
