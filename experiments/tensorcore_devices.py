"""What executes the instructions: the machine's GPU, or, without one, the specification and a wrong model of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tensorcore_cuda import Cuda, compiled
from tensorcore_mma import Mma, Tiles, Words, mmas, modelled, specified, variant
from tensorcore_tiles import exact

from fpsim.errors import FpsimError

Run = Callable[[Mma, Tiles], Words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU or what stands for one.

    Args:
        name: as the machine calls it.
        driver: its version.
        mmas: the instructions that it has.
        run: executes one on tiles: all outputs [n, M, N], or the specification's, of the diagonals alone [n, N].
        real: whether it is a GPU.
    """

    name: str
    driver: str
    mmas: tuple[Mma, ...]
    run: Run
    real: bool = True


def gpu(folder: Path) -> Device:
    """Return the machine's GPU, its instructions compiled in a folder.

    Raises:
        FpsimError: there is none, it is too old, or nvcc is missing.
    """
    if not torch.cuda.is_available():
        raise FpsimError("this needs an NVIDIA GPU (CUDA); --smoke runs the same checks on the specification instead")
    major, minor = torch.cuda.get_device_capability()
    found = mmas(10 * major + minor)
    cuda = Cuda(found, compiled(found, 10 * major + minor, folder))
    settle(cuda)
    return Device(name=torch.cuda.get_device_name(), driver=_driver(), mmas=found, run=cuda.run)


def settle(cuda: Cuda) -> None:
    """Find out in which order the hardware reads a shared-memory descriptor's two distances, by exact tiles.

    Where neither is right the layout check of the instruction says so.
    """
    for mma in (mma for mma in cuda.mmas if mma.instruction == "wgmma"):
        tiles, right = exact(mma)
        for cuda.swap in (0, 1):
            if (cuda.run(mma, tiles) == right).all():
                return


def _driver() -> str:
    """The driver's version."""
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0].strip()
    return f"for CUDA {torch.version.cuda}"


def specification(found: tuple[Mma, ...]) -> Device:
    """Return the exact specification in place of a GPU; it is slow, so it computes the diagonals only."""
    return Device(name="specification", driver="none", mmas=found, run=specified, real=False)


def wrong(found: tuple[Mma, ...]) -> Device:
    """Return a device that keeps one fraction bit too many of every term, which must be told from the right one."""

    def run(mma: Mma, tiles: Tiles) -> Words:
        if mma.accumulator == "int32":
            return modelled(mma, tiles) ^ np.uint32(1)
        return modelled(mma, tiles, variant(mma.unit, fraction_bits=mma.unit.fraction_bits + 1))

    return Device(name="wrong on purpose", driver="none", mmas=found, run=run, real=False)
