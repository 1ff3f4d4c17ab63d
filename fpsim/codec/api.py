"""``fpsim.quantize``: value to value."""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.codec import arrays, results
from fpsim.codec.blocks import check_divides, quantize_blocks
from fpsim.codec.options import conversion
from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.conversion import Conversion
from fpsim.number.names import format as resolve


def quantize(
    x: Any,
    f: str | Format,
    *,
    rounding: str = "ties-to-even",
    overflow: str = "saturate",
    nan: str = "keep",
    random_bits: int | None = None,
    seed: int | None = None,
    preset: str | None = None,
    out: Any = None,
    out_dtype: Any = None,
    strict: bool = False,
    backend: str | None = None,
) -> Any:
    """Round an array to a number format, value to value; it never scales, except for block formats.

    Args:
        x: NumPy array or torch tensor of float16, bfloat16, float32 or float64, any shape and layout. Each
            value is rounded once, from its own width.
        f: a format or its name.
        rounding: ``ties-to-even``, ``ties-to-away``, ``toward-zero``, ``toward-positive``, ``toward-negative``,
            ``to-odd`` or ``stochastic``; see :class:`fpsim.number.conversion.Rounding`. The scales of block formats
            follow their own rule.
        overflow: ``saturate``: magnitudes beyond the largest finite value, Inf included, become it; ``propagate``: but
            Inf becomes Inf, or NaN without Inf; ``special``: all of them do, as IEEE 754 rounds.
        nan: of formats without NaN: ``keep``, ``zero``, ``negative-zero`` or ``max``.
        random_bits: of stochastic rounding, 1 to 24; default 24.
        seed: of stochastic rounding, which needs one. The bits follow from it and the element's index in C order.
        preset: all policies by the library or hardware that has them, such as ``ml_dtypes``, ``torch<2.12`` or
            ``cuda-satfinite``.
        out: where to write, of the shape and kind of ``x``; may be ``x``.
        out_dtype: type of the result instead of that of ``x``.
        strict: for block formats, refuse a short last block.
        backend: who rounds: ``numba``, ``numpy``, ``torch`` or a registered name; default by the array.

    Returns:
        An array of the kind, shape and type of ``x``. NaN stays NaN. A result that the type cannot hold
        becomes its nearest finite value.

    Raises:
        FpsimError: unknown format, policy or backend; not floating-point values; a format wider than the values; an
            overflow policy that the format has no code for; a backend that cannot round so.

    >>> import numpy as np
    >>> quantize(np.array([0.3, 5.0, -9.0], np.float32), "e2m1")
    array([ 0.5,  4. , -6. ], dtype=float32)
    """
    fmt = resolve(f)
    how, through = conversion(
        fmt, rounding=rounding, overflow=overflow, nan=nan, random_bits=random_bits, seed=seed, preset=preset
    )
    work = arrays.working(x, through_float32=through)
    chosen, like = arrays.choose(backend, x), _like(x, out, out_dtype)
    y = out if out is not None and results.usable(out, work.data) else results.empty_like(work.data)
    source, target = arrays.for_backend(work.data, chosen), arrays.for_backend(y, chosen)
    if isinstance(fmt, BlockFormat):
        _blocks(source, target, fmt, chosen, strict, how)
    else:
        policies = policy_arguments(chosen, how)
        chosen.quantize(_rows(source), fmt, _one(source, fmt.scale(work.width)), _rows(target), **policies)
    return results.finish(y, like, out)


def _blocks(source: Any, target: Any, fmt: BlockFormat, chosen: Backend, strict: bool, how: Conversion) -> None:
    columns = source.shape[-1] if source.ndim else 1
    if strict:
        check_divides(columns, fmt)
    if 0 in source.shape:
        return
    if arrays.is_torch(source):
        from fpsim.codec.torch.blocks import quantize_blocks as quantize_torch_blocks

        quantize_torch_blocks(source.reshape(-1, columns), fmt, target.view(-1, columns), chosen, how)
    else:
        quantize_blocks(source.reshape(-1, columns), fmt, target.reshape(-1, columns), chosen, how)


class _Typed:
    """Stands for an array of another type in :func:`fpsim.codec.results.finish`."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def _like(x: Any, out: Any, out_dtype: Any) -> Any:
    """What has the type of the result, once ``out`` and ``out_dtype`` are checked."""
    if out is not None and out_dtype is not None:
        raise FpsimError("out has a type of its own, so out_dtype cannot be given with it; drop one")
    if out is not None:
        results.check_out(x, out)
    if out_dtype is None:
        return x
    return _Typed(results.check_type(x, out_dtype))


def _rows(data: Any) -> Any:
    return data.reshape(1, -1)


def _one(data: Any, scale: float) -> Any:
    if arrays.is_torch(data):
        return data.new_full((1, 1), scale)
    return np.full((1, 1), scale, data.dtype)
