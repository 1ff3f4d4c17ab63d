"""Operations as calls that can be timed, in the types that a machine has, and what the machine is called."""

from __future__ import annotations

import datetime
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fpsim.cost.kernels import kernel
from fpsim.cost.operations import Operation

#: Bytes of operands and of results.
BYTES = {"fp32": (4, 4), "tf32": (4, 4), "fp16": (2, 2), "bf16": (2, 2), "fp8": (1, 2), "int8": (1, 4)}
PLAIN = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: What a library raises where it has no kernel for a shape or type.
REFUSED = (RuntimeError, NotImplementedError, AttributeError, ValueError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An operation with its time.

    Attributes:
        operation: one of those that are alike.
        count: how many there are in one step.
        dtype: a key of :data:`BYTES`.
        seconds: of one.
    """

    operation: Operation
    count: int
    dtype: str
    seconds: float

    @property
    def bytes(self) -> int:
        """Read and written."""
        narrow, wide = BYTES[self.dtype]
        return (self.operation.weights + self.operation.inputs) * narrow + self.operation.outputs * wide

    @property
    def op(self) -> str:
        """The operator; narrow convolutions are products of matrices here."""
        return "matmul" if self.dtype in ("fp8", "int8") else self.operation.op


def types(on: str) -> tuple[str, ...]:
    """The types that a machine measures; FP8 from compute capability 8.9 on."""
    if on == "cpu":
        return ("fp32",)
    return tuple(name for name in BYTES if name != "fp8" or torch.cuda.get_device_capability() >= (8, 9))


def call(operation: Operation, on: str, dtype: str) -> Callable[[], Any] | None:
    """Return a call that does what an operation does, None where its counts do not tell its shape.

    Args:
        operation: of a trace.
        on: ``cpu`` or ``cuda``.
        dtype: a key of :data:`BYTES`.
    """
    if dtype in PLAIN:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
        return kernel(operation, on, PLAIN[dtype])
    if operation.kind not in ("linear", "conv") or operation.gemm is None or operation.gemm[0] != 1:
        return None
    _, m, n, k = operation.gemm
    return (fp8 if dtype == "fp8" else int8)(m, n, k, on)


def fp8(m: int, n: int, k: int, on: str) -> Callable[[], Any] | None:
    """An e4m3 product with bf16 results and scales of 1, both operands as the library wants them: K contiguous."""
    if n % 16 or k % 16:
        return None
    one = torch.ones((), device=on)
    a, b = (torch.randn(rows, k, device=on).to(torch.float8_e4m3fn) for rows in (m, n))
    return lambda: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16, use_fast_accum=True)


def int8(m: int, n: int, k: int, on: str) -> Callable[[], Any] | None:
    """An int8 product with int32 results; the library takes more than 16 rows and multiples of 8."""
    if m <= 16 or n % 8 or k % 8:
        return None
    a, b = (torch.randint(-128, 128, (rows, k), dtype=torch.int8, device=on) for rows in (m, n))
    return lambda: torch._int_mm(a, b.t())


def machine(on: str) -> dict[str, str]:
    """What the machine calls itself: device, driver, date (UTC) and torch."""
    driver = "none"
    if on == "cuda" and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0].strip()
    cpu = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name() if on == "cuda" else cpu
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"device": name, "driver": driver, "date": today, "torch": torch.__version__}
