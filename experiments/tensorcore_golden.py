"""Recorded outputs of a GPU as small npz files, written and read: patterns of inputs and results, and where from."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tensorcore_mma import Mma, Tiles, Words, specified
from tensorcore_tiles import diagonal, directed_tiles, packed, random_tiles

from fpsim.errors import FpsimError

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "tensorcore" / "recorded"
#: Bytes of a file at most.
LARGEST = 200_000
_KEYS = ("device", "driver", "date", "instructions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Single outputs of one instruction: a, b [n, K] and c, d [n] as they lie in memory, d as uint32."""

    mma: Mma
    a: np.ndarray
    b: np.ndarray
    c: Words
    d: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A file: what the machine called its GPU and driver, the day, and the instructions' outputs."""

    device: str
    driver: str
    date: str
    rows: tuple[Recorded, ...]

    def misses(self) -> dict[str, int]:
        """How many outputs of each instruction the package's specification gets wrong."""
        found = {}
        for row in self.rows:
            tiles = packed(row.mma, row.a, row.b, row.c)
            found[row.mma.name] = int((diagonal(specified(row.mma, tiles), len(row.d)) != row.d).sum())
        return found


def record(mma: Mma, run: Callable[[Mma, Tiles], Words], count: int, seed: int = 99) -> Recorded:
    """Record the directed cases and some random ones.

    Args:
        mma: the instruction.
        run: what executes it.
        count: random ones.
        seed: of the random ones.
    """
    directed, cases = directed_tiles(mma)
    tiles = random_tiles(mma, -(-count // mma.n), seed)
    sides = []
    for name in ("a", "b"):
        first, more = getattr(directed, name)[:, : mma.n], getattr(tiles, name)[:, : mma.n]
        sides.append(np.concatenate([first.reshape(-1, mma.k)[:cases], more.reshape(-1, mma.k)[:count]]))
    c = np.concatenate([diagonal(directed.c, cases), diagonal(tiles.c, count)])
    d = diagonal(run(mma, packed(mma, sides[0], sides[1], c)), len(c))
    return Recorded(mma=mma, a=sides[0], b=sides[1], c=c, d=d)


def today() -> str:
    """The machine's date, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def path_of(device: str, mma: Mma, folder: Path = FOLDER) -> Path:
    """Return a file's name: the device's and the types'."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return folder / f"{slug}-{'-'.join(dict.fromkeys((mma.a, mma.b)))}.npz"


def write(path: Path, golden: Golden) -> None:
    """Write a file.

    Raises:
        FpsimError: it would be larger than :data:`LARGEST`.
    """
    about = {key: getattr(golden, key) for key in _KEYS[:3]}
    about["instructions"] = [asdict(row.mma) for row in golden.rows]
    arrays = {f"{i}.{name}": getattr(row, name) for i, row in enumerate(golden.rows) for name in "abcd"}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, about=np.array(json.dumps(about)), **arrays)
    if (size := path.stat().st_size) > LARGEST:
        path.unlink()
        raise FpsimError(f"{path.name} would have {size} bytes, more than {LARGEST}; record fewer random vectors")


def read(path: Path) -> Golden:
    """Read a file.

    Raises:
        FpsimError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            rows = tuple(
                Recorded(mma=Mma(**mma), **{name: file[f"{i}.{name}"] for name in "abcd"})
                for i, mma in enumerate(about["instructions"])
            )
            return Golden(**{key: about[key] for key in _KEYS[:3]}, rows=rows)
    except (KeyError, ValueError, TypeError) as error:
        raise FpsimError(f"{path} holds no recorded outputs: {error}; write it with tensorcore_verify.py") from None


def write_all(device: str, driver: str, rows: Sequence[Recorded], folder: Path) -> list[Path]:
    """Write the outputs, one file for each pair of types, and return the paths."""
    files: dict[Path, list[Recorded]] = {}
    for row in rows:
        files.setdefault(path_of(device, row.mma, folder), []).append(row)
    for path, some in files.items():
        write(path, Golden(device=device, driver=driver, date=today(), rows=tuple(some)))
    return list(files)
