"""Vectors of matrix units as text: CSV, JSON, and words for ``$readmemh``; one instruction is a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from fpsim.conformance.vector_files import hex_document, json_document, number_text
from fpsim.tensorcore.operands import element_format
from fpsim.tensorcore.scale_types import scale_format
from fpsim.tensorcore.vectors import DotRequest, DotVector, code_of
from fpsim.version import __version__

#: Facts of a unit that a reader of vectors needs.
_FACTS = ("group", "fraction_bits", "exponent_floor", "order", "c", "scaling", "source", "confidence")


def header(request: DotRequest, found: Sequence[DotVector]) -> dict[str, Any]:
    """Return what a reader must know about the vectors."""
    unit, facts = request.unit, asdict(request.unit)
    facts = {key: facts[key] for key in _FACTS}
    bits = {"result_bits": 10 if request.accumulator == "fp16" else unit.result_bits}
    head = {"op": "dot", "arch": unit.arch, "instruction": unit.instruction, "k": unit.k[-1]}
    head |= {"type_a": request.types[0], "type_b": request.types[1], "accumulator": request.accumulator}
    tail = {"random_inputs": request.count, "seed": request.seed, "vectors": len(found), "fpsim": __version__}
    return head | facts | bits | tail | {"note": "d = a·b + c in one instruction; any NaN matches a NaN"}


def csv_text(request: DotRequest, found: Iterable[DotVector]) -> str:
    """Return CSV: bits in hexadecimal, those of vectors parted by spaces, k = 0 first; c and d also as decimals."""
    lines, names = [], [name for name, _ in _layout(request)]
    lines.append(",".join(["class", *(f"{name}_bits" for name in names), "c", "d"]))
    for vector in found:
        numbers = [number_text(x) for x in (vector.case.c, vector.result)]
        lines.append(",".join([vector.case.kind, *(" ".join(words) for words in _words(request, vector)), *numbers]))
    return "".join(f"{line}\n" for line in lines)


def json_text(request: DotRequest, found: Sequence[DotVector]) -> str:
    """Return JSON: the header and one vector a line; NaN and infinities are strings."""
    names, rows = [name for name, _ in _layout(request)], []
    for vector in found:
        bits = {f"{name}_bits": words for name, words in zip(names, _words(request, vector), strict=True)}
        numbers = {name: _json_number(x) for name, x in (("c", vector.case.c), ("d", vector.result))}
        rows.append(json.dumps({"class": vector.case.kind} | bits | numbers))
    return json_document(header(request, found), rows)


def hex_text(request: DotRequest, found: Sequence[DotVector]) -> str:
    """Return one word a vector for ``$readmemh``: a, b, their scales, c, d, each with k = 0 first."""
    first = _values(request, found[0]) if found else []
    fields = []
    for (name, fmt), values in zip(_layout(request), first, strict=False):
        digits = -(-fmt.bits // 4)
        fields += [(name if len(values) == 1 else f"{name} {i}", digits) for i in range(len(values))]
    words = [[int(word, 16) for words in _words(request, vector) for word in words] for vector in found]
    return hex_document(header(request, found), fields, words)


def _layout(request: DotRequest) -> list[tuple[str, Any]]:
    """Names and formats of a vector's fields."""
    sides = list(zip("ab", request.types, strict=True))
    fields: list[tuple[str, Any]] = [(side, element_format(name)) for side, name in sides]
    if request.unit.scaling != "none":
        fields += [(f"scale_{side}", scale_format(name)) for side, name in sides]
    return [*fields, ("c", request.result), ("d", request.result)]


def _values(request: DotRequest, vector: DotVector) -> list[Sequence[float]]:
    case = vector.case
    scales = [case.scale_a, case.scale_b] if request.unit.scaling != "none" else []
    return [case.a, case.b, *scales, [case.c], [vector.result]]


def _words(request: DotRequest, vector: DotVector) -> list[list[str]]:
    """The bits of each field's numbers, in hexadecimal."""
    fields = zip(_layout(request), _values(request, vector), strict=True)
    return [[f"{code_of(fmt, x):0{-(-fmt.bits // 4)}x}" for x in values] for (_, fmt), values in fields]


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
