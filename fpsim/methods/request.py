"""What a simulation is asked to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic
from fpsim.quant.policy import Policy
from fpsim.sample.spec import SampleSpec

REFERENCE = "full precision"
#: What a run's folder holds beside the rows, as labels or as parts of file names.
_RESERVED = {REFERENCE, "full-precision", "full_precision", "calibration", "config.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantization to simulate.

    Args:
        label: what outputs call it, such as ``e4m3/int8``.
        policy: which layer gets which format.
        weights, acts: descriptions for people.

    Raises:
        FpsimError: a label that means something else in a run's folder.
    """

    label: str
    policy: Policy
    weights: str
    acts: str

    def __post_init__(self) -> None:
        if {self.label.casefold(), self.slug.casefold()} & _RESERVED:
            raise FpsimError(f"{self.label!r} cannot name a quantization: the run's folder uses that name itself")

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return re.sub(r"[^A-Za-z0-9.+-]+", "_", self.label).strip("_") or "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole simulation, apart from its model.

    Args:
        spec: what to sample.
        rows: the quantizations, each label once.
        act_scales: ``static`` (from the calibration run) or ``dynamic`` (per sample).
        calibration_images: images of the calibration run.
        backend: who rounds; None for the default.
        strict: whether blocks must divide the layers' input channels.
        dtype, device: where and in what the model runs.
        quantization: options as the user gave them, for the record.
        command: the command that repeats the run.
        overwrite: whether a folder that holds another run is started afresh.
        method: a name of :data:`fpsim.methods.registry.METHODS`.
        method_options: those of the method that the user gave.
        arithmetic: the tensor core that multiplies the rows' quantized operands; None for torch's FP32.

    Raises:
        FpsimError: no row, or two of the same name (files do not tell capitals apart everywhere).
    """

    spec: SampleSpec
    rows: tuple[Row, ...]
    act_scales: str
    calibration_images: int
    backend: str | None
    strict: bool
    dtype: str
    device: str
    quantization: Mapping[str, Any]
    command: str
    overwrite: bool = False
    method: str = "rtn"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    arithmetic: Arithmetic | None = None

    def __post_init__(self) -> None:
        slugs = [row.slug.casefold() for row in self.rows]
        twice = next((row.label for row in self.rows if slugs.count(row.slug.casefold()) > 1), None)
        if not self.rows:
            raise FpsimError("there is nothing to simulate; give --quant W/A, --weights and --acts, or --policy FILE")
        if twice is not None:
            raise FpsimError(f"{twice!r} is given twice; each quantization needs a label of its own")
