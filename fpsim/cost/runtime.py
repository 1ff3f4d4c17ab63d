"""How a model is executed: which operations a runtime fuses away, and the other choices that change time and memory.

A fusion policy is declared, not discovered: for each class of operation the share of its memory traffic and of its
kernels that is left. Products are never fused with one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fpsim.errors import FpsimError

ATTENTION = ("fused", "naive")
QUANTIZE = ("fused", "separate")
ACT_SCALES = ("static", "dynamic")
#: Generations of torch and diffusers, which need different times to launch a kernel.
STACKS = ("torch-2", "torch-1")
#: Working types and the bytes of an element.
DTYPES = MappingProxyType({"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A fusion policy.

    Attributes:
        name: what the user gives.
        launches: whether the CPU launches each kernel, so that a kernel takes at least the launch's time.
        traffic: class to the share of its bytes that is left; 1 where none is named.
        kernels: class to the share of its kernels that is left; 1 where none is named.
        says: the policy in words.
    """

    name: str
    launches: bool
    traffic: Mapping[str, float] = field(default_factory=dict)
    kernels: Mapping[str, float] = field(default_factory=dict)
    says: str


_GRAPH = dict.fromkeys(("activation", "elementwise", "layout"), 0.0)
RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        "eager": Runtime(
            name="eager",
            launches=True,
            says="every operation is a kernel of its own and is launched by the CPU",
        ),
        "compiled": Runtime(
            name="compiled",
            launches=False,
            traffic={"activation": 0.0, "elementwise": 0.5, "layout": 0.5},
            kernels=_GRAPH,
            says="launched as a graph; activations fuse into norms, half of the traffic of elementwise and layout "
            "operations fuses into their neighbours; products and norms stay kernels",
        ),
        "tensorrt": Runtime(
            name="tensorrt",
            launches=False,
            traffic={"activation": 0.0, "elementwise": 0.25, "layout": 0.0},
            kernels=_GRAPH,
            says="launched as a graph; activations and layouts fuse into products and norms, elementwise operations "
            "into epilogues that read the second operand; products and norms stay kernels",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything but model, device and formats that decides time and memory.

    Attributes:
        runtime: ``eager``, ``compiled`` or ``tensorrt``.
        attention: ``fused``, or ``naive``: a product writes the scores, a softmax reads and writes them, and a second
            product reads them.
        quantize: ``fused`` into the kernel before, or ``separate`` kernels that read the working type and write codes.
        act_scales: ``static``, or ``dynamic``: separate quantize kernels search the largest magnitude first.
        dtype: the working type: ``fp32``, ``tf32`` (float32 in memory), ``fp16`` or ``bf16``.
        stack: ``torch-2``, or ``torch-1`` for torch 1.x with the diffusers of its time; eager only.

    Raises:
        FpsimError: an unknown choice.
    """

    runtime: str = "eager"
    attention: str = "fused"
    quantize: str = "fused"
    act_scales: str = "static"
    dtype: str = "fp16"
    stack: str = "torch-2"

    def __post_init__(self) -> None:
        for what, given, known in (
            ("runtime", self.runtime, RUNTIMES),
            ("attention", self.attention, ATTENTION),
            ("quantize ops", self.quantize, QUANTIZE),
            ("activation scales", self.act_scales, ACT_SCALES),
            ("dtype", self.dtype, DTYPES),
            ("stack", self.stack, STACKS),
        ):
            if given not in known:
                raise FpsimError(f"{what} {given!r} is unknown; choose one of {', '.join(known)}")

    @property
    def fusion(self) -> Runtime:
        """The runtime's fusion policy."""
        return RUNTIMES[self.runtime]

    @property
    def bytes(self) -> int:
        """Bytes of an activation in the working type."""
        return DTYPES[self.dtype]

    def record(self) -> dict[str, str]:
        """Return what a user chose, by the names of the options."""
        return {
            "runtime": self.runtime,
            "attention": self.attention,
            "quantize_ops": self.quantize,
            "act_scales": self.act_scales,
            "dtype": self.dtype,
        }

    def traffic(self, kind: str) -> float:
        """Share of a class's bytes that the runtime leaves."""
        return self.fusion.traffic.get(kind, 1.0)

    def kernels(self, kind: str, count: int) -> int:
        """Kernels that are left of so many of a class."""
        return math.ceil(count * self.fusion.kernels.get(kind, 1.0))
