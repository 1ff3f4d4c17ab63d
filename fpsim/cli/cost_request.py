"""What ``fpsim cost`` was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpsim.cost.calibration_file import Calibration
from fpsim.cost.calibration_file import load as load_calibration
from fpsim.cost.device import Device
from fpsim.cost.device_file import find, known
from fpsim.errors import FpsimError
from fpsim.number.names import format as named_format
from fpsim.number.user_files import read_text
from fpsim.quant.policy import Policy
from fpsim.quant.policy_toml import loads

#: The batch of most images a second, of those that fit.
BEST = "best"
_MOST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, checked.

    Attributes:
        model: a name or folder.
        devices: in the order given.
        batches: images, or :data:`BEST`.
        policy: of the denoiser's layers; None for full precision.
        calibration: published or of a file.
        keywords: of :func:`fpsim.cost.estimate`, all but these.
    """

    model: str
    devices: tuple[Device, ...]
    batches: tuple[int | str, ...]
    policy: Policy | None
    calibration: Calibration
    keywords: Mapping[str, Any]


def request(options: Mapping[str, Any]) -> Request:
    """Return the request of the command line's options.

    Raises:
        FpsimError: an unknown device or format, no batch, options that exclude each other, a malformed file.
    """
    calibration = load_calibration(options["calibration"])
    keys = ("steps", "cfg", "runtime", "attention", "quantize_ops", "act_scales", "dtype")
    return Request(
        model=options["model"],
        devices=_devices(options["device"], options["device_files"], calibration),
        batches=_batches(options["batch"]),
        policy=_policy(options),
        calibration=calibration,
        keywords={key: options[key] for key in keys},
    )


def _devices(text: str | None, files: tuple[str, ...], calibration: Calibration) -> tuple[Device, ...]:
    if text is None and calibration.devices:
        return tuple(calibration.devices.values())
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if not names:
        raise FpsimError(f"no device is given; name some with --device, known are {', '.join(known(files))}")
    found = [calibration.devices.get(name) or find(name, files) for name in names]
    return tuple({device.name: device for device in found}.values())


def _batches(text: str) -> tuple[int | str, ...]:
    found: list[int | str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word != BEST and not (word.isdecimal() and len(word) <= 7 and 1 <= int(word) <= _MOST):
            raise FpsimError(f"batch {word!r} is neither a number of images from 1 to {_MOST} nor '{BEST}'")
        found.append(word if word == BEST else int(word))
    if not found:
        raise FpsimError("no batch is given; give numbers of images, such as --batch 1,8")
    return tuple(dict.fromkeys(found))


def _policy(options: Mapping[str, Any]) -> Policy | None:
    weights, acts, file = options["weights"], options["acts"], options["policy"]
    if file is not None:
        if weights or acts:
            raise FpsimError("--policy excludes --weights and --acts; the file says both")
        return loads(read_text(file, "policy file"), file=file, formats_files=options["files"])
    given = [None if name in (None, "none") else named_format(name, files=options["files"]) for name in (weights, acts)]
    return Policy.uniform(weights=given[0], acts=given[1]) if any(given) else None
