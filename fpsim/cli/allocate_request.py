"""From the options of ``fpsim allocate`` to the request that the method layer takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpsim.cli.allocate_budgets import read_budget
from fpsim.cli.sampling_spec import read_spec
from fpsim.codec.protocol import backend
from fpsim.errors import FpsimError
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.importance import registry
from fpsim.number.names import format as resolve
from fpsim.number.user_files import check_name
from fpsim.quant import granularity
from fpsim.quant.policy import Policy, TensorSpec, spec

MEASURE_OPTIONS = ("beta", "orm_aggregate", "orm_weighting", "sensitivity_images", "measure_seed")
#: Points of a front that is drawn.
DRAWN = 24


def read_request(options: Mapping[str, Any]) -> AllocationRequest:
    """Return the allocation that the options ask for.

    Raises:
        FpsimError: any option is wrong.
    """
    weights = _specs("formats", options, options["weights_granularity"])
    acts = _specs("acts", options, options["acts_granularity"])
    _check_plain(options, len(acts))
    Policy.uniform(None, None, acts_granularity=options["acts_granularity"], scale=options["scale"])
    settings = {key: options[key] for key in MEASURE_OPTIONS if options[key] is not None}
    registry.settings(options["measure"], settings)
    _check_settings(settings)
    front = options["front"]
    return AllocationRequest(
        weights=weights,
        acts=acts,
        limits=tuple(read_budget(text) for text in options["budgets"]),
        measure=options["measure"],
        settings=settings,
        spec=read_spec(options, 1),  # the images that measure layers are counted by themselves
        images=options["calibration_images"],
        timesteps=options["timesteps"],
        bins=options["timestep_bins"],
        split=options["split"],
        skip=options["skip"],
        only=_only("--only", options["only"]),
        only_acts=_only("--only-acts", options["only_acts"]),
        share=options["share"],
        front=(DRAWN if options["plot"] is not None else 0) if front is None else front,
        gap=options["gap"],
        seconds=options["seconds"],
        dtype=options["dtype"],
        device=options["device"],
        backend=options["backend"],
    )


def _check_plain(options: Mapping[str, Any], acts: int) -> None:
    """Refuse numbers and names that are wrong by themselves."""
    if options["backend"] is not None:
        backend(options["backend"])
    if options["timestep_bins"] < 1:
        raise FpsimError(f"--timestep-bins {options['timestep_bins']}: at least 1 is needed")
    if acts < 2 and options["timestep_bins"] > 1:
        raise FpsimError("--timestep-bins is for inputs; give several formats for them by --acts")
    if not 0 <= options["gap"] < 1 or not options["seconds"] > 0:
        raise FpsimError("--gap is a part such as 1e-3, and --seconds a positive time")


def _specs(option: str, options: Mapping[str, Any], where: str) -> dict[str, TensorSpec | None]:
    """The formats of a list by what the user called them."""
    granularity.parse(where)
    names = [name.strip() for name in (options[option] or "").split(",")] if options[option] is not None else []
    if "" in names:
        raise FpsimError(f"--{option} {options[option]!r} has an empty name; give formats such as int4,e4m3")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FpsimError(f"--{option}: {twice!r} is given twice")
    found = {}
    for name in names:
        fmt = None if name == "none" else resolve(name, files=options["files"])
        found[name] = spec(fmt, where, options["scale"])
    return found


def _only(option: str, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Formats by glob, of texts such as ``conv_*=int8,e4m3``."""
    found = {}
    for text in texts:
        glob, equal, names = text.rpartition("=")
        listed = tuple(name.strip() for name in names.split(","))
        if not equal or not glob or "" in listed:
            raise FpsimError(f"{option} {text!r} is no GLOB=LIST; give such as 'conv_*=int8,e4m3'")
        if glob in found:
            raise FpsimError(f"{option}: {glob!r} is given twice")
        found[glob] = listed
    return found


def _check_settings(settings: Mapping[str, Any]) -> None:
    beta = settings.get("beta", "auto")
    try:
        wrong = beta != "auto" and not (math.isfinite(float(beta)) and float(beta) > 0)
    except ValueError:
        wrong = True
    if wrong:
        raise FpsimError(f"--beta {beta!r} is neither 'auto' nor a number above 0")
    for key, least in (("sensitivity_images", 1), ("measure_seed", 0)):
        if settings.get(key, least) < least:
            raise FpsimError(f"--{key.replace('_', '-')} {settings[key]}: at least {least} is needed")


def read_work(options: Mapping[str, Any], out: Path | None) -> Path | None:
    """Return the folder of the measurements: the given one, or the policy's name with ``.measures``; None without.

    Raises:
        FpsimError: an empty name, or a file.
    """
    if options["work"] is None:
        return None if out is None else out.with_name(f"{out.stem}.measures")
    if not options["work"].strip():
        raise FpsimError("--work is empty; name a folder, such as measures")
    path = Path(options["work"])
    check_name(path)
    if path.exists() and not path.is_dir():
        raise FpsimError(f"--work {options['work']!r} is a file; name a folder")
    return path


def read_plot(options: Mapping[str, Any]) -> Path | None:
    """Return where the plot goes.

    Raises:
        FpsimError: no .png or .svg, or a folder that is not there.
    """
    if options["plot"] is None:
        return None
    path = Path(options["plot"])
    check_name(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise FpsimError(f"--plot {options['plot']!r}: a plot is written as .png or .svg")
    if not path.parent.is_dir():
        raise FpsimError(f"--plot {options['plot']!r}: the folder {str(path.parent)!r} is not there; make it first")
    return path
