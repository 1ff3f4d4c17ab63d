"""What a denoiser saw and answered in the course of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.sample.npz import read_npz, write_npz

if TYPE_CHECKING:  # reading a run's folder does not need torch
    from fpsim.sample.observe import StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The denoiser's calls of one batch, in order.

    Attributes:
        timesteps: float32 [S], one a call.
        latents: float32 [S, N, C, H, W], the denoiser's inputs; N as in ``StepRecord``.
        outputs: float32 [S, N, C, H, W], the denoiser's outputs.
    """

    timesteps: NDArray[np.float32]
    latents: NDArray[np.float32]
    outputs: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields by name, as they are stored."""
        return {"timesteps": self.timesteps, "latents": self.latents, "outputs": self.outputs}

    def save(self, path: Path) -> None:
        """Write an npz file, all of it or nothing.

        Raises:
            FpsimError: The file cannot be written.
        """
        write_npz(path, self.arrays())


def record(records: Sequence[StepRecord]) -> Trajectory:
    """Put together what an observer was given during one batch, for example ``observer=records.append``.

    Raises:
        FpsimError: There is no record.
    """
    if not records:
        raise FpsimError("there are no step records: pass an observer to sample_batch")
    return Trajectory(
        timesteps=np.array([item.t for item in records], dtype=np.float32),
        latents=np.stack([item.latents for item in records]),
        outputs=np.stack([item.output for item in records]),
    )


def load(path: Path) -> Trajectory:
    """Read a file that ``Trajectory.save`` wrote.

    Raises:
        FpsimError: The file is missing, damaged or not a trajectory.
    """
    return from_arrays(read_npz(path), path)


def from_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> Trajectory:
    """The trajectory among a file's arrays.

    Raises:
        FpsimError: One of its arrays is missing.
    """
    try:
        return Trajectory(**{name: arrays[name] for name in ("timesteps", "latents", "outputs")})
    except KeyError as error:
        raise FpsimError(f"{path} holds no trajectory (no array {error}): delete it and run again") from error
