"""Round to nearest: scales from the data, no learning; the baseline of every paper."""

from __future__ import annotations

from collections.abc import Mapping

from fpsim.model.attach import Handle, quantize_
from fpsim.model.load import LoadedModel
from fpsim.model.samples import LayerSample
from fpsim.quant.policy import Policy


def attach(
    model: LoadedModel,
    policy: Policy,
    samples: Mapping[str, LayerSample] | None,
    backend: str | None,
    *,
    strict: bool = False,
) -> Handle:
    """Quantize a model's denoiser: weights first, then activations with scales from the full-precision samples.

    Args:
        model: a loaded model.
        policy: which layer gets which format.
        samples: for static activation scales; None makes them dynamic.
        backend: who rounds.
        strict: refuse blocks that do not divide a layer's input channels.

    Raises:
        FpsimError: as :func:`fpsim.model.attach.quantize_`.
    """
    return quantize_(model.denoiser, policy, samples, backend=backend, strict=strict)
