"""A format with scales: value to value, for whole tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.codec.api import quantize
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, Format, IntFormat, ScaleRule
from fpsim.number.names import format as resolve
from fpsim.quant import granularity as views
from fpsim.quant.granularity import Granularity, PerBlock, PerTensor
from fpsim.quant.scales import Scales, fit, is_rule


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """Fake-quantizes tensors: ``q(x)`` has the values that the format can hold, in the type of ``x``.

    Args:
        format: a format or its name. A block format brings its own blocks and scales.
        granularity: which values share a scale.
        scale: a rule: ``max``, ``percentile``, ``percentile:P``, ``mse``; with PerBlock also a scale format and
            its rule, such as ``e8m0-floor`` (MX) or ``e4m3-max`` (NVFP4 without the tensor's scale).
        scales: fixed scales (from :meth:`fit`); without them each call fits its own.
        backend: who rounds; default by the array.
        name: what errors call the tensor.

    Raises:
        FpsimError: an unknown format or rule, or a rule that does not fit the granularity.

    >>> import numpy as np
    >>> Quantizer("int4", scale="max")(np.array([0.1, -0.72, 1.4], np.float32))
    array([ 0. , -0.8,  1.4], dtype=float32)
    """

    format: Any
    granularity: Granularity = PerTensor()
    scale: str = "mse"
    scales: Scales | None = None
    backend: str | None = None
    name: str = "the tensor"

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", _with_blocks(resolve(self.format), self.granularity, self.scale))
        if isinstance(self.format, BlockFormat):
            axis = self.granularity.axis if isinstance(self.granularity, PerBlock) else -1
            object.__setattr__(self, "granularity", PerBlock(self.format.block, axis))
        elif not is_rule(self.scale):
            raise FpsimError(f"scale rule {self.scale!r} is not one of max, percentile, percentile:P, mse")

    def fit(self, x: Any) -> Quantizer:
        """Return this quantizer with the scales that its rule gives for ``x`` (block formats have none to fix).

        Raises:
            FpsimError: NaN or Inf in ``x``, or a scale that is no positive normal number.
        """
        if isinstance(self.format, BlockFormat):
            return self
        data = _to_numpy(arrays.working(x).data)
        if isinstance(self.granularity, PerBlock):
            raise FpsimError("scales of blocks depend on the tensor at hand; PerBlock quantizers are always dynamic")
        return replace(self, scales=fit(views.groups(data, self.granularity), self.format, self.scale, name=self.name))

    def __call__(self, x: Any, *, out: Any = None) -> Any:
        """Return ``x`` fake-quantized: same kind, shape and dtype.

        Args:
            x: NumPy array or torch tensor of a floating-point type.
            out: where to write, like ``x``.

        Raises:
            FpsimError: as :meth:`fit` where scales are not fixed.
        """
        if isinstance(self.granularity, PerBlock):
            return self._by_blocks(x, out)
        found = (self if self.scales is not None else self.fit(x)).scales
        assert found is not None, "fit sets the scales"
        return self._rounded(x, found, self.granularity, out)

    def _rounded(self, x: Any, found: Scales, granularity: Any, out: Any) -> Any:
        work, chosen = arrays.working(x), arrays.choose(self.backend, x)
        shape, layout = views.as_rows(work.data, granularity)
        y = arrays.empty_like(work.data)
        source, target = arrays.for_backend(work.data, chosen), arrays.for_backend(y, chosen)
        scale = layout(effective_scale(found.scale, self.format))
        zero_point = None if found.zero_point is None else layout(found.zero_point)
        if arrays.is_torch(source):
            scale, zero_point = (_to_torch(v, source) for v in (scale, zero_point))
        chosen.quantize(source.reshape(shape), self.format, scale, target.reshape(shape), zero_point)
        return arrays.finish(y, x, out)

    def _by_blocks(self, x: Any, out: Any) -> Any:
        assert isinstance(self.granularity, PerBlock), "only called for blocks"
        axis = self.granularity.axis
        if isinstance(self.format, BlockFormat):
            if axis in (-1, x.ndim - 1):
                return quantize(x, self.format, out=out, backend=self.backend)
            y = views.back(quantize(views.last_axis(x, axis), self.format, backend=self.backend), axis)
        else:
            y = views.back(self._full_precision_scales(views.last_axis(x, axis)), axis)
        return arrays.finish(y, x, out)

    def _full_precision_scales(self, x: Any) -> Any:
        """Blocks along the last axis with a scale each in the working width; a short last block has its own."""
        assert isinstance(self.granularity, PerBlock), "only called for blocks"
        size, columns = self.granularity.size, x.shape[-1]
        whole = columns // size * size
        parts = [(x[..., :whole], size), (x[..., whole:], columns - whole)]
        done = []
        for part, length in parts:
            if part.shape[-1]:
                rows = part.reshape(-1, length)
                one_each = replace(self, granularity=views.PerChannel(0))
                done.append(one_each(rows).reshape(part.shape))
        if len(done) == 1:
            return done[0]
        if arrays.is_torch(x):
            import torch

            return torch.cat(done, dim=-1)
        return np.concatenate(done, axis=-1)


def effective_scale(scale: NDArray[Any], fmt: ElementFormat) -> NDArray[Any]:
    """The quantizer's scale times the format's own: what backends divide by (one IEEE product).

    Raises:
        FpsimError: the format's largest value times the scale overflows the working width.
    """
    real, width = scale.dtype.type, scale.dtype.itemsize * 8
    own = fmt.scale(width)
    product: NDArray[Any] = scale if own == 1 else scale * real(own)
    return product


def _with_blocks(fmt: Format, granularity: Granularity, scale: str) -> Format:
    """An element format in blocks with scales of a format, such as ``e8m0-floor``, is a block format."""
    kind, _, rule = scale.rpartition("-")
    if isinstance(fmt, BlockFormat) or not isinstance(granularity, PerBlock) or rule not in set(ScaleRule) or not kind:
        return fmt
    scale_format = resolve(kind)
    if isinstance(scale_format, BlockFormat | IntFormat) or not hasattr(scale_format, "exponent_bits"):
        raise FpsimError(f"scale rule {scale!r}: {kind} is no floating-point format for scales; use e8m0 or e4m3")
    return BlockFormat(
        name=f"{fmt.name} block:{granularity.size} {scale}",
        element=fmt,
        block=granularity.size,
        scale=scale_format,
        rule=ScaleRule(rule),
    )


def _to_numpy(data: Any) -> NDArray[Any]:
    return data.cpu().numpy() if arrays.is_torch(data) else data


def _to_torch(values: NDArray[Any] | None, like: Any) -> Any:
    if values is None:
        return None
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)
