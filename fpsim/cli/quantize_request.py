"""From the options of ``fpsim quantize`` to what is to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpsim.cli.options import Resolved, resolve
from fpsim.codec.options import conversion
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.conversion import Conversion
from fpsim.quant import granularity as views
from fpsim.quant.granularity import Granularity, PerBlock, PerChannel, PerTensor
from fpsim.quant.quantizer import Quantizer

_POLICIES = ("rounding", "overflow", "random_bits", "seed")
#: Options that say how to quantize, by click's names.
_HOW = ("name", "bias", "specials", "no_subnormals", "files", "granularity", "scale", *_POLICIES, "include", "exclude")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How tensors are quantized, and which.

    Args:
        resolved: the format.
        granularity: which values share a scale.
        scale: the rule.
        how: rounding and overflow policies.
        include: globs; none includes all.
        exclude: globs.
        min_dims: tensors of fewer are copied.
    """

    resolved: Resolved
    granularity: Granularity
    scale: str
    how: Conversion
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    min_dims: int

    def quantizer(self, dims: int) -> Quantizer:
        """Return the quantizer of tensors with so many dims."""
        granularity = self.granularity
        if isinstance(granularity, PerBlock):
            granularity = PerBlock(granularity.size, 1 if dims > 2 else -1)
        elif dims < 2:
            granularity = PerTensor()
        return Quantizer(self.resolved.format, granularity, self.scale)


def read_request(options: Mapping[str, Any]) -> Request:
    """Return what the options ask for.

    Raises:
        FpsimError: any of them is wrong, or they contradict each other.
    """
    if options["name"] is None:
        raise FpsimError("--format is missing; name one, such as --format e4m3 ('fpsim formats' lists all)")
    resolved = resolve(options["name"], **{key: options[key] for key in ("bias", "specials", "no_subnormals", "files")})
    granularity, scale = options["granularity"], options["scale"]
    if isinstance(resolved.format, BlockFormat):
        _check_own(resolved.format, granularity, scale)
        granularity = f"block:{resolved.format.block}"
    request = Request(
        resolved=resolved,
        granularity=PerChannel(0) if granularity is None else views.parse(granularity),
        scale=scale or "mse",
        how=_conversion(resolved.format, options),
        include=options["include"],
        exclude=options["exclude"],
        min_dims=options["min_dims"],
    )
    request.quantizer(2)  # refuses rules that do not fit
    return request


def _check_own(fmt: BlockFormat, granularity: str | None, scale: str | None) -> None:
    own = f"{fmt.scale.name}-{fmt.rule}"
    if granularity not in (None, f"block:{fmt.block}"):
        raise FpsimError(f"{fmt.name} has blocks of {fmt.block} of its own; drop --granularity {granularity}")
    if scale not in (None, own):
        raise FpsimError(f"{fmt.name} has the scale rule {own} of its own; drop --scale {scale}")


def _conversion(fmt: Format, options: Mapping[str, Any]) -> Conversion:
    return conversion(fmt, **{key: options[key] for key in _POLICIES if options[key] is not None})[0]


def target(options: Mapping[str, Any]) -> Path | None:
    """Return the file to write, if any.

    Raises:
        FpsimError: ``--out`` is empty, or missing where it is needed; options that --dequantize does not take.
    """
    if options["dequantize"]:
        said = [key for key in _HOW if options[key] is not None and options[key] is not False and options[key] != ()]
        if said:
            option = {"name": "format", "files": "formats-file"}.get(said[0], said[0].replace("_", "-"))
            raise FpsimError(f"--dequantize takes everything from the file; drop --{option}")
        given = options["files_in"]
        if len(given) != 1 or given[0].endswith(".json"):
            raise FpsimError(f"--dequantize reads one packed file, not {', '.join(given)}; give one .safetensors file")
        if options["out"] is None:
            raise FpsimError("--dequantize needs --out FILE for the plain tensors")
    if options["out"] is None:
        if options["overwrite"]:
            raise FpsimError("--overwrite without --out has nothing to replace; give --out FILE")
        return None
    if not options["out"].strip():
        raise FpsimError("--out is empty; name a file, such as packed.safetensors")
    return Path(options["out"])
