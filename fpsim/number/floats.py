"""Binary floating-point formats as values: store the independent facts, derive the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number.power import power_of_two
from fpsim.number.specials import Specials

#: Biases beyond this only make values that no float64 can hold.
BIAS_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatFormat:
    """A binary floating-point format with a sign, an exponent field and a mantissa field.

    A code's value is ``(-1)^sign · 2^(field − bias) · (1 + mantissa / 2^mantissa_bits)``; exponent field 0
    holds zero and the subnormals. The bias may be any real number: it splits into an integer-bias
    grid and a scale, ``bias = floor(bias) + f`` with scale ``2^−f`` (see :meth:`scale`).

    Args:
        name: what outputs call it; not part of the format's identity.
        exponent_bits: width of the exponent field, at least 1.
        mantissa_bits: width of the trailing mantissa field (the precision less the hidden bit).
        bias: the exponent bias, an integer or a real number.
        signed: whether there is a sign bit.
        specials: which codes are Inf or NaN.
        subnormals: False makes exponent field 0 hold only ±0.
        zero: False makes exponent field 0 an ordinary binade, as in E8M0.
        source: standard or paper and section.

    Raises:
        FpsimError: the facts contradict each other or leave no finite non-zero value.

    >>> FloatFormat(name="e2m1", exponent_bits=2, mantissa_bits=1, bias=1).max
    Fraction(6, 1)
    """

    name: str = field(compare=False)
    exponent_bits: int
    mantissa_bits: int
    bias: float
    signed: bool = True
    specials: Specials = Specials.NONE
    subnormals: bool = True
    zero: bool = True
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "specials", Specials(self.specials))
        problem = self._problem()
        if problem:
            raise FpsimError(f"format {self.name!r}: {problem}")
        if float(self.bias).is_integer():
            object.__setattr__(self, "bias", int(self.bias))

    def _problem(self) -> str | None:
        if not 1 <= self.exponent_bits <= 11:
            return f"exponent_bits is {self.exponent_bits}; 1 to 11 are possible"
        if not 0 <= self.mantissa_bits <= 52:
            return f"mantissa_bits is {self.mantissa_bits}; 0 to 52 are possible"
        if isinstance(self.bias, int) and self.bias.bit_length() > 64:  # maybe no float, nor short enough to print
            return f"bias is beyond 2^64, outside ±{BIAS_LIMIT}"
        if not math.isfinite(self.bias):
            return f"bias {self.bias} is not a finite number; give one such as 7 or 6.37"
        if abs(self.bias) > BIAS_LIMIT:
            return f"bias {self.bias} is outside ±{BIAS_LIMIT}"
        if self.specials is Specials.IEEE and self.mantissa_bits == 0:
            return "ieee specials need a mantissa bit to tell NaN from Inf; use fn or none"
        if self.specials is Specials.FNUZ and not self.signed:
            return "fnuz puts NaN in the code of −0, which an unsigned format lacks; use fn or none"
        if not self.zero and (self.subnormals or self.signed):
            return "a format without zero must be unsigned and without subnormals (zero = false)"
        if self.max_code < 0 or (self.zero and self._lowest_nonzero > self.max_code):
            return f"specials '{self.specials}' leave no finite value but zero"
        return None

    # --- the layout of a code ---

    @property
    def bits(self) -> int:
        """Width of a code in bits."""
        return int(self.signed) + self.exponent_bits + self.mantissa_bits

    @property
    def sign_bit(self) -> int:
        """The sign bit's mask; 0 in an unsigned format."""
        return (1 << (self.bits - 1)) if self.signed else 0

    @property
    def magnitude_mask(self) -> int:
        """Mask of the exponent and mantissa fields."""
        return (1 << (self.exponent_bits + self.mantissa_bits)) - 1

    @property
    def max_code(self) -> int:
        """Code of the largest finite value."""
        if self.specials is Specials.IEEE:
            return (((1 << self.exponent_bits) - 1) << self.mantissa_bits) - 1
        reserved = {Specials.FN: 1, Specials.P3109: 2 - self.signed}  # the top magnitudes
        return self.magnitude_mask - reserved.get(self.specials, 0)

    @property
    def _lowest_nonzero(self) -> int:
        return 1 if self.subnormals else 1 << self.mantissa_bits

    @property
    def nan_code(self) -> int | None:
        """Code of the (positive, quiet) NaN, or None."""
        if self.nan_is_negative_zero:
            return self.sign_bit
        if self.specials is Specials.IEEE:
            return self.max_code + 1 + (1 << (self.mantissa_bits - 1))
        return None if self.specials is Specials.NONE else self.magnitude_mask

    @property
    def inf_code(self) -> int | None:
        """Code of +Inf, or None; −Inf, where there is a sign, is the same with the sign bit."""
        return self.max_code + 1 if self.specials in (Specials.IEEE, Specials.P3109) else None

    @property
    def nan_is_negative_zero(self) -> bool:
        """Whether the code that would be −0 is the one NaN, so that there is no −0."""
        return self.specials is Specials.FNUZ or (self.specials is Specials.P3109 and self.signed)

    @property
    def has_negative_zero(self) -> bool:
        """Whether −0 has a code of its own."""
        return self.signed and self.zero and not self.nan_is_negative_zero

    # --- the integer-bias grid and its scale ---

    @property
    def grid(self) -> FloatFormat:
        """The same format with the bias rounded down to an integer."""
        return self if isinstance(self.bias, int) else replace(self, bias=math.floor(self.bias))

    def scale(self, width: int = 32) -> float:
        """The factor between grid and values: the binary32 or binary64 number nearest 2^−(bias − floor(bias)).

        Args:
            width: the working width, 32 or 64.

        >>> FloatFormat(name="f", exponent_bits=2, mantissa_bits=1, bias=2.5).scale(64) == 2 ** -0.5
        True
        """
        return power_of_two(-(Fraction(self.bias) - math.floor(self.bias)), {32: 24, 64: 53}[width])

    # --- derived facts of the grid (a real bias multiplies values by ``scale``) ---

    @property
    def precision(self) -> int:
        """Significant bits, the hidden one included."""
        return self.mantissa_bits + 1

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal grid value."""
        return int(self.zero) - math.floor(self.bias)

    @property
    def emax(self) -> int:
        """Exponent of the largest finite grid value (``emin`` where only subnormals are finite)."""
        return max((self.max_code >> self.mantissa_bits) - math.floor(self.bias), self.emin)

    @property
    def max(self) -> Fraction:
        """Largest finite grid value, exactly."""
        return self.grid_value(self.max_code)

    @property
    def min_normal(self) -> Fraction:
        """Smallest positive normal grid value, exactly."""
        return Fraction(2) ** self.emin

    @property
    def min_subnormal(self) -> Fraction | None:
        """Smallest positive subnormal grid value; None without subnormals."""
        return self.grid_value(1) if self.subnormals and self.mantissa_bits else None

    def grid_value(self, magnitude_code: int) -> Fraction:
        """Exact value of a magnitude code (sign bit cleared, finite) on the integer-bias grid."""
        exponent_field, mantissa = divmod(magnitude_code, 1 << self.mantissa_bits)
        hidden = 1
        if exponent_field == 0 and self.zero:
            if not self.subnormals:
                return Fraction(0)
            exponent_field, hidden = 1, 0
        exponent = exponent_field - math.floor(self.bias) - self.mantissa_bits
        return Fraction((hidden << self.mantissa_bits) + mantissa) * Fraction(2) ** exponent


__all__ = ["BIAS_LIMIT", "FloatFormat", "Specials"]
