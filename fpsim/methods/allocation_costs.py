"""What each choice of a format costs: bytes of weights, bits of activations, bit-operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.methods.allocation_request import Limit
from fpsim.model.layer_sizes import LayerSize
from fpsim.number import BlockFormat
from fpsim.quant.allocation.problem import Budget, Numbers
from fpsim.quant.allocation.sizes import element_bits, packed_bytes
from fpsim.quant.granularity import PerBlock, parse
from fpsim.quant.policy import TensorSpec

Specs = Sequence[TensorSpec | None]


def weight_bytes(sizes: Mapping[str, LayerSize], specs: Specs, split: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the packed bytes of each layer's weight in each format, scales counted, ``[layers, formats]``."""
    rows = [
        [packed_bytes(s.shape, spec, out=s.out, into=s.into, split=split.get(name, 0)) for spec in specs]
        for name, s in sizes.items()
    ]
    return np.array(rows, dtype=np.int64)


def act_bits(size: LayerSize, spec: TensorSpec | None) -> int:
    """Return the bits of one sample's input in a format; scales of blocks are counted, those of tensors are not."""
    bits = size.inputs * element_bits(spec)
    if spec is None:
        return bits
    if isinstance(spec.stored, BlockFormat):
        return bits + -(-size.inputs // spec.stored.block) * spec.stored.scale.bits
    where = parse(spec.granularity)
    return bits + (-(-size.inputs // where.size) * 32 if isinstance(where, PerBlock) else 0)


def budget(
    limit: Limit,
    sizes: Mapping[str, LayerSize],
    weights: Specs,
    acts: Specs,
    shares: NDArray[np.float64],
    split: Mapping[str, int],
) -> Budget:
    """Return a budget on sizes or operations.

    Args:
        limit: its kind and value.
        sizes: of the layers, in the order of the problem.
        weights: formats of the weights.
        acts: formats of the inputs; where there is one or none, they are no choice.
        shares: which part of the sampler's calls lies in each timestep bin.
        split: split indices by layer.

    Raises:
        FpsimError: a limit on activations that are not chosen, or an unknown kind.
    """
    if limit.kind in ("bpw", "bytes"):
        count = sum(size.weights for size in sizes.values())
        most = int(limit.value * count / 8 if limit.kind == "bpw" else limit.value)
        return Budget(name="weights", unit="bytes", limit=most, weights=weight_bytes(sizes, weights, split))
    if limit.kind == "bpa":
        if len(acts) < 2:
            raise FpsimError(f"--budget {limit.text!r} limits activations; give several formats for them by --acts")
        elements = sum(size.inputs for size in sizes.values())
        bits = np.array([[act_bits(size, spec) for spec in acts] for size in sizes.values()], dtype=np.int64)
        return Budget(name="activations", unit="bits", limit=limit.value * elements, acts=_by_bin(bits, shares))
    if limit.kind == "bops":
        return _operations(limit, sizes, weights, acts, shares)
    raise FpsimError(f"--budget {limit.text!r}: unknown kind {limit.kind!r}")


def _operations(
    limit: Limit, sizes: Mapping[str, LayerSize], weights: Specs, acts: Specs, shares: NDArray[np.float64]
) -> Budget:
    """Bits of the weight times bits of the input times multiply–accumulates."""
    macs = np.array([size.macs for size in sizes.values()], dtype=np.int64)
    ours = np.array([element_bits(spec) for spec in weights], dtype=np.int64)
    theirs = np.array([element_bits(spec) for spec in acts or (None,)], dtype=np.int64)
    each = macs[:, None, None] * ours[None, :, None] * theirs[None, None, :]
    how: dict[str, Any] = {"weights": each[:, :, 0]} if len(theirs) == 1 else {"pairs": _by_bin(each, shares)}
    return Budget(name="operations", unit="bit-operations", limit=limit.value, **how)


def _by_bin(values: NDArray[np.int64], shares: NDArray[np.float64]) -> Numbers:
    """Values of each timestep bin by its share of the calls; whole numbers stay whole where there is one bin."""
    return values[..., None] if len(shares) == 1 else values[..., None] * shares
