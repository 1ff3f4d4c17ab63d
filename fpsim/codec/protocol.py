"""What a codec backend is, and how one is found by its name."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion

#: Entry-point group by which other packages offer backends: ``name = "module:factory"``.
GROUP = "fpsim.backends"
BUILT_IN = ("numba", "numpy", "torch", "torch-compile", "triton")


@runtime_checkable
class Backend(Protocol):
    """Rounds arrays. One method is enough; everything else in fpsim is built on it.

    A backend that can more than ties-to-even and saturation names what it can in ``roundings`` and ``overflows``
    (tuples of names), and its ``quantize`` has one more argument, ``how: Conversion = DEFAULT``, which is given only
    where it differs from the default. It may also have ``quantize_blocks(x, fmt, out) -> bool`` for a faster way
    through block formats.
    """

    name: str
    #: ``"numpy"`` or ``"torch"``: what ``quantize`` takes (CPU tensors are lent to NumPy without a copy).
    arrays: str

    def quantize(self, x: Any, fmt: ElementFormat, scale: Any, out: Any, zero_point: Any = None) -> None:
        """Write ``y = s · g`` into ``out``: t = x / s, one IEEE division; g = t rounded to the grid; one product.

        Args:
            x: float32 or float64, C-contiguous ``[rows, columns]``.
            fmt: the element format, whose integer-bias grid (``fmt.grid``) is meant; its own scale is in ``scale``.
            scale: ``[rows or 1, columns or 1]``, dtype of ``x``, positive.
            out: like ``x``; may be ``x`` itself.
            zero_point: for unsigned integers, like ``scale``: g = clamp(rint(t), lo − z, hi − z).
        """


def policy_arguments(chosen: Backend, how: Conversion) -> dict[str, Conversion]:
    """The further argument by which a backend is told a conversion: none for the default.

    Raises:
        FpsimError: the backend cannot round so.
    """
    if how == DEFAULT:
        return {}
    for given, attribute in ((how.rounding, "roundings"), (how.overflow, "overflows")):
        known = getattr(chosen, attribute, ())
        if given not in known:
            default = DEFAULT.rounding if attribute == "roundings" else DEFAULT.overflow
            has = ", ".join(known) or default
            raise FpsimError(f"backend {chosen.name!r} has no {attribute[:-1]} '{given}'; it has {has}")
    return {"how": how}


@lru_cache(maxsize=32)
def backend(name: str) -> Backend:
    """Return the backend of a name: one of :data:`BUILT_IN`, or another package's.

    Raises:
        FpsimError: no backend has the name, or the one found does not follow the protocol.
    """
    if name == "numba":
        from fpsim.codec.numba.twin import NumbaBackend

        return NumbaBackend()
    if name == "numpy":
        from fpsim.codec.numpy.twin import NumpyBackend

        return NumpyBackend()
    if name == "torch":
        from fpsim.codec.torch.twin import TorchBackend

        return TorchBackend()
    if name == "torch-compile":
        from fpsim.codec.torch.compiled import CompiledBackend

        return CompiledBackend()
    if name == "triton":
        from fpsim.codec.triton.twin import TritonBackend

        return TritonBackend()
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join([*BUILT_IN, *sorted(found)])
        raise FpsimError(f"no backend {name!r}; there are {known}. Packages add one by the entry-point group '{GROUP}'")
    candidate = found[name].load()()
    if not isinstance(candidate, Backend) or candidate.arrays not in ("numpy", "torch"):
        raise FpsimError(f"backend {name!r} does not follow fpsim.codec.protocol.Backend (name, arrays, quantize)")
    return candidate
