"""gfloat: ``round_ndarray`` in float64, with its rounding modes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import gfloat
import numpy as np
from gfloat import RoundMode
from gfloat.types import Domain, FormatInfo

from fpsim.conformance.adapters.casts import refuse, refuse_zero_point, scaled
from fpsim.conformance.grid import Floats
from fpsim.conformance.stochastic import words
from fpsim.number import ElementFormat, FloatFormat, Specials
from fpsim.number.catalogue import builtin
from fpsim.number.conversion import DEFAULT, Conversion, Overflow

_MODES = {
    "ties-to-even": RoundMode.TiesToEven,
    "ties-to-away": RoundMode.TiesToAway,
    "toward-zero": RoundMode.TowardZero,
    "toward-positive": RoundMode.TowardPositive,
    "toward-negative": RoundMode.TowardNegative,
    # Of gfloat's four kinds the one whose random number is added and the sum cut off, as here.
    "stochastic": RoundMode.StochasticFastest,
}


class GfloatBackend:
    """Rounds as gfloat does; follows :class:`fpsim.conformance.adapters.Library`."""

    name, arrays = "gfloat", "numpy"
    version: str = version("gfloat")
    roundings, overflows, nans = tuple(_MODES), ("saturate", "special"), ("keep",)

    def __init__(self) -> None:
        entries = builtin().items()
        self.formats = tuple(name for name, entry in entries if described(entry.format) and entry.format.bits <= 16)

    def quantize(
        self,
        x: Floats,
        fmt: ElementFormat,
        scale: Floats,
        out: Floats,
        zero_point: Any = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write what ``round_ndarray`` gives.

        Raises:
            FpsimError: a format that gfloat cannot describe, or a zero point.
        """
        refuse_zero_point(self.name, zero_point)
        info = described(fmt.grid)
        if info is None:
            raise refuse(self.name, fmt, self.formats)
        options: dict[str, Any] = {"rnd": _MODES[how.rounding], "sat": how.overflow is Overflow.SATURATE}
        if not how.deterministic:
            drawn = words(how.seed, x.size, how.random_bits).reshape(x.shape)
            options |= {"srbits": drawn, "srnumbits": how.random_bits}
        scaled(x, scale, out, lambda t: np.asarray(gfloat.round_ndarray(info, t.astype(np.float64), **options)))


def described(fmt: Any) -> FormatInfo | None:
    """Return a format in gfloat's terms, or None where it has none: integers, real biases, missing subnormals.

    Nor unsigned formats: gfloat rounds negative numbers there without a rule that could be compared (e8m0 of −1 is −1).
    """
    if not isinstance(fmt, FloatFormat) or not isinstance(fmt.bias, int) or not (fmt.signed and fmt.subnormals):
        return None
    highest = {Specials.IEEE: (1 << fmt.mantissa_bits) - 1, Specials.FN: 1}.get(fmt.specials, 0)
    return FormatInfo(
        fmt.name,
        fmt.bits,
        fmt.precision,
        bias=fmt.bias,
        is_signed=True,
        domain=Domain.Finite if fmt.inf_code is None else Domain.Extended,
        has_nz=fmt.has_negative_zero,
        num_high_nans=highest,
        has_subnormals=True,
        is_twos_complement=False,
    )
