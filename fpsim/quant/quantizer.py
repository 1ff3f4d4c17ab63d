"""A format with scales: value to value, for whole tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays, results
from fpsim.codec.api import quantize
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat
from fpsim.number.names import format as resolve
from fpsim.quant import granularity as views
from fpsim.quant.blocks import with_scales
from fpsim.quant.granularity import Granularity, PerBlock, PerTensor
from fpsim.quant.scales import Scales, check, fit

_PER_TENSOR = PerTensor()


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
        FpsimError: an unknown format or rule, a rule that does not fit the granularity, fixed scales of blocks.

    >>> import numpy as np
    >>> Quantizer("int4", scale="max")(np.array([0.1, -0.72, 1.4], np.float32))
    array([ 0. , -0.8,  1.4], dtype=float32)
    """

    format: Any
    granularity: Granularity = _PER_TENSOR
    scale: str = "mse"
    scales: Scales | None = None
    backend: str | None = None
    name: str = "the tensor"

    def __post_init__(self) -> None:
        fmt = with_scales(resolve(self.format), self.granularity, self.scale)
        if isinstance(fmt, BlockFormat):
            axis = self.granularity.axis if isinstance(self.granularity, PerBlock) else -1
            object.__setattr__(self, "granularity", PerBlock(fmt.block, axis))
        object.__setattr__(self, "format", fmt)
        if self.scales is not None and isinstance(self.granularity, PerBlock):
            raise FpsimError("scales of blocks follow from each tensor; drop the fixed scales or choose PerChannel")

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
            out: where to write, like ``x``; may be ``x``.

        Raises:
            FpsimError: as :meth:`fit` where scales are not fixed; fixed scales that do not fit ``x``; as
                :func:`fpsim.quantize`.
        """
        if out is not None:
            results.check_out(x, out)
        if isinstance(self.granularity, PerBlock):
            return self._by_blocks(x, self.granularity, out)
        found = (self if self.scales is not None else self.fit(x)).scales
        assert found is not None, "fit sets the scales"
        return self._rounded(x, found, self.granularity, out)

    def _rounded(self, x: Any, found: Scales, granularity: Any, out: Any) -> Any:
        work, chosen = arrays.working(x), arrays.choose(self.backend, x)
        needed = views.count(work.data, granularity)
        if len(found.scale) != needed:
            raise FpsimError(f"{self.name}: {len(found.scale)} fixed scales for {needed} groups; fit it again")
        shape, layout = views.as_rows(work.data, granularity)
        y = out if out is not None and results.usable(out, work.data) else results.empty_like(work.data)
        source, target = arrays.for_backend(work.data, chosen), arrays.for_backend(y, chosen)
        real = np.dtype(f"float{work.width}")
        scale = layout(effective_scale(found.scale.astype(real), self.format, self.name))
        zero_point = None if found.zero_point is None else layout(found.zero_point.astype(real))
        if arrays.is_torch(source):
            scale, zero_point = (_to_torch(v, source) for v in (scale, zero_point))
        chosen.quantize(source.reshape(shape), self.format, scale, target.reshape(shape), zero_point)
        return results.finish(y, x, out)

    def _by_blocks(self, x: Any, blocks: PerBlock, out: Any) -> Any:
        axis = blocks.axis
        if isinstance(self.format, BlockFormat):
            if axis in (-1, x.ndim - 1):
                return quantize(x, self.format, out=out, backend=self.backend)
            y = views.back(quantize(views.last_axis(x, axis), self.format, backend=self.backend), axis)
        else:
            y = views.back(self._full_precision_scales(views.last_axis(x, axis), blocks.size), axis)
        return results.finish(y, x, out)

    def _full_precision_scales(self, x: Any, size: int) -> Any:
        """Blocks along the last axis with a scale each in the working width; a short last block has its own."""
        columns = x.shape[-1]
        whole = columns // size * size
        one_each = replace(self, granularity=views.PerChannel(0))
        done = [
            one_each(part.reshape(-1, length)).reshape(part.shape)
            for part, length in ((x[..., :whole], size), (x[..., whole:], columns - whole))
            if part.shape[-1]
        ]
        if len(done) < 2:
            return done[0] if done else x
        if arrays.is_torch(x):
            import torch

            return torch.cat(done, dim=-1)
        return np.concatenate(done, axis=-1)


def effective_scale(scale: NDArray[Any], fmt: ElementFormat, name: str = "the tensor") -> NDArray[Any]:
    """The quantizer's scale times the format's own: what backends divide by (one IEEE product).

    Raises:
        FpsimError: it is no positive normal number, or the format's largest value times it overflows.
    """
    real = scale.dtype.type
    with np.errstate(over="ignore", under="ignore"):
        own = fmt.scale(scale.dtype.itemsize * 8)
        product: NDArray[Any] = scale if own == 1 else scale * real(own)
        check(product, name)
        largest = real(float(fmt.grid.max)) * product
    # With scale 1 there is nothing to choose: what the type cannot hold becomes its largest number, as everywhere.
    if not np.isfinite(largest[scale != 1]).all():
        raise FpsimError(
            f"{name}: scale {product.max()} times the largest value of {fmt.name} overflows {scale.dtype.name}; "
            "choose a smaller scale, or skip it"
        )
    return product


def _to_numpy(data: Any) -> NDArray[Any]:
    values: NDArray[Any] = data.cpu().numpy() if arrays.is_torch(data) else data
    return values


def _to_torch(values: NDArray[Any] | None, like: Any) -> Any:
    if values is None:
        return None
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)
