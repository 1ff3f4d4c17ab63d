"""Install the peers into a folder of their own: ``python tests/bench/peers/install.py FOLDER``.

Each one alone and without its dependencies, so that nothing else is installed and the environment that runs this stays
as it is: its torch and NumPy serve the peers as well. A peer that does not install is noted, with pip's reason, in
``failed.json`` there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FAILED = "failed.json"
#: There while the folder is being filled.
BUSY = "unfinished"


def pinned() -> list[str]:
    """The lines of the requirements file, without comments."""
    lines = REQUIREMENTS.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def install(requirement: str, folder: Path) -> str | None:
    """Install one package; return why that failed."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return (errors or done.stderr.splitlines() or ["pip failed without a word"])[-1].removeprefix("ERROR: ")


def main(folder: Path) -> None:
    """Fill the folder anew; one that this script did not make stays as it is."""
    if folder.exists() and not any((folder / name).exists() for name in (FAILED, BUSY)):
        raise SystemExit(f"error: {folder} exists and holds no {FAILED}, so it is not a folder of peers; name another")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / ".gitignore").write_text("*\n", "utf-8")
    (folder / BUSY).touch()
    failed: dict[str, str] = {}
    for requirement in pinned():
        reason = install(requirement, folder)
        print(f"{requirement}: {reason or 'installed'}", file=sys.stderr)
        if reason:
            failed[requirement] = reason
    (folder / FAILED).write_text(json.dumps(failed, indent=1), "utf-8")
    (folder / BUSY).unlink()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/bench/peers/install.py FOLDER")
    main(Path(sys.argv[1]))
