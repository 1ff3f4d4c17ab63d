"""CUDA source of single matrix instructions, its compilation with nvcc, and calls of it.

One warp (``mma.sync``) or warpgroup (``wgmma``) executes one instruction. Rows of every operand are 32 bytes, so one
layout of words serves all types. nvcc compiles without a GPU; calls need one.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import tensorcore_codes as codes
from tensorcore_mma import Mma, Tiles, Words

from fpsim.errors import FpsimError

_HEAD = """\
#include <cstdint>
#include <cuda_runtime.h>
typedef const uint32_t* In;
typedef uint32_t* Out;
"""

# Word w of row r: rows of a are 8 words, of b (columns) too. Thread 4 g + t holds words t and t + 4 of row g.
_MMA = """
__global__ void k_{id}(In a, In b, In c, Out d, int count, int) {{
  int tile = (blockIdx.x * blockDim.x + threadIdx.x) / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  if (tile >= count) return;
  a += tile * 128; b += tile * 64; c += tile * {tile_words}; d += tile * {tile_words};
  uint32_t a0 = a[g * 8 + t], a1 = a[g * 8 + 64 + t], a2 = a[g * 8 + t + 4], a3 = a[g * 8 + 64 + t + 4];
  uint32_t b0 = b[g * 8 + t], b1 = b[g * 8 + t + 4];
{load}
  asm volatile("mma.sync.aligned.m16n8k{k}.row.col.{d}.{a}.{b}.{d} {{{regs}}}, "
    "{{{ra}}}, {{{rb}}}, {{{regs}}};"
    : {outs} : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
{store}
}}
"""

# Shared memory without swizzle: core matrices of 8 rows x 16 bytes; the descriptor gives their distances along K
# (leading) and along rows (stride). `swap` exchanges the two: the exact tiles tell which way the hardware reads them.
# sa is as large as the wrong way reaches.
_WGMMA = """
__global__ void k_{id}(In a, In b, In c, Out d, int count, int swap) {{
  __shared__ alignas(128) uint32_t sa[2048];
  __shared__ alignas(128) uint32_t sb[64];
  int tile = blockIdx.x, warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4 + 16 * warp, t = threadIdx.x % 4;
  a += tile * 512; b += tile * 64; c += tile * {tile_words}; d += tile * {tile_words};
  for (int i = threadIdx.x; i < 512; i += 128) {{
    int r = i / 8, w = i % 8;
    sa[(w / 4 * 8 + r / 8) * 32 + r % 8 * 4 + w % 4] = a[i];
  }}
  if (threadIdx.x < 64) sb[threadIdx.x % 8 / 4 * 32 + threadIdx.x / 8 * 4 + threadIdx.x % 4] = b[threadIdx.x];
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  uint64_t at = (uint64_t)__cvta_generic_to_shared(sa), bt = (uint64_t)__cvta_generic_to_shared(sb);
  uint64_t leading = 1024 >> 4, stride = 128 >> 4;
  uint64_t da = (at & 0x3FFFF) >> 4 | (swap ? stride : leading) << 16 | (swap ? leading : stride) << 32;
  uint64_t db = (bt & 0x3FFFF) >> 4 | (uint64_t)(128 >> 4) << 16 | (uint64_t)(128 >> 4) << 32;
{load}
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k{k}.{d}.{a}.{b} {{{regs}}}, {descriptors}, {tail};"
    : {outs} : "l"(da), "l"(db) : "memory");
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
{store}
}}
"""

_HOST = """
typedef void (*Kernel)(In, In, In, Out, int, int);
static Kernel kernels[] = {{{table}}};
extern "C" const char* explain(int error) {{ return cudaGetErrorString((cudaError_t)error); }}
extern "C" int run(int which, int grid, int threads, In a, size_t na, In b, size_t nb, In c, Out d, size_t nd, int n,
                   int swap) {{
  uint32_t *pa = 0, *pb = 0, *pc = 0, *pd = 0;
  cudaError_t e = cudaMalloc(&pa, na);
  if (!e) e = cudaMalloc(&pb, nb);
  if (!e) e = cudaMalloc(&pc, nd);
  if (!e) e = cudaMalloc(&pd, nd);
  if (!e) e = cudaMemcpy(pa, a, na, cudaMemcpyHostToDevice);
  if (!e) e = cudaMemcpy(pb, b, nb, cudaMemcpyHostToDevice);
  if (!e) e = cudaMemcpy(pc, c, nd, cudaMemcpyHostToDevice);
  if (!e) {{ kernels[which]<<<grid, threads>>>(pa, pb, pc, pd, n, swap); e = cudaGetLastError(); }}
  if (!e) e = cudaDeviceSynchronize();
  if (!e) e = cudaMemcpy(d, pd, nd, cudaMemcpyDeviceToHost);
  cudaFree(pa); cudaFree(pb); cudaFree(pc); cudaFree(pd);
  return e;
}}
"""

_PTX = {"fp16": "f16", "bf16": "bf16", "tf32": "tf32", "int8": "s8", "fp32": "f32", "int32": "s32"}


def source(mmas: tuple[Mma, ...]) -> str:
    """Return the CUDA source of instructions, one kernel each, and a host function that runs the i-th."""
    table = ", ".join(f"k_{_id(mma)}" for mma in mmas)
    return _HEAD + "".join(map(_kernel, mmas)) + _HOST.format(table=table)


def _id(mma: Mma) -> str:
    return mma.name.replace(".", "_")


def _kernel(mma: Mma) -> str:
    half = mma.accumulator == "fp16"
    places = ["g * 4 + t", "g * 4 + 32 + t"] if half else [f"g * 8 + {i // 2 * 64 + i % 2} + 2 * t" for i in range(4)]
    count = len(places)
    wide = mma.instruction == "wgmma"
    binary = mma.a in ("fp16", "bf16")
    tail = "1" if mma.a == "int8" else "1, 1, 1, 0, 0" if binary else "1, 1, 1"
    numbered = [f"%{i}" for i in range(count + 6)]
    return (_WGMMA if wide else _MMA).format(
        id=_id(mma),
        k=mma.k,
        a=_PTX.get(mma.a, mma.a),
        b=_PTX.get(mma.b, mma.b),
        d=_PTX[mma.accumulator],
        tile_words=mma.m * mma.n // (2 if half else 1),
        load="\n".join(f"  uint32_t d{i} = c[{place}];" for i, place in enumerate(places)),
        store="\n".join(f"  d[{place}] = d{i};" for i, place in enumerate(places)),
        outs=", ".join(f'"+r"(d{i})' for i in range(count)),
        regs=", ".join(numbered[:count]),
        ra=", ".join(numbered[count : count + 4]),
        rb=", ".join(numbered[count + 4 :]),
        descriptors=", ".join(numbered[count : count + 2]),
        tail=tail,
    )


def target(capability: int) -> str:
    """What nvcc calls a GPU; wgmma needs the architecture's own features."""
    return f"{capability}a" if capability == 90 else str(capability)


def compiled(mmas: tuple[Mma, ...], capability: int, folder: Path) -> Path:
    """Compile instructions to a shared library; needs nvcc, but no GPU.

    Raises:
        FpsimError: there is no nvcc, or it refuses the source.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise FpsimError("nvcc is not on the PATH; install the CUDA toolkit (12.3 or newer) to run single instructions")
    text, library = folder / "tensorcore.cu", folder / "tensorcore.so"
    text.write_text(source(mmas), encoding="utf-8")
    name = target(capability)
    command = [nvcc, "-O2", "-shared", "-Xcompiler", "-fPIC", f"-gencode=arch=compute_{name},code=sm_{name}"]
    done = subprocess.run([*command, "-o", str(library), str(text)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FpsimError(f"nvcc refuses {text}: {(done.stderr or done.stdout).strip()}")
    return library


class Cuda:
    """The machine's GPU."""

    def __init__(self, mmas: tuple[Mma, ...], library: Path) -> None:
        self.mmas, self.code, self.swap = mmas, ctypes.CDLL(str(library)), 0
        self.code.explain.restype = ctypes.c_char_p

    def run(self, mma: Mma, tiles: Tiles) -> Words:
        """Return what the GPU makes of tiles, uint32 [n, M, N].

        Raises:
            FpsimError: the CUDA runtime reports an error, such as that there is no device.
        """
        half = mma.accumulator == "fp16"
        a, b = codes.words(tiles.a), codes.words(tiles.b)
        c = np.ascontiguousarray(tiles.c.astype(np.uint16) if half else tiles.c)
        d, count = np.zeros_like(c), len(c)
        grid, threads = (count, 128) if mma.instruction == "wgmma" else ((count + 3) // 4, 128)
        size, at = ctypes.c_size_t, ctypes.c_void_p
        given = [(at(x.ctypes.data), size(x.nbytes)) for x in (a, b)]
        error = self.code.run(
            self.mmas.index(mma), grid, threads, *given[0], *given[1], at(c.ctypes.data), at(d.ctypes.data),
            size(d.nbytes), count, self.swap,
        )  # fmt: skip
        if error:
            raise FpsimError(f"CUDA: {self.code.explain(error).decode()}; a GPU and its driver are needed")
        return d.astype(np.uint32)
