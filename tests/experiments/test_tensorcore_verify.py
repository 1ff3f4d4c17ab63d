"""The harness that checks GPUs: what it runs and says, and that it rejects what is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import tensorcore_cuda as cuda  # noqa: E402
import tensorcore_torch as libraries  # noqa: E402
from tensorcore_checks import Model, checked, compared  # noqa: E402
from tensorcore_devices import Device, settle, wrong  # noqa: E402
from tensorcore_mma import Mma, Tiles, Words, expected, mmas, modelled  # noqa: E402
from tensorcore_tiles import random_tiles  # noqa: E402

from fpsim.errors import FpsimError  # noqa: E402

HOPPER = {mma.name: mma for mma in mmas(90)}
FLOATS = [mma for mma in mmas(90) if mma.accumulator != "int32"]


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXPERIMENTS / "tensorcore_verify.py"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_smoke() -> None:
    done = ran("--smoke")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "everything else needs CUDA" in done.stdout
    assert "the specification: 0 wrong outputs; the wrong device was rejected for 4 of 4" in done.stdout


def test_without_a_gpu_it_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = ran("--dots", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("tensorcore_verify: this needs an NVIDIA GPU (CUDA)")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["mma.fp16.fp32", "mma.bf16.fp32", "wgmma.e5m2.fp32", "mma.int8.int32"])
def test_a_wrong_device_is_rejected(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    device = wrong((HOPPER[name],))
    assert checked(device, 900, Model("torch"), open_points=False) > 0
    assert name in capsys.readouterr().out


def test_a_single_wrong_bit_is_found_and_shown() -> None:
    mma = HOPPER["mma.e4m3.fp32"]

    def run(mma: Mma, tiles: Tiles) -> Words:
        found = modelled(mma, tiles)
        found[0, 3, 5] ^= 1
        return found

    bad, count, first = compared(mma, run, 100, Model("torch"))
    assert bad == 1
    assert count >= 100
    assert first.count("\n") == 2
    assert "c 0x" in first


def test_the_engine_must_agree_with_its_transcription(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorcore_checks

    mma = HOPPER["mma.fp16.fp32"]
    tiles = random_tiles(mma, 7, seed=1)
    model = Model("both")
    monkeypatch.setattr(tensorcore_checks, "expected", modelled)
    assert (model(mma, tiles) == modelled(mma, tiles)).all()
    monkeypatch.setattr(tensorcore_checks, "expected", lambda mma, tiles: modelled(mma, tiles) ^ np.uint32(1))
    model(mma, tiles)  # seen already
    with pytest.raises(FpsimError, match=r"mma\.fp16\.fp32: fpsim\.tensorcore\.dot and its transcription differ"):
        Model("both")(mma, tiles)


def test_the_engine_is_compared_as_pairs_of_vectors() -> None:
    mma = HOPPER["mma.int8.int32"]
    tiles = random_tiles(mma, 2, seed=1)
    np.testing.assert_array_equal(expected(mma, tiles), modelled(mma, tiles))
    mma = HOPPER["mma.fp16.fp32"]
    tiles = random_tiles(mma, 7, seed=1)
    np.testing.assert_array_equal(expected(mma, tiles), modelled(mma, tiles))


def test_a_wrong_layout_is_told_from_wrong_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    def run(mma: Mma, tiles: Tiles) -> Words:
        return modelled(mma, Tiles(a=tiles.a[:, ::-1], b=tiles.b, c=tiles.c))

    mma = HOPPER["mma.fp16.fp32"]
    assert checked(Device(name="x", driver="", mmas=(mma,), run=run), 10, Model("torch"), open_points=False) == 1
    assert "wrong on small integers: the kernel's layout" in capsys.readouterr().out


def test_the_descriptor_that_gives_exact_tiles_is_taken() -> None:
    class Fake:
        mmas = (HOPPER["mma.fp16.fp32"], HOPPER["wgmma.e4m3.fp32"])
        swap = 0

        def run(self, mma: Mma, tiles: Tiles) -> Words:
            return modelled(mma, tiles) ^ np.uint32(self.swap == 0)

    fake = Fake()
    settle(fake)  # type: ignore[arg-type]
    assert fake.swap == 1


def test_libraries_are_explained_by_their_order_of_summation() -> None:
    mma = HOPPER["wgmma.e4m3.fp32"]
    order = libraries.Order(every=128)
    library = libraries.Library(name="promoting", mma=mma, product=lambda a, b: libraries.long_sum(mma, a, b, order))
    lines = libraries.tell(library, rows=8, lengths=(128, 384))
    assert lines[0] == "promoting, K = 128: one accumulator"
    assert lines[1] == "promoting, K = 384: added to FP32 every 128"
    other = libraries.Library(name="exact", mma=mma, product=lambda a, b: a @ b.T)
    assert "none of" in libraries.tell(other, rows=8, lengths=(384,))[0]


def test_a_library_that_refuses_is_said_so() -> None:
    def refuse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        raise RuntimeError("not for this shape")

    library = libraries.Library(name="x", mma=HOPPER["wgmma.e4m3.fp32"], product=refuse)
    assert libraries.tell(library, rows=2) == ["x, K = 32: this PyTorch refuses it: not for this shape"]


def test_libraries_use_the_architectures_first_instruction() -> None:
    found = {library.name: library.mma.unit.instruction for library in libraries.libraries(mmas(90))}
    assert found["torch._scaled_mm e4m3, fast accumulation off"] == "wgmma"
    assert {"torch.mm bf16", "torch.mm tf32", "torch._int_mm"} <= set(found)
    newer = {library.name: library.mma.unit.instruction for library in libraries.libraries(mmas(100))}
    assert newer["torch._scaled_mm e4m3, fast accumulation on"] == "tcgen05"


def test_other_architectures_have_their_instructions() -> None:
    assert {mma.instruction for mma in mmas(80)} == {"mma"}
    assert not any(mma.a in ("e4m3", "e5m2") for mma in mmas(86))
    assert any(mma.name == "mma.e4m3.fp32" for mma in mmas(89))
    assert all(mma.unit.k[-1] % mma.k == 0 for capability in (80, 89, 90, 100, 120) for mma in mmas(capability))
    with pytest.raises(FpsimError, match=r"7\.0 has none"):
        mmas(70)


def test_the_source_has_a_kernel_for_each_instruction() -> None:
    found = cuda.source(mmas(90))
    assert found.count("__global__") == len(mmas(90))
    for wanted in (
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32",
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        "wgmma.mma_async.sync.aligned.m64n8k32.f16.e4m3.e5m2",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8",
    ):
        assert wanted in found


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on the PATH: install the CUDA toolkit")
def test_kernels_assemble(tmp_path: Path) -> None:
    some = tuple(HOPPER[name] for name in ("wgmma.e4m3.fp32", "mma.tf32.fp32"))
    assert cuda.compiled(some, 90, tmp_path).stat().st_size > 0
