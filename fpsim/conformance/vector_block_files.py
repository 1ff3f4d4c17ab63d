"""Block vectors as text: CSV, JSON, and words for ``$readmemh``; a block is a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpsim.conformance.vector_blocks import BlockRequest, BlockVector
from fpsim.conformance.vector_files import hex_document, json_document, number_text
from fpsim.conformance.vectors import Op
from fpsim.number.label import label
from fpsim.version import __version__

_FIELDS = ("class", "input_bits", "scale_code", "scale", "codes", "output_bits")


def fields(request: BlockRequest) -> tuple[str, ...]:
    """Return the names of a line's fields."""
    return _FIELDS if request.op is Op.QUANTIZE else _FIELDS[:-1]


def header(request: BlockRequest, found: Sequence[Any]) -> dict[str, Any]:
    """Return what a reader must know about the vectors."""
    fmt, how = request.format, request.how
    facts = {
        "format": label(fmt),
        "element": label(fmt.element),
        "block": fmt.block,
        "element_bits": fmt.element.bits,
        "scale_bits": fmt.scale.bits,
        "op": str(request.op),
        "type": request.kind.name,
        "rounding": str(how.rounding),
        "overflow": str(how.overflow),
        "nan": str(how.nan),
    }
    note = "any NaN matches a NaN" + ("; the tensor's scale is 1" if fmt.tensor_scale else "")
    more = {"random_inputs": request.count, "seed": request.seed, "vectors": len(found), "fpsim": __version__}
    return facts | more | {"note": note}


def csv_text(request: BlockRequest, found: Iterable[BlockVector]) -> str:
    """Return CSV; the numbers of a block are parted by spaces."""
    rows = (_record(request, vector) for vector in found)
    lines = [",".join(fields(request))]
    lines += [",".join(" ".join(v) if isinstance(v, list) else str(v) for v in row.values()) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def json_text(request: BlockRequest, found: Sequence[BlockVector], facts: Mapping[str, Any] | None = None) -> str:
    """Return JSON: the header, with the format's facts, and one block a line."""
    rows = [json.dumps(_record(request, vector)) for vector in found]
    return json_document(header(request, found) | ({"facts": facts} if facts else {}), rows)


def hex_text(request: BlockRequest, found: Sequence[BlockVector]) -> str:
    """Return one word a block: the inputs, element 0 first, then what is expected."""
    size = request.format.block
    kept = [v for v in found if request.op is Op.QUANTIZE or None not in v.codes]
    layout = [(f"input_bits {i}", _digits(request.kind.bits)) for i in range(size)]
    if request.op is Op.ENCODE:
        layout += [("scale_code", _digits(request.format.scale.bits))]
        layout += [(f"code {i}", _digits(request.format.element.bits)) for i in range(size)]
        words = [[*v.inputs, v.scale_code, *(code or 0 for code in v.codes)] for v in kept]
    else:
        layout += [(f"output_bits {i}", _digits(request.kind.bits)) for i in range(size)]
        words = [[*v.inputs, *v.outputs] for v in kept]
    return hex_document(header(request, kept), layout, words)


def _digits(bits: int) -> int:
    return -(-bits // 4)


def _record(request: BlockRequest, vector: BlockVector) -> dict[str, Any]:
    type_, fmt = _digits(request.kind.bits), request.format
    element = _digits(fmt.element.bits)
    values = (
        vector.kind,
        [f"{bits:0{type_}x}" for bits in vector.inputs],
        f"{vector.scale_code:0{_digits(fmt.scale.bits)}x}",
        number_text(vector.scale),
        ["-" if code is None else f"{code:0{element}x}" for code in vector.codes],
        [f"{bits:0{type_}x}" for bits in vector.outputs],
    )
    return dict(zip(fields(request), values, strict=False))
