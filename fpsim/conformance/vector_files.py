"""Golden vectors as text: CSV, JSON, and the hexadecimal words that Verilog's ``$readmemh`` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpsim.conformance.vectors import Op, Request, Vector
from fpsim.number.label import label
from fpsim.version import __version__

_NAMES = {"kind": "class", "input": "input_bits", "value": "input", "output": "output_bits", "result": "output"}


def columns(request: Request) -> tuple[str, ...]:
    """Return the fields that a request's vectors have, in their order."""
    drawn = () if request.how.deterministic or request.op is Op.DECODE else ("word",)
    return {
        Op.QUANTIZE: ("kind", "input", "value", *drawn, "code", "output", "result"),
        Op.ENCODE: ("kind", "input", "value", *drawn, "code"),
        Op.DECODE: ("kind", "code", "output", "result"),
    }[request.op]


def header(request: Request, found: Sequence[Any]) -> dict[str, Any]:
    """Return what a reader must know about the vectors."""
    how = request.how
    facts: dict[str, Any] = {
        "format": label(request.format),
        "bits": request.format.bits,
        "op": str(request.op),
        "type": request.kind.name,
    }
    if request.op is not Op.DECODE:
        facts |= {"rounding": str(how.rounding), "overflow": str(how.overflow), "nan": str(how.nan)}
        if not how.deterministic:
            facts |= {"random_bits": how.random_bits, "rounding_seed": how.seed}
            facts |= {"words": "vector i has the random number of element i of an array"}
        facts |= {"random_inputs": request.count, "seed": request.seed}
    return facts | {"vectors": len(found), "fpsim": __version__, "note": "any NaN matches a NaN"}


def csv_text(request: Request, found: Iterable[Vector]) -> str:
    """Return CSV: bits and codes in hexadecimal, values as shortest decimals."""
    names = columns(request)
    lines = [",".join(_NAMES.get(name, name) for name in names)]
    lines += [",".join(_cell(request, name, getattr(vector, name)) for name in names) for vector in found]
    return "".join(f"{line}\n" for line in lines)


def json_text(request: Request, found: Sequence[Vector], facts: Mapping[str, Any] | None = None) -> str:
    """Return JSON: the header, with the format's facts, and one vector a line; NaN and infinities are strings."""
    names = columns(request)
    rows = [
        json.dumps({_NAMES.get(name, name): _json_cell(request, name, getattr(vector, name)) for name in names})
        for vector in found
    ]
    return json_document(header(request, found) | ({"facts": facts} if facts else {}), rows)


def json_document(head: Mapping[str, Any], rows: Sequence[str]) -> str:
    """Return a header object and rows that are JSON already."""
    body = ",\n    ".join(rows)
    return f'{{\n  "header": {json.dumps(head)},\n  "vectors": [\n    {body}\n  ]\n}}\n'


def hex_text(request: Request, found: Sequence[Vector]) -> str:
    """Return one word a line for ``$readmemh``, most significant field first; the comments name the fields."""
    fields = [name for name in columns(request) if name in ("input", "word", "code", "output")]
    if request.op is Op.QUANTIZE:
        fields.remove("code")
    kept = [vector for vector in found if all(getattr(vector, name) is not None for name in fields)]
    return hex_document(
        header(request, kept),
        [(_NAMES.get(n, n), _digits(request, n)) for n in fields],
        [[getattr(vector, name) for name in fields] for vector in kept],
    )


def hex_document(head: Mapping[str, Any], fields: Sequence[tuple[str, int]], words: Iterable[Sequence[int]]) -> str:
    """Return words of fields, each as wide as its digits; underscores part them, as Verilog allows."""
    digits = [width for _, width in fields]
    layout, top = [], 4 * sum(digits)
    for name, width in fields:
        layout.append(f"[{top - 1}:{top - 4 * width}] {name}")
        top -= 4 * width
    lines = [f"// {key}: {value}" for key, value in head.items()]
    lines += [f"// word: {4 * sum(digits)} bits = {', '.join(layout)}"]
    lines += ["_".join(f"{value:0{width}x}" for value, width in zip(word, digits, strict=True)) for word in words]
    return "".join(f"{line}\n" for line in lines)


def _digits(request: Request, name: str) -> int:
    bits = {"code": request.format.bits, "word": request.how.random_bits}.get(name, request.kind.bits)
    return -(-bits // 4)


def _cell(request: Request, name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in ("input", "output", "code", "word"):
        return f"{value:0{_digits(request, name)}x}"
    return number_text(value) if isinstance(value, float) else str(value)


def _json_cell(request: Request, name: str, value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return None if value is None else _cell(request, name, value)


def number_text(value: float) -> str:
    """Return the shortest decimal that reads back as the same float64, without ``.0``."""
    return repr(value).removesuffix(".0")
