"""Energy: a bound from a device's power limit, and an estimate from the energies of single operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fpsim.cost.device import Device
from fpsim.cost.work import Work

#: Picojoules of a multiplication and an addition in 45 nm. Horowitz, "Computing's energy problem", ISSCC 2014, has
#: int8 (0.2 and 0.03), int32 (3.1 and 0.1), fp16 (1.1 and 0.4) and fp32 (3.7 and 0.9). The others are assumptions:
#: bf16 as fp16; tf32 multiplies as fp16 and adds as fp32; int8 adds in int32; fp8 multiplies as int8, fp6 and fp4 as
#: half of that, all adding as fp16; int4 multiplies as half of int8; fp64 as four times fp32.
PICOJOULES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "fp64": (14.8, 3.6),
        "fp32": (3.7, 0.9),
        "tf32": (1.1, 0.9),
        "fp16": (1.1, 0.4),
        "bf16": (1.1, 0.4),
        "int8": (0.2, 0.1),
        "int4": (0.1, 0.1),
        "fp8": (0.2, 0.4),
        "fp6": (0.1, 0.4),
        "fp4": (0.1, 0.4),
    }
)
#: Compute types whose energies are assumptions.
ASSUMED = ("fp64", "tf32", "bf16", "int4", "fp8", "fp6", "fp4")
#: Picojoules of a byte from DRAM: 1.3 nJ per 64 bits, the lower end of the same source; taken from memory.
DRAM = 162.5
ENERGY_SOURCE = "Horowitz, ISSCC 2014, 45 nm: a scale for comparing formats, not what this device draws"


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules.

    Attributes:
        bound: the device's power limit times the predicted time: it cannot use more in that time.
        arithmetic, dram: a Horowitz-style estimate in 45 nm, of operations and of memory traffic.
        assumed: the compute types in it that the source has no entry for.
    """

    bound: float
    arithmetic: float
    dram: float
    assumed: tuple[str, ...]


def energy(works: Iterable[tuple[Work, int]], device: Device, seconds: float) -> Energy:
    """Return the energy of work.

    Args:
        works: with how often each is done.
        device: its power limit is taken.
        seconds: predicted time of all.
    """
    arithmetic = dram = 0.0
    used = set()
    for work, times in works:
        kind = work.compute or "fp32"
        used |= {kind} if work.compute else set()
        arithmetic += times * work.flops / 2 * sum(PICOJOULES[kind])
        dram += times * work.bytes * DRAM
    return Energy(
        bound=device.tdp.value * seconds,
        arithmetic=arithmetic * 1e-12,
        dram=dram * 1e-12,
        assumed=tuple(kind for kind in ASSUMED if kind in used),
    )
