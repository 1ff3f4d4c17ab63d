"""From the options of ``fpsim simulate`` to the request that the method layer takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpsim.codec.protocol import backend
from fpsim.errors import FpsimError
from fpsim.methods.request import Request, Row
from fpsim.model.build import describe_acts
from fpsim.number.names import format as resolve
from fpsim.quant import policy_toml
from fpsim.quant.policy import Policy
from fpsim.sample.spec import SampleSpec


def read_request(options: Mapping[str, Any], command: str) -> Request:
    """Return the simulation that the options ask for.

    Args:
        options: click's values by name.
        command: the command that repeats the run.

    Raises:
        FpsimError: any option is wrong, a file cannot be read, or there is nothing to simulate.
    """
    if options["calibration_images"] < 1:
        raise FpsimError(f"--calibration-images {options['calibration_images']}: at least 1 image is needed")
    if options["backend"] is not None:
        backend(options["backend"])
    keys = ("weights_granularity", "acts_granularity", "scale", "policy_file", "skip")
    said = {**options, "policy_file": options["policy"], "skip": list(options["skip"])}
    return Request(
        spec=_spec(options),
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
    )


def _rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    how = ("weights_granularity", "acts_granularity", "scale")
    Policy.uniform(**{key: options[key] for key in how})  # wrong ones are refused, even where no row needs them
    rows = [_pair(pair, *_split(pair), options) for pair in options["pairs"]]
    if options["weights"] or options["acts"]:
        weights, acts = options["weights"] or "none", options["acts"] or "none"
        rows.append(_pair(f"{weights}/{acts}", weights, acts, options))
    if options["policy"]:
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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FpsimError(f"policy file {str(path)!r} cannot be read: {reason}") from None
    policy = policy_toml.loads(text, file=str(path), formats_files=options["files"])
    said = f"rules of {path.name}"
    return Row(label=path.stem, policy=policy.skip(*options["skip"]), weights=said, acts=said)


def _spec(options: Mapping[str, Any]) -> SampleSpec:
    prompts = None
    if options["prompts"]:
        try:
            lines = Path(options["prompts"]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise FpsimError(
                f"prompts file {options['prompts']!r} cannot be read; give a text file, one prompt a line"
            ) from None
        prompts = tuple(line.strip() for line in lines if line.strip())
        if not prompts:
            raise FpsimError(f"prompts file {options['prompts']!r} holds no prompt; give one a line")
    return SampleSpec(
        steps=options["steps"],
        num_images=options["num_images"],
        batch_size=options["batch_size"],
        seed=options["seed"],
        scheduler=options["scheduler"],
        prompts=prompts,
        guidance_scale=options["guidance_scale"],
    )
