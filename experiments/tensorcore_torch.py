"""Matrix products of PyTorch's libraries: which order of summation explains every output.

``torch._scaled_mm`` (FP8, fast accumulation on and off), ``torch.mm`` (bf16, fp16, tf32) and ``torch._int_mm``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorcore_codes as codes
import tensorcore_model
import torch
from numpy.typing import NDArray
from tensorcore_mma import Mma
from tensorcore_tiles import random_tiles

Float32 = NDArray[np.float32]
Product = Callable[[Float32, Float32], Float32]
LENGTHS = (32, 64, 96, 128, 160, 256, 384, 512)
_TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A product [M, K] x [N, K] (columns) → float32 [M, N]: its name, its operand type, and what computes it."""

    name: str
    mma: Mma
    product: Product


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a long sum is made: emptied into FP32 every so many of K (0: never), in so many parts of K."""

    every: int = 0
    parts: int = 1

    def __str__(self) -> str:
        said = f"added to FP32 every {self.every}" if self.every else "one accumulator"
        return said + (f", K in {self.parts} parts" if self.parts > 1 else "")


def orders(k: int, step: int) -> Iterator[Order]:
    """Yield the orders that differ at a length, simplest first."""
    for parts in (1, 2, 4, 8):
        if k % (parts * step):
            continue
        yield Order(parts=parts)
        yield from (Order(every=n, parts=parts) for n in (32, 64, 128, 256) if n % step == 0 and n < k // parts)


def long_sum(mma: Mma, a: Float32, b: Float32, order: Order, on: str = "cpu") -> Float32:
    """Return the product in one order of summation, float32 [M, N].

    Args:
        mma: the instruction; its accumulator starts at 0.
        a: [M, K].
        b: [N, K].
        order: of the sum.
        on: torch device.
    """
    length = a.shape[1] // order.parts
    total: Float32 | None = None
    for begin in range(0, a.shape[1], length):
        part: Float32 | None = None
        for at in range(begin, begin + length, order.every or length):
            place = slice(at, min(at + (order.every or length), begin + length))
            c = np.zeros((1, len(a), len(b)), np.float32)
            x = (a[None, :, place], b[None, :, place])
            one = tensorcore_model.multiply(mma.unit, (mma.a, mma.b), *x, c, "fp32", on)[0]
            part = one if part is None else part + one
        assert part is not None
        total = part if total is None else total + part
    assert total is not None
    return total


def operands(mma: Mma, rows: int, k: int, seed: int) -> tuple[Float32, Float32]:
    """Return finite random numbers of like size, [rows, k] each: an order of summation shows in all of them."""
    draw = np.random.Generator(np.random.Philox(seed))
    if mma.a == "int8":
        a, b = (draw.integers(-128, 128, (rows, k)).astype(np.float32) for _ in "ab")
        return a, b
    tiles = random_tiles(mma, 7, seed)  # one tile of each kind; their patterns are only drawn from
    pool = [codes.values(x, mma.a).ravel() for x in (tiles.a, tiles.b)]
    pool = [x[np.isfinite(x) & (np.abs(x) >= 2.0**-4) & (np.abs(x) < 2.0**4)] for x in pool]
    a, b = (draw.choice(x, (rows, k)) for x in pool)
    return a, b


def tell(library: Library, rows: int = 64, lengths: tuple[int, ...] = LENGTHS, on: str = "cpu") -> list[str]:
    """Return a line for each K: the orders of summation that explain every output, or how near the nearest comes."""
    lines: list[str] = []
    for k in lengths:
        a, b = operands(library.mma, rows, k, seed=k)
        try:
            found = library.product(a, b)
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            return [*lines, f"{library.name}, K = {k}: this PyTorch refuses it: {str(error).splitlines()[0][:120]}"]
        lines.append(f"{library.name}, K = {k}: {_explained(library.mma, a, b, found, on)}")
    return lines


def _explained(mma: Mma, a: Float32, b: Float32, found: Float32, on: str) -> str:
    if mma.a == "int8":
        wrong = int((found != (a.astype(np.float64) @ b.T.astype(np.float64))).sum())
        return "exact" if not wrong else f"{wrong} of {found.size} differ from the exact sum"
    misses = {}
    for order in orders(a.shape[1], mma.unit.step):
        theirs = long_sum(mma, a, b, order, on)
        misses[str(order)] = int((found.view(np.uint32) != theirs.view(np.uint32)).sum())
    held = [label for label, wrong in misses.items() if not wrong]
    if held:
        return " = ".join(held)
    nearest = min(misses, key=misses.__getitem__)
    return f"none of {len(misses)} orders; nearest: {nearest}, {misses[nearest]} of {found.size} differ"


def libraries(mmas: tuple[Mma, ...]) -> Iterator[Library]:
    """Yield the products of this PyTorch on its CUDA device, of instructions with an fp32 or int32 accumulator."""
    for one in mmas:
        if one.instruction != "mma" or one.accumulator == "fp16" or one.a != one.b:
            continue
        mma = replace(one, instruction="library")  # whose unit is the architecture's first: wgmma, tcgen05, or mma
        if mma.a == "int8":
            yield Library(name="torch._int_mm", mma=mma, product=_int_mm)
        elif mma.a in ("e4m3", "e5m2"):
            for fast in (False, True):
                name = f"torch._scaled_mm {mma.a}, fast accumulation {'on' if fast else 'off'}"
                yield Library(name=name, mma=mma, product=_scaled_mm(mma, fast))
        else:
            yield Library(name=f"torch.mm {mma.a}", mma=mma, product=_mm(mma))


def _numpy(x: torch.Tensor) -> Float32:
    return np.ascontiguousarray(x.float().cpu().numpy())


def _on(x: Float32, kind: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).cuda().to(kind)


def _int_mm(a: Float32, b: Float32) -> Float32:
    return torch._int_mm(_on(a, torch.int8), _on(b, torch.int8).t()).double().cpu().numpy()


def _scaled_mm(mma: Mma, fast: bool) -> Product:
    def product(a: Float32, b: Float32) -> Float32:
        one = torch.ones((), device="cuda")
        x, y = _on(a, _TYPES[mma.a]), _on(b, _TYPES[mma.b]).t()
        return _numpy(torch._scaled_mm(x, y, one, one, out_dtype=torch.float32, use_fast_accum=fast))

    return product


def _mm(mma: Mma) -> Product:
    def product(a: Float32, b: Float32) -> Float32:
        if mma.a == "tf32":
            torch.backends.cuda.matmul.allow_tf32 = True
            return _numpy(torch.mm(_on(a, torch.float32), _on(b, torch.float32).t()))
        x, y = _on(a, _TYPES[mma.a]), _on(b, _TYPES[mma.b]).t()
        return _numpy(torch.mm(x, y, out_dtype=torch.float32))

    return product
