"""Conventions for the codes that are no finite numbers."""

from __future__ import annotations

from enum import StrEnum


class Specials(StrEnum):
    """Which codes are not finite numbers."""

    #: The top exponent field holds Inf (mantissa 0) and NaN, as in IEEE 754.
    IEEE = "ieee"
    #: No Inf; NaN is the code with all exponent and mantissa bits one (OCP E4M3).
    FN = "fn"
    #: No Inf, no −0; the code of −0 is NaN.
    FNUZ = "fnuz"
    #: Every code is a finite number.
    NONE = "none"
    #: Inf is the top magnitude, there is no −0, and its code is NaN; without a sign NaN is the top code and Inf
    #: the one below (the extended formats of IEEE P3109; its finite ones are fnuz, or fn without a sign).
    P3109 = "p3109"
