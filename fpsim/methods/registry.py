"""The quantization methods by name.

A method is a module of this package with two functions:

* ``settings(given, kind, steps) -> dict``: the method's settings as JSON values, resolved from the options that the
  user gave (only those that were given) for a model's kind (``LoadedModel.kind``) and a number of sampling steps. They
  belong to the run's identity and to the report's header. An option that the method does not take is an FpsimError.
* ``attach(job) -> Handle``: quantize the job's model and return its handle. What takes long is kept in ``job.folder``
  as soon as it is finished, and read again by a run that goes on. If the method writes ``job.folder/rounding.json``,
  an object, its keys join the row's record (``rounding``: figures by layer; ``weights``, ``acts`` and ``policy`` in
  place of the request's own).

A third function is optional: ``check(model, policy, settings, *, static)`` refuses before any work what the method
cannot do. A method that quantizes activations by bins of the timestep says ``TIMESTEP_BINS = True``; one that
calibrates them at some of a run's timesteps has ``calibrated(settings, steps, timesteps)``, which returns these.

To add one, write the module and add its line to ``METHODS``. Importing this module imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fpsim.errors import FpsimError

#: name on the command line -> module
METHODS = {
    "chen2024": "fpsim.methods.chen2024",
    "q-diffusion": "fpsim.methods.q_diffusion",
    "rtn": "fpsim.methods.rtn",
}


def method(name: str) -> Any:
    """Return the module of a method.

    Raises:
        FpsimError: there is none of that name.
    """
    if name not in METHODS:
        raise FpsimError(f"no method {name!r}; there are {', '.join(METHODS)}")
    return import_module(METHODS[name])


def settings(name: str, given: Mapping[str, Any], kind: str, steps: int) -> dict[str, Any]:
    """Return a method's name and settings, for the record of a run.

    Args:
        name: of the method.
        given: the options that the user gave.
        kind: of the model.
        steps: of sampling.

    Raises:
        FpsimError: an unknown method, or an option that it does not take.
    """
    return {"method": name, **method(name).settings(given, kind, steps)}


def check(name: str, model: Any, policy: Any, settings: Mapping[str, Any], *, static: bool) -> None:
    """Refuse before any work what a method cannot do with a model and a policy.

    Raises:
        FpsimError: as the method's own ``check``, where it has one.
    """
    module = method(name)
    if policy.binned and not getattr(module, "TIMESTEP_BINS", False):
        raise FpsimError(f"--method {name} has no timestep bins of activations; drop them, or choose another method")
    own = getattr(module, "check", None)
    if own is not None:
        own(model, policy, settings, static=static)
