"""One matrix instruction of one GPU, its tiles, and what fpsim.tensorcore says that they are."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import numpy as np
import tensorcore_codes as codes
import tensorcore_model
from numpy.typing import NDArray
from tensorcore_codes import Bits

from fpsim.errors import FpsimError
from fpsim.tensorcore import reference
from fpsim.tensorcore.architecture import Unit, find_unit

Words = NDArray[np.uint32]
#: Compute capability to architecture; older ones have other shapes of instructions.
ARCHES = {80: "ampere", 86: "ampere", 87: "ampere", 89: "ada", 90: "hopper", 100: "blackwell-sm100",
          103: "blackwell-sm100", 120: "blackwell-sm120", 121: "blackwell-sm120"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mma:
    """An instruction: ``mma`` of 16 x 8 or ``wgmma`` of 64 x 8 outputs, K of 32 bytes.

    Args:
        arch: the architecture's id.
        instruction: ``mma`` or ``wgmma``.
        a, b: operand types.
        accumulator: ``fp32``, ``fp16`` or ``int32``.
        n: columns.
    """

    arch: str
    instruction: str
    a: str
    b: str
    accumulator: str
    n: int = 8

    @property
    def name(self) -> str:
        """Such as ``wgmma.e4m3.e5m2.fp32``; a C identifier with underscores."""
        return ".".join((self.instruction, *dict.fromkeys((self.a, self.b)), self.accumulator))

    @property
    def m(self) -> int:
        """Rows."""
        return 64 if self.instruction == "wgmma" else 16

    @property
    def k(self) -> int:
        """Products of one output."""
        return codes.length(self.a)

    @property
    def unit(self) -> Unit:
        """The package's; B200's fp16 types through ``mma`` are recorded as those of its default instruction."""
        accumulator = "fp32" if self.accumulator == "int32" else self.accumulator
        try:
            return find_unit(self.arch, (self.a, self.b), self.instruction, accumulator)
        except FpsimError:
            return find_unit(self.arch, (self.a, self.b), None, accumulator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Inputs as they lie in memory: a [n, M, K], b [n, N, K] (columns), c uint32 [n, M, N]."""

    a: Bits
    b: Bits
    c: Words

    def part(self, begin: int, end: int) -> Tiles:
        """Some of them."""
        return Tiles(a=self.a[begin:end], b=self.b[begin:end], c=self.c[begin:end])


def mmas(capability: int) -> tuple[Mma, ...]:
    """Return the instructions that a GPU of a compute capability has and this experiment runs.

    Raises:
        FpsimError: an older GPU.
    """
    if capability not in ARCHES:
        raise FpsimError(f"compute capability {capability / 10:.1f} has none of these instructions; take 8.0 or newer")
    arch, found = ARCHES[capability], []
    for instruction in ("mma", "wgmma") if capability == 90 else ("mma",):
        pairs = [("fp16", "fp16"), ("bf16", "bf16"), ("tf32", "tf32"), ("int8", "int8")]
        if capability >= 89:
            pairs += [("e4m3", "e4m3"), ("e5m2", "e5m2"), ("e4m3", "e5m2")]
        for a, b in pairs:
            kinds = {"int8": ["int32"], "bf16": ["fp32"], "tf32": ["fp32"]}.get(a, ["fp32", "fp16"])
            found += [Mma(arch=arch, instruction=instruction, a=a, b=b, accumulator=kind) for kind in kinds]
    return tuple(found)


def compiled() -> bool:
    """Whether the package's compiled engine can run here; without Numba its transcription takes its place."""
    return importlib.util.find_spec("numba") is not None


def modelled(mma: Mma, tiles: Tiles, unit: Unit | None = None, on: str = "cpu") -> Words:
    """Return what the transcription of the package makes of tiles, uint32 [n, M, N].

    Args:
        mma: the instruction.
        tiles: its inputs.
        unit: another model than the package's own.
        on: torch device.
    """
    a, b, c = codes.values(tiles.a, mma.a), codes.values(tiles.b, mma.b), _start(mma, tiles.c)
    if mma.accumulator == "int32":
        return _integers(a, b, c)
    found = tensorcore_model.multiply(
        unit or mma.unit, (mma.a, mma.b), a, b, np.asarray(c, np.float32), mma.accumulator, on
    )
    return codes.result_bits(found, mma.accumulator)


def expected(mma: Mma, tiles: Tiles) -> Words:
    """Return what the package's engine makes of tiles, uint32 [n, M, N]: every output as a pair of vectors."""
    from fpsim.tensorcore import dot

    a, b, c = codes.values(tiles.a, mma.a), codes.values(tiles.b, mma.b), _start(mma, tiles.c)
    if mma.accumulator == "int32":
        return _integers(a, b, c)
    shape = (*c.shape, a.shape[-1])
    x, y = (np.broadcast_to(side, shape).reshape(-1, shape[-1]) for side in (a[:, :, None], b[:, None]))
    found = dot(
        x, y, c.ravel(), arch=mma.arch, dtype=(mma.a, mma.b), instruction=mma.unit.instruction,
        accumulator=mma.accumulator,
    )  # fmt: skip
    return codes.result_bits(found.reshape(c.shape), mma.accumulator)


def _integers(a: Bits, b: Bits, c: Bits) -> Words:
    exact = np.einsum("nmk,nok->nmo", a.astype(np.float64), b.astype(np.float64))
    return np.asarray(exact.astype(np.int64) + c).astype(np.uint32)


def specified(mma: Mma, tiles: Tiles, unit: Unit | None = None) -> Words:
    """Return what the exact specification makes of the tiles' diagonals, uint32 [n, N]."""
    unit = unit or mma.unit
    wide = mma.n
    if mma.accumulator == "int32":
        return np.stack([tile.diagonal() for tile in modelled(mma, tiles)])
    a, b = codes.values(tiles.a[:, :wide], mma.a), codes.values(tiles.b[:, :wide], mma.b)
    c = _start(mma, tiles.c)
    rows = [
        [
            reference.dot(unit, (mma.a, mma.b), x.tolist(), y.tolist(), float(z), accumulator=mma.accumulator)
            for x, y, z in zip(a[i], b[i], c[i].diagonal(), strict=True)
        ]
        for i in range(len(a))
    ]
    with np.errstate(invalid="ignore"):
        found = np.array(rows, np.float32).reshape(len(a), wide)
    found[np.isnan(found)] = np.uint32(0x7FFFFFFF).view(np.float32)
    return codes.result_bits(found, mma.accumulator)


def _start(mma: Mma, c: Words) -> NDArray[np.float32] | NDArray[np.int32]:
    if mma.accumulator == "int32":
        return c.view(np.int32)
    return codes.values(c, mma.accumulator)


def variant(unit: Unit, **changes: object) -> Unit:
    """Another model of a unit."""
    return replace(unit, **changes)  # type: ignore[arg-type]
