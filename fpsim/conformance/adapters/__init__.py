"""Other libraries' conversions as backends, so that the conformance programme can compare them."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, runtime_checkable

from fpsim.codec.protocol import Backend, backend
from fpsim.errors import FpsimError

#: Name to module, class and the package that it needs.
ADAPTERS = {
    "gfloat": ("fpsim.conformance.adapters.gfloat_rounds", "GfloatBackend", "gfloat"),
    "ml_dtypes": ("fpsim.conformance.adapters.ml_dtypes_casts", "MlDtypesBackend", "ml_dtypes"),
    "torch-cast": ("fpsim.conformance.adapters.torch_casts", "TorchCastBackend", "torch"),
}


@runtime_checkable
class Library(Backend, Protocol):
    """Another library as a backend: what it has by itself, and nothing added but the scale."""

    #: Of the library.
    version: str
    #: Catalogue names of the formats that it has.
    formats: tuple[str, ...]


def find(name: str) -> Backend:
    """Return an adapter, or the codec's backend of a name.

    Raises:
        FpsimError: no such backend, or its library is not installed.
    """
    if name not in ADAPTERS:
        try:
            return backend(name)
        except FpsimError as error:
            raise FpsimError(f"{error}; here also {', '.join(ADAPTERS)}") from None
    module, attribute, package = ADAPTERS[name]
    try:
        found: Backend = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as missing:
        raise FpsimError(f"backend {name!r} needs {missing.name}; pip install {package} brings it") from None
    return found
