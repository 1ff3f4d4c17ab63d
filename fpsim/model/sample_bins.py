"""The part of a layer's calibration sample that lies in one bin of the timestep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.model.samples import LayerSample
from fpsim.number import BlockFormat
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.granularity import PerBlock, parse
from fpsim.quant.tensor_spec import TensorSpec


def needs_sample(spec: TensorSpec) -> bool:
    """Whether a static scale comes from a sample: not those of blocks, which follow each tensor, and not no scale."""
    blocks = isinstance(spec.format, BlockFormat) or isinstance(parse(spec.granularity), PerBlock)
    return not blocks and spec.scale != "none"


def sample_in(sample: LayerSample, spec: BinnedSpec, number: int, name: str) -> LayerSample:
    """Return what entered a layer at the timesteps of a bin.

    Args:
        sample: over all timesteps.
        spec: the bins.
        number: the place of the bin.
        name: of the layer.

    Raises:
        FpsimError: the calibration did not note timesteps, ran several in one batch, or none in the bin.
    """
    each = sample.each
    if each is None or np.isnan(each[:, 0]).any():
        raise FpsimError(
            f"layer {name!r} has timestep bins, but its calibration has calls without one timestep; calibrate with "
            "calls of the whole denoiser, one timestep each, or use dynamic scales"
        )
    wanted = spec.bins[number]
    mine = (each[:, 0] >= wanted.start) & (each[:, 0] < wanted.stop)
    if not mine.any():
        raise FpsimError(
            f"timestep bin {wanted} holds none of the {len(set(each[:, 0].tolist()))} timesteps of layer {name!r} in "
            "calibration, so it has no scale; calibrate on more steps, take fewer bins, or use dynamic scales"
        )
    ends = np.cumsum(each[:, 1]).astype(np.int64)
    starts = ends - each[:, 1].astype(np.int64)
    values = [sample.values[starts[call] : ends[call]] for call in np.flatnonzero(mine)]
    extremes: NDArray[np.float32] = np.array([each[mine, 2].min(), each[mine, 3].max()], np.float32)
    return LayerSample(np.concatenate([*values, extremes]), int(mine.sum()), each[mine])
