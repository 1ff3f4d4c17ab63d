"""The models that come with the package: their names, their order of preference and where they lie."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from fpsim.errors import FpsimError

ALIAS = "bundled"
NAMES = ("cifar10-32", "fashion-28")
"""Every name a bundled model can have, the preferred one first."""

_FILES = ("config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json")


def is_bundled(requested: str) -> bool:
    """Whether a name means a bundled model (present or not).

    >>> is_bundled("bundled"), is_bundled("fashion-28"), is_bundled("./fashion-28")
    (True, True, False)
    """
    return requested == ALIAS or requested in NAMES


def weights_folder() -> Path:
    """The folder of the installed package that holds one sub-folder a bundled model."""
    return Path(str(files("fpsim.model").joinpath("weights")))


def present(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the bundled models whose files are all there, best one first.

    Args:
        folder: Where to look; the package's own weights without it.
    """
    root = weights_folder() if folder is None else folder
    return tuple(name for name in NAMES if all((root / name / file).is_file() for file in _FILES))


def resolve(requested: str, folder: Path | None = None) -> tuple[str, Path]:
    """Find a bundled model by its name or by the alias ``bundled``.

    A name that is not present is never replaced by another one: only the alias chooses.

    Args:
        requested: ``bundled``, ``cifar10-32`` or ``fashion-28``.
        folder: Where to look; the package's own weights without it.

    Returns:
        The real name and the model's folder.

    Raises:
        FpsimError: The name is unknown, or this installation does not have its weights.
    """
    there = present(folder)
    name = there[0] if requested == ALIAS and there else requested
    if name not in there:
        raise FpsimError(
            f"the bundled model {requested!r} is not in this installation (present: {', '.join(there) or 'none'}): "
            "choose one that is, or pass a model folder or a Hugging Face id"
        )
    return name, (weights_folder() if folder is None else folder) / name


def suggestion(requested: str) -> str:
    """A question naming the bundled model that a misspelt name is closest to, or nothing.

    >>> suggestion("fashion28")
    "; did you mean 'fashion-28'?"
    """
    close = get_close_matches(requested.lower(), (ALIAS, *NAMES), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
