"""The machine's GPU against fpsim.tensorcore, bit for bit: single instructions, then Triton, then PyTorch's libraries.

    python experiments/tensorcore_verify.py [--dots 10000000] [--write] [--smoke] [--compile CAPABILITY]

Needs CUDA: an NVIDIA GPU of compute capability 8.0 or newer, nvcc (12.4 or newer) with a C++ compiler, and a CUDA
build of PyTorch; Triton if it is installed; Numba for the package's compiled engine. All outputs are compared with the
engine's transcription in torch, which the GPU runs in seconds, and the first of each instruction with the engine too,
if Numba is there (the output says what was compared). It

1. runs every instruction of fp16, bf16, tf32, e4m3, e5m2, e4m3 x e5m2 and int8 (``mma.sync``, on Hopper ``wgmma``
   too), one warp or warpgroup each, on exact tiles (a wrong kernel shows here), on the directed cases and on random
   ones of seven kinds, at least ``--dots`` dot products;
2. settles the open points: the alignment's least exponent where c is 0, the tf32 group at K = 8 and the operands' low
   bits, c in FP8 ``wgmma``, what FP8 ``mma.sync`` is made of;
3. runs ``tl.dot``, and finds which order of summation explains ``torch._scaled_mm`` with fast accumulation on and off
   at K = 32 to 512 (the promotion interval), ``torch.mm`` and ``torch._int_mm``;
4. with ``--write``, records single outputs as small files under tests/tensorcore/recorded.

Exit code 1 if an output differs. ``--smoke`` needs no GPU: the exact specification stands for the device, and a device
that is wrong on purpose must be rejected. ``--compile 90`` compiles and assembles the kernels for a compute capability,
without a GPU.

What was checked without a GPU: nvcc and ptxas 13.0 assemble all kernels for 8.0, 8.9, 9.0a, 10.0 and 12.0; cuobjdump
shows HMMA, IMMA, and for ``wgmma`` HGMMA, QGMMA and IGMMA of 64x8, and for FP8 ``mma.sync`` on 9.0 and 10.0 two
HMMA.16816, the first of the low halves of each word (k mod 4 in {0, 1}) from zero, then one FADD or HADD2 of c; Triton
compiles its kernel for 9.0. Whether the kernels' layouts are right only a GPU can tell: the exact tiles do.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import tensorcore_golden as golden
from tensorcore_checks import Model, checked, compared
from tensorcore_cuda import compiled as compile_kernels
from tensorcore_devices import Device, gpu, specification, wrong
from tensorcore_mma import compiled, mmas

from fpsim.errors import FpsimError

#: Random outputs of each instruction in a recorded file.
RECORDED = 250
#: Dot products of each instruction in a smoke test; the specification takes milliseconds for one.
SMOKE = 196


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dots", type=int, default=10_000_000, help="random dot products of each instruction")
    parser.add_argument("--write", action="store_true", help="record outputs under --golden")
    parser.add_argument("--golden", type=Path, default=golden.FOLDER)
    parser.add_argument("--engine", choices=("both", "compiled", "torch"), help="by default both, torch without Numba")
    parser.add_argument("--compile", type=int, metavar="CAPABILITY", help="only compile, such as for 90")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    try:
        sys.exit(smoke() if args.smoke else built(args.compile) if args.compile else whole(args))
    except FpsimError as error:
        sys.exit(f"tensorcore_verify: {error}")


def smoke() -> int:
    """The harness on the specification, and on a device that must be rejected; 0 if both end as they should."""
    some = [
        mma for mma in mmas(90) if mma.name in ("mma.tf32.fp32", "wgmma.e4m3.fp32", "mma.e5m2.fp16", "mma.int8.int32")
    ]
    print("no GPU is used: the exact specification stands for one; everything else needs CUDA")
    right = checked(specification(tuple(some)), SMOKE, Model("torch"))
    print("\na device that keeps one fraction bit too many")
    rejected = [checked(wrong((mma,)), SMOKE, Model("torch"), open_points=False) > 0 for mma in some]
    print(
        f"\nthe specification: {right} wrong outputs; the wrong device was rejected for {sum(rejected)} of {len(some)}"
    )
    return int(right > 0 or not all(rejected))


def built(capability: int) -> int:
    """Compile the kernels; 0."""
    with tempfile.TemporaryDirectory() as folder:
        found = mmas(capability)
        compile_kernels(found, capability, Path(folder))
    print(f"nvcc assembled {len(found)} kernels for compute capability {capability / 10:.1f}; running them needs a GPU")
    return 0


def whole(args: argparse.Namespace) -> int:
    """Everything on the machine's GPU; 1 if an output differs."""
    with tempfile.TemporaryDirectory() as folder:
        device = gpu(Path(folder))
        model = Model(args.engine or ("both" if compiled() else "torch"), "cuda")
        print(f"{device.name}, driver {device.driver}, {golden.today()}; model: {model}")
        wrong_outputs = checked(device, args.dots, model)
        wrong_outputs += by_triton(device, args.dots, model)
        by_libraries(device)
        if args.write:
            rows = [golden.record(mma, device.run, RECORDED) for mma in device.mmas]
            for path in golden.write_all(device.name, device.driver, rows, args.golden):
                print(f"wrote {path} ({path.stat().st_size} bytes)")
    return int(wrong_outputs > 0)


def by_triton(device: Device, dots: int, model: Model) -> int:
    """Print the same for ``tl.dot``; return the number of wrong outputs."""
    if importlib.util.find_spec("triton") is None:
        print("Triton is not installed: tl.dot was not run")
        return 0
    import tensorcore_triton

    total = 0
    for mma in device.mmas:
        if mma.instruction != "wgmma" or mma.accumulator == "fp16" or mma.a != mma.b or mma.a == "tf32":
            continue
        wide = replace(mma, n=16)
        bad, count, first = compared(wide, tensorcore_triton.run, dots, model)
        print(f"tl.dot {mma.a:17s}{count:14d}{bad:10d}", *([first] if first else []), sep="\n" if first else "")
        total += bad
    return total


def by_libraries(device: Device) -> None:
    """Print which order of summation explains PyTorch's products."""
    from tensorcore_torch import libraries, tell

    for library in libraries(device.mmas):
        print(*tell(library, on="cuda"), sep="\n")


if __name__ == "__main__":
    main()
