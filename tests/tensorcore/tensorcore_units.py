"""Units that differ in their arithmetic, and random numbers of their types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.number import FloatFormat
from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore import Unit, reference
from fpsim.tensorcore.architecture import units
from fpsim.tensorcore.operands import element_format
from fpsim.tensorcore.scale_types import block_of, scale_format

Setting = tuple[Unit, tuple[str, str], str]
#: Patterns that are compared: NaN is 0x7FFFFFFF.
NAN = np.int32(0x7FFFFFFF).view(np.float32)


def settings() -> list[Setting]:
    """Unit, types and accumulator of every arithmetic that is there once, mixed types included."""
    found: dict[Any, Setting] = {}
    for unit in units():
        if "int8" in unit.inputs:
            continue
        pairs = [(name, name) for name in unit.inputs] + ([unit.inputs[:2]] if unit.mixed else [])
        for types in pairs:
            for accumulator in unit.accumulators:
                facts = (unit.k, unit.group, unit.fraction_bits, unit.result_bits, unit.order, unit.c, unit.scaling)
                found.setdefault((facts, types, accumulator), (unit, types, accumulator))
    return list(found.values())


def name_of(setting: Setting) -> str:
    unit, types, accumulator = setting
    return f"{unit.arch}.{unit.instruction}.{'.'.join(dict.fromkeys(types))}.{accumulator}"


def how(setting: Setting) -> dict[str, Any]:
    """Arguments of dot and matmul."""
    unit, types, accumulator = setting
    return {"arch": unit.arch, "dtype": types, "instruction": unit.instruction, "accumulator": accumulator}


def numbers(rng: np.random.Generator, fmt: FloatFormat, shape: tuple[int, ...], *, near: bool, special: float) -> Any:
    """Random patterns as float32, exponents anywhere or close together; a part of what is not finite stays."""
    fields = (fmt.max_code >> fmt.mantissa_bits) + 1
    width = min(fields, int(rng.integers(2, 14))) if near else fields
    first = int(rng.integers(0, fields - width + 1))
    field = first + rng.integers(0, width, shape)
    mantissa = rng.integers(0, 1 << fmt.mantissa_bits, shape)
    over = (field << fmt.mantissa_bits | mantissa) > fmt.max_code
    exponent = np.maximum(field, 1) - int(fmt.bias) - fmt.mantissa_bits
    values = np.ldexp((mantissa + ((field > 0) << fmt.mantissa_bits)).astype(float), exponent)
    values = np.where(over, 1.0, values) * rng.choice([1, 1, 1, -1, -1, 0], shape)
    strange = ([np.nan] if fmt.nan_code is not None else []) + ([np.inf, -np.inf] if fmt.inf_code is not None else [])
    if strange:
        values = np.where(rng.random(shape) < special, rng.choice(strange, shape), values)
    return values.astype(np.float32)


def operands(rng: np.random.Generator, setting: Setting, rows: int, steps: int, special: float = 0.0) -> dict[str, Any]:
    """Random operands of dot: some exponents anywhere, some close together."""
    unit, types, accumulator = setting
    k, near = unit.step * steps, bool(rng.integers(0, 2))
    result = BINARY16 if accumulator == "fp16" else BINARY32
    a, b = (numbers(rng, element_format(name), (rows, k), near=near, special=special / 4) for name in types)
    c = numbers(rng, result, (rows,), near=near, special=special)
    if near and accumulator == "fp32":
        c = np.clip(np.where(np.isfinite(c), np.ldexp(np.frexp(c)[0], rng.integers(-20, 20, rows)), c), -1e9, 1e9)
    found = {"a": a, "b": b, "c": c.astype(np.float32)}
    if unit.scaling != "none":
        for side, name in zip("ab", types, strict=True):
            shape = (rows, k // block_of(name))
            if scale_format(name).mantissa_bits:
                scale = np.abs(numbers(rng, scale_format(name), shape, near=near, special=special / 4))
            else:
                scale = np.ldexp(1.0, rng.integers(-6, 6, shape) if near else rng.integers(-127, 128, shape))
            found[f"scale_{side}"] = scale.astype(np.float32)
    return found


def specified(setting: Setting, given: dict[str, Any]) -> NDArray[np.float32]:
    """What the specification makes of operands of dot."""
    unit, types, accumulator = setting
    results = []
    for row in range(len(given["a"])):
        one = {key: given[key][row].tolist() for key in given}
        scales = {key: one[key] for key in one if key.startswith("scale")}
        results.append(reference.dot(unit, types, one["a"], one["b"], one["c"], accumulator=accumulator, **scales))
    return bits(np.array(results, np.float32))


def bits(values: Any) -> NDArray[np.int32]:
    """Patterns with one NaN."""
    return np.where(np.isnan(values), NAN, values).astype(np.float32).view(np.int32)
