"""The policies that a caller gives by name, as one checked value."""

from __future__ import annotations

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.number.exact import check
from fpsim.number.presets import preset as named_preset


def conversion(
    fmt: Format,
    *,
    rounding: str = "ties-to-even",
    overflow: str = "saturate",
    nan: str = "keep",
    random_bits: int | None = None,
    seed: int | None = None,
    preset: str | None = None,
) -> tuple[Conversion, bool]:
    """Return the conversion that policies by name stand for, and whether float64 goes through float32 first.

    Raises:
        FpsimError: an unknown name; random bits or a seed without stochastic rounding, or such rounding without a
            seed; an overflow policy that the format has no code for; a preset together with policies of one's own.
    """
    how, through = Conversion(rounding=rounding, overflow=overflow, nan=nan), False  # type: ignore[arg-type]
    element = fmt.element if isinstance(fmt, BlockFormat) else fmt
    if preset is not None:
        if how != DEFAULT:
            raise FpsimError(f"preset {preset!r} names all policies ({how} was given too); drop one or the other")
        found = named_preset(preset, element)
        how, through = found.conversion, found.through is not None
    if not how.deterministic and seed is None:
        raise FpsimError("stochastic rounding needs a seed, so that it can be repeated; give one such as seed=0")
    if how.deterministic and (seed is not None or random_bits is not None):
        raise FpsimError(f"a seed and random bits belong to stochastic rounding, not to '{how.rounding}'; drop them")
    if seed is not None:
        bits = how.random_bits if random_bits is None else random_bits
        how = Conversion(rounding=how.rounding, overflow=how.overflow, nan=how.nan, random_bits=bits, seed=seed)
    check(element, how)
    return how, through
