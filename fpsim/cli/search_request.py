"""From the options of ``fpsim search`` to the request that the method layer takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpsim.cli.sampling_spec import read_spec as sampled
from fpsim.errors import FpsimError
from fpsim.methods.format_search import FormatSearch, init_samples
from fpsim.methods.rounding_settings import check_samples
from fpsim.model.load import LoadedModel
from fpsim.number.user_files import check_name
from fpsim.quant.binned import check_count
from fpsim.quant.search.candidates import Encoding, encodings_of
from fpsim.sample.spec import SampleSpec


def read_encodings(options: Mapping[str, Any]) -> tuple[tuple[Encoding, ...], tuple[Encoding, ...]]:
    """Return the candidate encodings of weights and inputs.

    Raises:
        FpsimError: no width, an impossible one, --bits beside others, an encoding that no width takes.
    """
    both, weights, acts = (options[key] for key in ("bits", "weights_bits", "acts_bits"))
    if both is not None and (weights is not None or acts is not None):
        raise FpsimError("--bits is for weights and inputs; with --weights-bits or --acts-bits drop it")
    if both is weights is acts is None:
        raise FpsimError("there is nothing to search; give --bits 8, or --weights-bits 4 --acts-bits 8")
    widths = (both, both) if both is not None else (weights, acts)
    by_width = {bits: encodings_of(bits) for bits in widths if bits is not None}
    if options["encodings"] is not None:
        by_width = _chosen(by_width, encodings_of(8, options["encodings"].split(",")))
    found = [by_width[bits] if bits is not None else () for bits in widths]
    return found[0], found[1]


def _chosen(by_width: dict[int, tuple[Encoding, ...]], given: tuple[Encoding, ...]) -> dict[int, tuple[Encoding, ...]]:
    wrong = next((encoding for encoding in given if encoding.bits not in by_width), None)
    if wrong is not None:
        widths = " or ".join(str(bits) for bits in by_width)
        raise FpsimError(f"--encodings: {wrong.name} has {wrong.bits} bits, but {widths} are searched; drop it")
    # A width that is not among the given ones keeps its own.
    return {bits: tuple(e for e in given if e.bits == bits) or own for bits, own in by_width.items()}


def check_bins(options: Mapping[str, Any]) -> None:
    """Refuse timestep bins that no input can follow, before a model is loaded.

    Raises:
        FpsimError: no number of bins, no inputs, or no model: a file of tensors has no timesteps.
    """
    count, model = options["timestep_bins"], options["model"]
    check_count(count)
    if count > 1 and options["bits"] is options["acts_bits"] is None:
        raise FpsimError("--timestep-bins is for inputs, and weights have one format; give --bits or --acts-bits")
    if count > 1 and Path(model).is_file():
        raise FpsimError(
            f"--timestep-bins {count} needs a model that runs over timesteps, but {model!r} is a file; pass the folder "
            "of a model, or 'bundled'"
        )


def read_request(
    options: Mapping[str, Any], encodings: tuple[tuple[Encoding, ...], tuple[Encoding, ...]], model: LoadedModel
) -> FormatSearch:
    """Return the search that the options ask for.

    Args:
        options: click's values by name.
        encodings: from :func:`read_encodings`.
        model: the loaded model, whose kind decides how many images are the default.

    Raises:
        FpsimError: an option is wrong.
    """
    images = options["init_samples"]
    if images is None:
        images = init_samples(model.kind)
    spec = read_spec(options)
    if encodings[1]:
        spec.check_kind(model.kind)
    return FormatSearch(
        weights=encodings[0],
        acts=encodings[1],
        channels=options["granularity"] == "channel",
        captured=options["captured"],
        spec=spec,
        images=images,
        skip=options["skip"],
        split=options["split"],
        timestep_bins=options["timestep_bins"],
    )


def read_spec(options: Mapping[str, Any]) -> SampleSpec:
    """Return how the initialization set is sampled, but for the number of its images.

    Raises:
        FpsimError: an option is wrong.
    """
    if options["init_samples"] is not None:
        check_samples("init-samples", options["init_samples"])
    return sampled(options, 1)  # the set's images are counted by themselves


def read_out(options: Mapping[str, Any]) -> Path | None:
    """Return where the policy goes.

    Raises:
        FpsimError: an empty name, a folder, a folder that is not there, or a file that is there already.
    """
    out = options["out"]
    if out is None:
        if options["overwrite"]:
            raise FpsimError("--overwrite without --out has nothing to replace; give --out FILE")
        return None
    path = Path(out)
    check_name(path)
    if not out.strip():
        raise FpsimError("--out is empty; name a file, such as policy.toml")
    if path.is_dir():
        raise FpsimError(f"--out {out!r} is a folder; name a file in it, such as {path / 'policy.toml'}")
    if path.exists() and not options["overwrite"]:
        raise FpsimError(f"--out {out!r} exists; choose another name, or pass --overwrite")
    if not path.parent.is_dir():
        raise FpsimError(f"--out {out!r}: the folder {str(path.parent)!r} is not there; make it first")
    return path
