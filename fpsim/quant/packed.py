"""``fpsim.save_packed`` and ``fpsim.load_packed``: quantized tensors as codes and scales in a safetensors file.

A tensor NAME is stored as ``NAME.codes`` (U8: codes without gaps, the first one in the low bits; in C order, but with
the block axis last) and ``NAME.scales``: float32 or float64, one a group, or for block formats the scales' codes. Where
there are any, ``NAME.zero_points`` and ``NAME.tensor_scale`` (NVFP4) stand beside them. The metadata say the rest:
``fpsim.formats`` (every fact of the formats), ``fpsim.recipes`` (format, granularity, rounding …), ``fpsim.tensors``
(original type and shape, and the recipe's number), ``fpsim.version`` and ``fpsim.file_version``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.quant.packed_decode import values_in
from fpsim.quant.packed_dtypes import FLOATS, as_numpy, as_torch, of_array, stored
from fpsim.quant.packed_header import shown
from fpsim.quant.packed_items import Item, contents, joined, store
from fpsim.quant.packed_layout import DTYPES, Parts, layout, recipe_of
from fpsim.quant.packed_recipe import PREFIX, Record, loads
from fpsim.quant.packed_stream import Reader, check_target, writing
from fpsim.quant.quantizer import Quantizer


def save_packed(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    quantizer: Quantizer | Mapping[str, Quantizer],
    *,
    how: Conversion = DEFAULT,
    overwrite: bool = False,
) -> None:
    """Write tensors to a safetensors file, quantized ones as packed codes and scales.

    Args:
        path: the file; it appears under its name once it is complete.
        tensors: NumPy arrays or torch tensors by name.
        quantizer: for every tensor of float16, bfloat16, float32 or float64 that has values; or quantizers by tensor
            name. Other tensors are stored as they are.
        how: rounding and overflow policies.
        overwrite: whether an existing file may be replaced.

    Raises:
        FpsimError: the file exists; a quantizer for no tensor; NaN or Inf in a tensor to quantize; a type that
            safetensors lacks.
        OSError: the file cannot be written; nothing of it is left.
    """
    target = Path(path)
    check_target(target, overwrite=overwrite)
    unknown = [] if isinstance(quantizer, Quantizer) else [name for name in quantizer if name not in tensors]
    if unknown:
        raise FpsimError(f"a quantizer is given for {unknown[0]!r}, but there is no tensor of that name")
    items = [_item(name, x, quantizer, how) for name, x in tensors.items()]
    what = contents(items, {})
    with writing(target, what.entries, what.sizes, what.metadata) as put:
        for item in items:
            store(item, None if item.record is None else item.parts(item.values()), put)


def _item(name: str, x: Any, quantizer: Quantizer | Mapping[str, Quantizer], how: Conversion) -> Item:
    dtype, shape, raw = of_array(x, name)
    chosen = quantizer if isinstance(quantizer, Quantizer) else quantizer.get(name)
    record = None
    if chosen is not None and raw.size and dtype in FLOATS:
        record = Record(dtype=dtype, shape=shape, recipe=recipe_of(chosen, how))
    elif chosen is not None and not isinstance(quantizer, Quantizer):
        raise FpsimError(f"tensor {name!r} ({dtype} of shape {list(shape)}) has no floating-point values to quantize")
    return Item(
        name=name,
        dtype=dtype,
        shape=shape,
        size=raw.size,
        pieces=lambda: (raw,),
        record=record,
        fixed=None if chosen is None else chosen.scales,
    )


def load_packed(path: str | os.PathLike[str], *, framework: Literal["numpy", "torch"] = "numpy") -> dict[str, Any]:
    """Return the tensors of a packed file.

    Args:
        path: a file of :func:`save_packed` or ``fpsim quantize``.
        framework: ``numpy`` (bfloat16 needs ml_dtypes) or ``torch``.

    Returns:
        Arrays by name. Quantized ones have, bit for bit, the values of :class:`fpsim.Quantizer` in the type that
        the tensor had; the others are as they were.

    Raises:
        FpsimError: the file cannot be read, is damaged or holds no packed codes; the framework lacks a type.
    """
    if framework not in ("numpy", "torch"):
        raise FpsimError(f"framework {framework!r} is not one of numpy, torch")
    convert = as_torch if framework == "torch" else as_numpy
    with Reader(Path(path)) as reader:
        return {
            item.name: convert(joined(item.pieces(), item.size), item.dtype, item.shape) for item in unpacked(reader)
        }


def unpacked(reader: Reader) -> Iterator[Item]:
    """Yield the tensors of a packed file as plain ones; each is decoded when its bytes are asked for.

    Raises:
        FpsimError: the file holds no packed codes, or is damaged.
    """
    file, entries = str(reader.path), dict(reader.header.entries)
    records = loads(reader.header.metadata, file)
    for name, record in records.items():
        for suffix, (kind, shape) in layout(record).items():
            entry = entries.pop(f"{name}.{suffix}", None)
            if entry is None or (entry.dtype, entry.shape) != (kind, shape):
                raise FpsimError(f"{file}: '{shown(name)}.{suffix}' should be {kind} {list(shape)}; write it again")
    clash = next((name for name in records if name in entries), None)
    if clash is not None:
        raise FpsimError(f"{file}: {clash!r} is there twice, packed and as it is; write it again")
    for name, record in records.items():
        yield Item(
            name=name,
            dtype=record.dtype,
            shape=record.shape,
            size=_bytes(record),
            pieces=partial(_decoded, reader, name, record),
        )
    for entry in entries.values():
        yield Item(
            name=entry.name,
            dtype=entry.dtype,
            shape=entry.shape,
            size=entry.size,
            pieces=partial(reader.pieces, entry),
        )


def _bytes(record: Record) -> int:
    return int(np.prod(record.shape, dtype=np.int64)) * {"F64": 8, "F32": 4}.get(record.dtype, 2)


def _decoded(reader: Reader, name: str, record: Record) -> Iterator[NDArray[np.uint8]]:
    yield stored(values_in(read_parts(reader, name, record), record, name), record.dtype)


def read_parts(reader: Reader, name: str, record: Record) -> Parts:
    """Return the arrays that a file holds of a tensor."""
    entries = reader.header.entries
    return {
        suffix: reader.read(entries[f"{name}.{suffix}"]).view(DTYPES[kind]).reshape(shape)
        for suffix, (kind, shape) in layout(record).items()
    }


def plain_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a file's metadata without those that packing added."""
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
