"""The activations that Q-Diffusion quantizes: their formats, in each bin of the timestep, and their first scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpsim.errors import FpsimError
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.methods.timestep_bins import no_scale
from fpsim.model.attention import sites
from fpsim.model.ranges import Seen
from fpsim.number import Format, IntFormat
from fpsim.quant.asymmetric import affine_range, fit_affine, fit_symmetric, symmetric_range
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.scales import Scales
from fpsim.quant.tensor_spec import TensorSpec

ActSpec = TensorSpec | BinnedSpec
#: Scales of each place, one a bin of the timestep, or one for all timesteps.
ScalesOf = Mapping[str, tuple[Scales, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A tensor that is quantized at each call, per tensor with a fixed scale, or one for each bin of the timestep.

    Args:
        spec: formats ``intN-full``: symmetric; ``uintN``: asymmetric, or without offset where ``positive``.
        positive: whether its values are never negative, so that the zero point is 0 for any format.
        learned: whether its step size is learned.
    """

    spec: ActSpec
    positive: bool = False
    learned: bool = True

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The specification of each bin, or the only one."""
        return self.spec.specs if isinstance(self.spec, BinnedSpec) else (self.spec,)

    @property
    def formats(self) -> tuple[IntFormat, ...]:
        """The format of each bin, or the only one."""
        return tuple(spec.format for spec in self.specs if isinstance(spec.format, IntFormat))

    def symmetric(self, fmt: IntFormat) -> bool:
        """Whether the zero point is 0."""
        return self.positive or fmt.signed


def integer(fmt: IntFormat, *, signed: bool) -> IntFormat:
    """Return Q-Diffusion's integer of the same width: signed with all codes, or unsigned."""
    name = f"int{fmt.bits}-full" if signed else f"uint{fmt.bits}"
    return IntFormat(name=name, bits=fmt.bits, signed=signed, full=signed)


def mapped(spec: ActSpec, change: Callable[[TensorSpec], TensorSpec]) -> ActSpec:
    """Return a specification with a change in each bin of the timestep."""
    if isinstance(spec, TensorSpec):
        return change(spec)
    return replace(spec, bins=tuple(replace(each, spec=change(each.spec)) for each in spec.bins))


def check_acts(name: str, spec: ActSpec) -> None:
    """Refuse what is no input of Q-Diffusion.

    Raises:
        FpsimError: a format that is no integer, scales of blocks or that the policy fixes.
    """
    if isinstance(spec, BinnedSpec) and any(each.value is not None for each in spec.bins):
        raise FpsimError(
            f"activations of {name!r}: Q-Diffusion finds the scales of timestep bins itself; drop 'value', or choose "
            "--method rtn"
        )
    for each in spec.specs if isinstance(spec, BinnedSpec) else (spec,):
        check_format(name, "activations", each.format)
        if each.granularity != "tensor":
            raise FpsimError(f"activations of {name!r}: Q-Diffusion has scales per tensor, no blocks")


def check_format(name: str, what: str, fmt: Format) -> None:
    """Refuse a format that is no integer.

    Raises:
        FpsimError: it is none.
    """
    if not isinstance(fmt, IntFormat) or fmt.fraction_bits:
        raise FpsimError(
            f"{what} of {name!r}: Q-Diffusion quantizes to integers, not to {fmt.name}; "
            "choose formats such as int4/int8 or int4/uint8, or another --method"
        )


def attention_places(name: str, spec: ActSpec, settings: Settings) -> dict[str, Place]:
    """Return queries, keys and values like the layers' inputs; the softmax's output unsigned, at its own width."""
    found = {place: Place(spec=spec) for place in sites(name).values()}
    softmax = integer(IntFormat(name="softmax", bits=settings.softmax_bits), signed=settings.compat.signed_softmax)
    found[sites(name)["softmax"]] = Place(
        spec=mapped(spec, lambda each: replace(each, format=softmax)),
        positive=True,
        learned=settings.softmax_bits < 16,
    )
    return found


def first_scales(place: Place, seen: Sequence[Seen], init: str, name: str) -> tuple[Scales, ...]:
    """Return the scales of a place before learning; see :class:`fpsim.methods.q_diffusion_settings.Settings`.

    Args:
        place: of the activation.
        seen: what passed in each of its bins.
        init: how scales begin.
        name: of the tensor, for errors.
    """
    pairs = zip(place.formats, seen, strict=True)
    return tuple(_first(fmt, place.symmetric(fmt), each, init, name) for fmt, each in pairs)


def _first(fmt: IntFormat, symmetric: bool, seen: Seen, init: str, name: str) -> Scales:
    real = np.float32
    if init != "ema":
        fit = fit_symmetric if symmetric else fit_affine
        return fit(seen.values.reshape(1, -1), fmt, init, name=name)
    low, high = np.array([seen.low]), np.array([seen.high])
    if not symmetric:
        return affine_range(low, high, fmt, dtype=real, name=name)
    return symmetric_range(np.maximum(np.abs(low), np.abs(high)), fmt, dtype=real, name=name)


def check_filled(places: Mapping[str, Place], timesteps: Iterable[float]) -> None:
    """Refuse a bin without any timestep of calibration.

    Raises:
        FpsimError: there is such a bin, or no bin holds a timestep.
    """
    seen = sorted(set(timesteps))
    for spec in {place.spec for place in places.values() if isinstance(place.spec, BinnedSpec)}:
        reached = {spec.number(timestep) for timestep in seen}
        empty = next((each for number, each in enumerate(spec.bins) if number not in reached), None)
        if empty is not None:
            raise no_scale(empty, len(seen))


def words(spec: ActSpec, say: Callable[[TensorSpec], str]) -> str:
    """Return what becomes of an activation in words, which may differ between bins of the timestep."""
    if isinstance(spec, TensorSpec):
        return say(spec)
    said = [say(each.spec) for each in spec.bins]
    if spec.uniform:
        return f"{said[0]}, in {spec.count} timestep bin{'s' * (spec.count != 1)}"
    return "; ".join(f"{one} ({each})" for one, each in zip(said, spec.bins, strict=True))
