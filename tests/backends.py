"""A codec backend of another package, made visible to fpsim as an installation would.

Use the fixture by importing it in a ``conftest.py`` or a test module, with ``tests/`` on ``sys.path``.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def plain_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a third-party backend (``plain``) that is installed while the test runs, also for subprocesses."""
    site = tmp_path / "site"
    site.mkdir()
    name = install(site)
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    protocol.backend.cache_clear()
    yield name
    protocol.backend.cache_clear()
