"""From the options of ``fpsim simulate`` to the request that the method layer takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpsim.cli.q_diffusion_options import Q_DIFFUSION_OPTIONS
from fpsim.cli.rounding_options import ROUNDING_OPTIONS
from fpsim.cli.sampling_spec import read_spec
from fpsim.codec.protocol import backend
from fpsim.errors import FpsimError
from fpsim.methods import registry
from fpsim.methods.request import Request, Row
from fpsim.methods.rounding_settings import check_samples
from fpsim.model.arithmetic import named
from fpsim.model.build import describe_acts
from fpsim.number.names import format as resolve
from fpsim.number.user_files import read_text
from fpsim.quant import policy_toml
from fpsim.quant.binned import check_count
from fpsim.quant.policy import Policy

METHOD_OPTIONS = (*ROUNDING_OPTIONS, *Q_DIFFUSION_OPTIONS)


def read_request(options: Mapping[str, Any], command: str) -> Request:
    """Return the simulation that the options ask for.

    Args:
        options: click's values by name.
        command: the command that repeats the run.

    Raises:
        FpsimError: any option is wrong, a file cannot be read, or there is nothing to simulate.
    """
    check_samples("calibration-images", options["calibration_images"], "image")
    if options["backend"] is not None:
        backend(options["backend"])
    keys = ["weights_granularity", "acts_granularity", "scale", "policy_file", "skip"]
    spec = read_spec(options, options["num_images"])
    given = {name: options[name] for name in METHOD_OPTIONS if options[name] is not None}
    registry.settings(options["method"], given, "unconditional", spec.steps)  # of any kind: before a model is loaded
    said = {**options, "policy_file": options["policy"], "skip": list(options["skip"])}
    if check_timestep_bins(options) > 1:
        keys.append("timestep_bins")
    return Request(
        spec=spec,
        rows=_rows(options),
        act_scales=options["act_scales"],
        calibration_images=options["calibration_images"],
        backend=options["backend"],
        strict=options["strict"],
        dtype=options["dtype"],
        device=options["device"],
        quantization={key: said[key] for key in keys},
        command=command,
        overwrite=options["overwrite"],
        method=options["method"],
        arithmetic=named(
            options["arithmetic"], promote_every=options["promote_every"], operand_type=options["operand_type"]
        ),
        method_options=given,
    )


def check_timestep_bins(options: Mapping[str, Any]) -> int:
    """Return how many timestep bins the formats on the command line have.

    Raises:
        FpsimError: no number of bins, or bins that nothing follows.
    """
    count: int = options["timestep_bins"]
    check_count(count)
    if count > 1 and options["act_scales"] == "dynamic":
        raise FpsimError("--timestep-bins is for static scales; dynamic ones follow each sample by themselves")
    if count > 1 and not options["pairs"] and options["acts"] is None:
        raise FpsimError("--timestep-bins is for --quant and --acts; a policy file says 'timestep_bins' itself")
    return count


def _rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    how = ("weights_granularity", "acts_granularity", "scale", "timestep_bins")
    Policy.uniform(**{key: options[key] for key in how})  # wrong ones are refused, even where no row needs them
    rows = [_pair(pair, *_split(pair), options) for pair in options["pairs"]]
    if options["weights"] is not None or options["acts"] is not None:
        weights, acts = ("none" if options[key] is None else options[key] for key in ("weights", "acts"))
        rows.append(_pair(f"{weights}/{acts}", weights, acts, options))
    if options["policy"] is not None:
        rows.append(_policy_row(options))
    return tuple(rows)


def _split(pair: str) -> tuple[str, str]:
    # The slashes of a formats file's folders do not count: such a name ends after its '#'.
    match = re.fullmatch(r"([^/#]+|[^#]+#[^/#]+)/([^/#]+|[^#]+#[^/#]+)", pair)
    if match is None:
        raise FpsimError(f"--quant {pair!r} is not of the form WEIGHTS/ACTIVATIONS, such as e4m3/e4m3 or int4/int8")
    return match[1], match[2]


def _pair(label: str, weights: str, acts: str, options: Mapping[str, Any]) -> Row:
    def found(name: str) -> Any:
        return None if name == "none" else resolve(name, files=options["files"])

    policy = Policy.uniform(
        found(weights),
        found(acts),
        weights_granularity=options["weights_granularity"],
        acts_granularity=options["acts_granularity"],
        scale=options["scale"],
        timestep_bins=options["timestep_bins"],
    )
    first = policy.rules[0]
    return Row(
        label=label,
        policy=policy.skip(*options["skip"]),
        weights=str(first.weights or "full precision"),
        acts=describe_acts(first.acts, static=options["act_scales"] == "static") if first.acts else "full precision",
    )


def _policy_row(options: Mapping[str, Any]) -> Row:
    path = Path(options["policy"])
    text = read_text(str(path), "policy file")
    policy = policy_toml.loads(text, file=str(path), formats_files=options["files"])
    said = f"rules of {path.name}"
    return Row(label=path.stem, policy=policy.skip(*options["skip"]), weights=said, acts=said)
