"""How the tensors of a packed file were quantized, as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.catalogue import KINDS
from fpsim.number.conversion import Conversion
from fpsim.quant.format_toml import read_definitions
from fpsim.quant.granularity import Granularity, PerBlock, PerChannel, PerTensor
from fpsim.quant.packed_dtypes import FLOATS
from fpsim.quant.packed_header import shown
from fpsim.version import __version__

#: Version of the file's layout; a reader refuses others.
FILE_VERSION = "1"
PREFIX = "fpsim."
_KEYS = ("file_version", "version", "formats", "recipes", "tensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a tensor's codes mean and how they came about.

    Args:
        format: the number format.
        granularity: which values share a scale.
        scale: the rule of the scales, or ``fixed``.
        zero_points: whether there are zero points.
        how: rounding, overflow and NaN policies.
    """

    format: Format
    granularity: Granularity
    scale: str
    zero_points: bool
    how: Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A tensor as it was before: its type by safetensors' name, its shape, and its recipe."""

    dtype: str
    shape: tuple[int, ...]
    recipe: Recipe

    @property
    def real(self) -> str:
        """Safetensors' name of the type that its values were rounded in, and its scales have."""
        return "F64" if self.dtype == "F64" else "F32"


def dumps(records: Mapping[str, Record]) -> dict[str, str]:
    """Return the metadata of tensors: every fact of the formats, so that no formats file is needed to read them."""
    formats: dict[str, Any] = {}
    recipes: list[dict[str, Any]] = []
    known: dict[str, int] = {}
    tensors: dict[str, Any] = {}
    for name, record in records.items():
        table = _recipe_table(record.recipe, formats)
        key = json.dumps(table)
        if key not in known:
            known[key] = len(recipes)
            recipes.append(table)
        tensors[name] = {"dtype": record.dtype, "shape": list(record.shape), "recipe": known[key]}
    values = (FILE_VERSION, __version__, json.dumps(formats), json.dumps(recipes), json.dumps(tensors))
    return {PREFIX + key: value for key, value in zip(_KEYS, values, strict=True)}


def _recipe_table(recipe: Recipe, formats: dict[str, Any]) -> dict[str, Any]:
    granularity, how = recipe.granularity, recipe.how
    table: dict[str, Any] = {"format": _define(recipe.format, formats)}
    if isinstance(granularity, PerTensor):
        table["granularity"] = "tensor"
    elif isinstance(granularity, PerChannel):
        table |= {"granularity": "channel", "axis": granularity.axis}
    else:
        table |= {"granularity": "block", "size": granularity.size, "axis": granularity.axis}
    table |= {"scale": recipe.scale, "zero_points": recipe.zero_points}
    return table | {field.name: getattr(how, field.name) for field in fields(how)}


def _define(fmt: Format, formats: dict[str, Any]) -> str:
    """Add a format's facts under a name of its own, its parts before it, and return the name."""
    kind = next(kind for kind, cls in KINDS.items() if isinstance(fmt, cls))
    facts = {"kind": kind} | {field.name: getattr(fmt, field.name) for field in fields(fmt) if field.name != "name"}
    if isinstance(fmt, BlockFormat):
        facts |= {key: _define(facts[key], formats) for key in ("element", "scale")}
    name, number = fmt.name, 1
    while formats.setdefault(name, facts) != facts:
        number += 1
        name = f"{fmt.name}-{number}"
    return name


def is_packed(metadata: Mapping[str, str]) -> bool:
    """Whether a file's metadata are those of packed codes."""
    return PREFIX + "file_version" in metadata


def loads(metadata: Mapping[str, str], file: str) -> dict[str, Record]:
    """Return the records of a file's metadata.

    Raises:
        FpsimError: it holds no packed codes, is of another version, or is damaged.
    """
    version = metadata.get(PREFIX + "file_version")
    if version is None:
        raise FpsimError(f"{file} holds no packed codes of fpsim; 'fpsim quantize {file} --out …' makes such a file")
    if version != FILE_VERSION:
        made = metadata.get(PREFIX + "version", "unknown")
        raise FpsimError(
            f"{file} has layout {shown(version)} (of fpsim {shown(made)}); this fpsim reads layout {FILE_VERSION}"
        )
    try:
        formats, recipes, tensors = (json.loads(metadata[PREFIX + key]) for key in _KEYS[2:])
        known = read_definitions(formats, "formats")
        made_of = [_recipe(table, known) for table in recipes]
        return {name: _record(table, made_of) for name, table in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        reason = str(error) if isinstance(error, FpsimError) else f"{type(error).__name__}: {error}"
        raise FpsimError(f"{file}: its fpsim metadata are damaged ({reason}); write it again") from None


def _recipe(table: dict[str, Any], formats: Mapping[str, Format]) -> Recipe:
    kind, axis = table["granularity"], table.get("axis", 0)
    granularity: Granularity | None = None
    if kind == "tensor":
        granularity = PerTensor()
    elif kind == "channel" and type(axis) is int:
        granularity = PerChannel(axis)
    elif kind == "block" and type(axis) is int and type(table["size"]) is int:
        granularity = PerBlock(table["size"], axis)
    if granularity is None:
        raise FpsimError(f"granularity {kind!r} is not tensor, channel or block, or its axis is no integer")
    how = Conversion(**{field.name: table[field.name] for field in fields(Conversion)})
    return Recipe(
        format=formats[table["format"]],
        granularity=granularity,
        scale=str(table["scale"]),
        zero_points=table["zero_points"] is True,
        how=how,
    )


def _record(table: dict[str, Any], recipes: list[Recipe]) -> Record:
    dtype, shape, number = table["dtype"], table["shape"], table["recipe"]
    if dtype not in FLOATS or not all(type(length) is int and length > 0 for length in shape):
        raise FpsimError(f"{dtype!r} of shape {shape!r} is no tensor of floating-point values")
    if type(number) is not int or number < 0:
        raise FpsimError(f"{number!r} is no number of a recipe")
    return Record(dtype=dtype, shape=tuple(shape), recipe=recipes[number])
