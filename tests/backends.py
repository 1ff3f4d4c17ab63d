"""A codec backend of another package, made visible to fpsim as an installation would."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from fpsim.codec import protocol

SOURCE = Path(__file__).parent / "third_party_backend"


def install(target: Path) -> str:
    """Put the package into a folder as an installer does: its module and its ``.dist-info``; return the backend's name.

    Done by hand, so that no test needs a network, pip or a build backend.
    """
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = project["project"]["name"], project["project"]["version"]
    for module in project["tool"]["setuptools"]["py-modules"]:
        shutil.copy(SOURCE / f"{module}.py", target)
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    points = project["project"]["entry-points"][protocol.GROUP]
    lines = [f"[{protocol.GROUP}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return next(iter(points))
