"""Instructions of a device against fpsim.tensorcore: exact tiles, random ones, directed cases, open points."""

from __future__ import annotations

import time

import numpy as np
from tensorcore_devices import Device, Run
from tensorcore_mma import Mma, Tiles, Words, expected, modelled
from tensorcore_points import points, verdict
from tensorcore_tiles import KINDS, diagonal, diagonals, directed_tiles, exact, random_tiles

from fpsim.errors import FpsimError

#: Dot products that are computed and compared at a time, with the engine and with its transcription.
_CHUNK = 1 << 18


class Model:
    """What outputs are compared with: the package's engine, or its transcription, which a GPU runs in seconds.

    Args:
        engine: ``compiled``, ``torch`` (the transcription), or ``both``: the transcription, and of each instruction
            the first chunk with the engine too, which must agree.
        on: torch device of the transcription.
    """

    def __init__(self, engine: str, on: str = "cpu") -> None:
        self.engine, self.on = engine, on
        self.seen: set[Mma] = set()

    def __call__(self, mma: Mma, tiles: Tiles) -> Words:
        if self.engine == "compiled":
            return expected(mma, tiles)
        found = modelled(mma, tiles, on=self.on)
        if self.engine == "both" and mma not in self.seen:
            self.seen.add(mma)
            if (wrong := int((found != expected(mma, tiles)).sum())) > 0:
                raise FpsimError(f"{mma.name}: fpsim.tensorcore.dot and its transcription differ in {wrong} outputs")
        return found

    def __str__(self) -> str:
        said = f"fpsim.tensorcore's transcription in torch, on {self.on}"
        names = {"compiled": "fpsim.tensorcore.dot", "both": f"{said}; the first {_CHUNK} by fpsim.tensorcore.dot too"}
        return names.get(self.engine, said)


def checked(device: Device, dots: int, model: Model, *, open_points: bool = True) -> int:
    """Print a line for each instruction, and the open points; return the number of wrong outputs."""
    print(f"{'instruction':24s}{'dot products':>14s}{'wrong':>10s}{'directed':>10s}{'wrong':>8s}{'s':>8s}")
    total = 0
    for mma in device.mmas:
        start = time.perf_counter()
        tiles, right = exact(mma, 64 if device.real else 1)
        if differing(device.run(mma, tiles), right):
            print(f"{mma.name:24s} wrong on small integers: the kernel's layout, not the arithmetic")
            total += 1
            continue
        bad, count, first = compared(mma, device.run, dots, model)
        missed, cases = directed_misses(mma, device, 0 if device.real else 96)
        print(f"{mma.name:24s}{count:14d}{bad:10d}{cases:10d}{missed:8d}{time.perf_counter() - start:8.1f}")
        if first:
            print(first)
        total += bad + missed
    if open_points:
        for point in points(device.mmas):
            print(*verdict(point, device.run(point.mma, point.tiles)), sep="\n")
    return total


def directed_misses(mma: Mma, device: Device, most: int) -> tuple[int, int]:
    """How many directed cases are not what the transcription says, and their number; ``most`` 0 takes all."""
    tiles, cases = directed_tiles(mma)
    if most:
        tiles, cases = tiles.part(0, -(-most // mma.n)), min(most, cases)
    found = device.run(mma, tiles)
    return int((diagonal(found, cases) != diagonal(modelled(mma, tiles), cases)).sum()), cases


def compared(mma: Mma, run: Run, dots: int, model: Model) -> tuple[int, int, str]:
    """Return wrong outputs, all outputs, and what the first wrong one is."""
    bad, done, first = 0, 0, ""
    while done < dots:
        tiles = random_tiles(mma, min(_CHUNK, dots - done) // (mma.m * mma.n) + len(KINDS), seed=done)
        found = run(mma, tiles)
        theirs = alike(found, model(mma, tiles))
        differ = np.argwhere(found != theirs)
        if len(differ) and not first:
            first = shown(tiles, found, theirs, tuple(differ[0]))
        bad, done = bad + len(differ), done + found.size
    return bad, done, first


def alike(found: Words, every: Words) -> Words:
    """All outputs, or their diagonals if no others were found."""
    return every if found.ndim == every.ndim else diagonals(every)


def differing(found: Words, every: Words) -> int:
    """How many outputs differ."""
    return int((found != alike(found, every)).sum())


def shown(tiles: Tiles, found: Words, theirs: Words, at: tuple[int, ...]) -> str:
    """An output and its inputs, as patterns."""
    tile, row, column = at if len(at) == 3 else (at[0], at[1], at[1])
    sides = [" ".join(f"{x:x}" for x in side) for side in (tiles.a[tile, row], tiles.b[tile, column])]
    said = f"device {found[at]:#010x}, model {theirs[at]:#010x}, c {tiles.c[tile, row, column]:#010x}"
    return f"    {said}\n    a {sides[0]}\n    b {sides[1]}"
