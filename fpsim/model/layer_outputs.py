"""Gram matrices of what leaves each layer, captured in bounded memory: no layer's outputs are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.measure.projection import Projection, projection
from fpsim.model.layers import without_fused_layers
from fpsim.model.undo import restored

#: Features of a layer that are in memory as float64 at a time.
_CHUNK = 1 << 16
_SEED = 0x0E11


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputGrams:
    """What the layers of a model gave for the same N inputs.

    Args:
        grams: float64 ``[L, N, N]``, of centred outputs (see :func:`fpsim.measure.orthogonality.gram`).
        energies: float64 ``[L]``, sums of squares of the outputs, not centred.
    """

    grams: NDArray[np.float64]
    energies: NDArray[np.float64]


def capture_outputs(
    model: nn.Module, names: Sequence[str], calls: Sequence[Callable[[], Any]], *, size: int | None = None
) -> OutputGrams:
    """Run a model and return the Gram matrices of its layers' outputs over all inputs of the calls.

    One call holds all inputs: exact, and nothing but the N × N matrices outlives the layer. Several calls share the
    inputs among them: their outputs must meet, so a random projection of each is kept, ``N · size`` numbers a layer.
    A layer that runs several times in a call counts with all its outputs.

    Args:
        model: any module, run as it is.
        names: of its layers.
        calls: functions that run the model once each, on the inputs' parts.
        size: numbers of the projection (:func:`fpsim.measure.projection.standard_error` is its error); needed for
            several calls, and possible for one.

    Raises:
        FpsimError: several calls without a projection, a layer that did not run in every call, or NaN.
    """
    if size is None and len(calls) != 1:
        raise FpsimError(
            f"{len(calls)} calls meet in one Gram matrix only by a projection; give its size, such as 4096"
        )
    found = {name: _Layer(place, size) for place, name in enumerate(names)}
    modules = dict(model.named_modules())
    undo = without_fused_layers(model)
    undo += [modules[name].register_forward_hook(found[name]).remove for name in names]
    with restored(undo), torch.no_grad():
        for call in calls:
            for layer in found.values():
                layer.begin()
            call()
    grams = [layer.gram(name) for name, layer in found.items()]
    return OutputGrams(grams=np.stack(grams), energies=np.array([layer.energy for layer in found.values()]))


class _Layer:
    """Adds up one layer's Gram matrix, or keeps its projected outputs; a forward hook."""

    def __init__(self, place: int, size: int | None) -> None:
        self.place, self.size = place, size
        self.energy = 0.0
        self.total: Tensor | None = None
        self.parts: list[NDArray[np.float64]] = []
        self.calls: list[int] = []
        self.projections: dict[tuple[int, int], Projection] = {}

    def begin(self) -> None:
        """Another call begins."""
        self.calls.append(0)

    def __call__(self, _module: nn.Module, _args: Any, output: Any) -> None:
        result = output[0] if isinstance(output, tuple) else output
        flat = result.detach().reshape(len(result), -1)
        for start in range(0, flat.shape[1], _CHUNK):
            self.energy += float(flat[:, start : start + _CHUNK].double().square().sum())
        if self.size is None:
            self.total = _added(self.total, flat)
        else:
            self._project(flat.float().cpu().numpy())
        self.calls[-1] += 1

    def _project(self, flat: NDArray[np.float32]) -> None:
        assert self.size is not None, "only then"
        run, width = self.calls[-1], flat.shape[1]
        key = (run, width)
        if key not in self.projections:
            self.projections[key] = projection(width, self.size, _SEED + 1_000_003 * self.place + run)
        rows = self.projections[key](flat)
        if run:  # another run of the same inputs: its features come beside those of the first, as other sums do
            self.parts[-1] = np.concatenate([self.parts[-1], rows], axis=1)
        else:
            self.parts.append(rows)

    def gram(self, name: str) -> NDArray[np.float64]:
        """The layer's matrix."""
        if not self.calls or not all(self.calls):
            raise FpsimError(f"the calibration never ran layer {name!r}, so nothing is known of it; skip it")
        if self.size is None:
            assert self.total is not None, "it ran"
            result = self.total.cpu().numpy()
        else:
            rows = np.concatenate(self.parts)
            rows = rows - rows.mean(axis=0)
            result = rows @ rows.T
        if not np.isfinite(result).all():
            raise FpsimError(f"NaN or Inf leaves layer {name!r} in calibration; run the model in a wider dtype")
        return np.asarray(result)


def _added(total: Tensor | None, flat: Tensor) -> Tensor:
    """A Gram matrix with that of further features added, in float64, centred chunk by chunk."""
    if total is None:
        total = torch.zeros((len(flat), len(flat)), dtype=torch.float64, device=flat.device)
    for start in range(0, flat.shape[1], _CHUNK):
        part = flat[:, start : start + _CHUNK].double()
        part = part - part.mean(dim=0)
        total += part @ part.T
    return total
