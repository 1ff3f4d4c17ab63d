"""The torch backend through ``torch.compile``: one fused pass over memory, on CPU and CUDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import count
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from fpsim.codec.plan import TablePlan
from fpsim.codec.torch.twin import TorchBackend, constants, key_table, rounded, zero_of
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding


class CompiledBackend:
    """Rounds tensors with compiled torch operations; see :class:`fpsim.codec.protocol.Backend`.

    The first call for a format, a conversion and a kind of shape compiles, which takes seconds and needs a C++
    compiler (on CUDA: Triton). Formats that are rounded by a table take the eager operations.
    """

    name = "torch-compile"
    arrays = "torch"
    roundings = tuple(Rounding)
    overflows = tuple(Overflow)

    def quantize(
        self,
        x: Tensor,
        fmt: ElementFormat,
        scale: Tensor,
        out: Tensor,
        zero_point: Tensor | None = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        width = x.element_size() * 8
        if isinstance(constants(fmt, width, how), TablePlan) or not x.numel():
            TorchBackend().quantize(x, fmt, scale, out, zero_point, how)
            return
        seeds = None if how.deterministic else key_table(how.seed, x.numel(), x.device)
        # The seed is data, so that another one needs no other code.
        _compiled(fmt, width, replace(how, seed=0))(x, scale, out, zero_point, seeds)


_NUMBERS = count()


@lru_cache(maxsize=256)
def _compiled(fmt: ElementFormat, width: int, how: Conversion) -> Callable[..., None]:
    p = constants(fmt, width, how)
    assert not isinstance(p, TablePlan), "tables are searched eagerly"

    def formula(x: Tensor, scale: Tensor, out: Tensor, zero_point: Tensor | None, seeds: Tensor | None) -> None:
        out.copy_(rounded(x / scale, p, scale, zero_point, how, seeds) * scale + zero_of(p))

    # torch counts recompilations by code object, which all closures share: each gets one of its own.
    code = formula.__code__.replace(co_name=f"round_{next(_NUMBERS)}")
    own = FunctionType(code, formula.__globals__, code.co_name, None, formula.__closure__)
    function: Callable[..., None] = torch.compile(own, fullgraph=True, dynamic=True, options=_options())

    def call(*arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            if "InvalidCxxCompiler" not in str(error):  # torch wraps its own exceptions
                raise
            raise FpsimError(f"torch-compile needs a C++ compiler, which torch did not find: {error}") from None

    return call


@lru_cache(maxsize=1)
def _options() -> dict[str, Any]:
    """Where the compiler may choose, IEEE division: Triton's own is approximate."""
    known = torch._inductor.list_options()
    return {name: True for name in ("eager_numerics.division_rounding", "emulate_precision_casts") if name in known}
