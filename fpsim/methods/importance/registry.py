"""The importance measures by name.

A measure is a module of this package with one function, ``harm(job) -> Harm``: what each format would do to each
layer's weights and, where activations are chosen, to its inputs in each timestep bin, so that an allocation minimizes
the sum. Its settings are read from ``job.settings``; ``DEFAULTS`` names those it takes. What takes long goes through
``job.store``, so that a run that was interrupted goes on, and another budget measures nothing again.

To add one, write the module and add its line to ``MEASURES``. Importing this module imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fpsim.errors import FpsimError

#: name on the command line -> module
MEASURES = {
    "fisher": "fpsim.methods.importance.fisher",
    "mse": "fpsim.methods.importance.mse",
    "orm": "fpsim.methods.importance.orm",
    "orm-error": "fpsim.methods.importance.orm_error",
    "output-mse": "fpsim.methods.importance.output_mse",
    "random": "fpsim.methods.importance.random",
    "sensitivity": "fpsim.methods.importance.sensitivity",
    "sqnr": "fpsim.methods.importance.sqnr",
}


def measure(name: str) -> Any:
    """Return the module of a measure.

    Raises:
        FpsimError: there is none of that name.
    """
    if name not in MEASURES:
        raise FpsimError(f"no importance measure {name!r}; there are {', '.join(MEASURES)}")
    return import_module(MEASURES[name])


def settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a measure's settings: its defaults, and what the user gave.

    Raises:
        FpsimError: an unknown measure, or a setting that it does not take.
    """
    defaults: Mapping[str, Any] = measure(name).DEFAULTS
    for key in given:
        if key not in defaults:
            users = [other for other in MEASURES if key in measure(other).DEFAULTS]
            option = key.replace("_", "-")
            raise FpsimError(f"--{option} is for the measures {', '.join(users)}, not for {name}; drop it")
    return {**defaults, **given}
