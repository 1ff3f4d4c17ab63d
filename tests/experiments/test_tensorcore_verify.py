"""The harness that checks GPUs: its own model, its vectors' power, and that it rejects what is wrong."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import tensorcore_codes as codes  # noqa: E402
import tensorcore_cuda as cuda  # noqa: E402
import tensorcore_points as open_points  # noqa: E402
import tensorcore_torch as libraries  # noqa: E402
from tensorcore_checks import Model, checked, compared  # noqa: E402
from tensorcore_devices import Device, settle, wrong  # noqa: E402
from tensorcore_mma import Mma, Tiles, Words, mmas, modelled, specified  # noqa: E402
from tensorcore_tiles import diagonals, directed_tiles, exact, packed, random_tiles  # noqa: E402

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


@pytest.mark.parametrize("mma", FLOATS, ids=lambda mma: mma.name)
def test_the_transcription_is_the_specification(mma: Mma) -> None:
    tiles = random_tiles(mma, 7, seed=3)
    np.testing.assert_array_equal(diagonals(modelled(mma, tiles)), specified(mma, tiles))
    some, _ = directed_tiles(mma)
    some = Tiles(a=some.a[::8], b=some.b[::8], c=some.c[::8])
    np.testing.assert_array_equal(diagonals(modelled(mma, some)), specified(mma, some))


@pytest.mark.parametrize("mma", mmas(90), ids=lambda mma: mma.name)
def test_small_integers_are_exact_in_every_model(mma: Mma) -> None:
    tiles, right = exact(mma, 3)
    np.testing.assert_array_equal(modelled(mma, tiles), right)


@pytest.mark.parametrize("mma", mmas(90), ids=lambda mma: mma.name)
def test_random_tiles_are_mostly_finite_and_repeat(mma: Mma) -> None:
    tiles = random_tiles(mma, 14, seed=5)
    again = random_tiles(mma, 14, seed=5)
    assert all(np.array_equal(getattr(tiles, name), getattr(again, name)) for name in "abc")
    assert not np.array_equal(random_tiles(mma, 14, seed=6).a, tiles.a)
    if mma.accumulator != "int32":
        assert np.isfinite(codes.values(modelled(mma, tiles), mma.accumulator)).mean() > 0.6


@pytest.mark.parametrize("name", ["fp16", "bf16", "tf32", "e4m3", "e5m2", "int8"])
def test_patterns_and_numbers_are_inverse(name: str) -> None:
    count = 1 << min(8 * codes.BYTES[name], 16)
    bits = np.arange(count).astype(codes.storage(name))
    bits = bits << np.uint32(13) if name == "tf32" else bits
    numbers = codes.values(bits, name)
    same = ~np.isnan(numbers)
    np.testing.assert_array_equal(codes.patterns(numbers, name)[same], bits[same])


def test_low_bits_of_tf32_are_cut() -> None:
    raw = np.array([0x3F801FFF, 0xBF803FFF], np.uint32)
    assert codes.values(raw, "tf32").view(np.uint32).tolist() == [0x3F800000, 0xBF802000]


def test_words_lie_in_little_endian_order() -> None:
    assert codes.words(np.array([[1, 2, 3, 4]], np.uint8)).tolist() == [[0x04030201]]
    assert codes.words(np.array([[1, 2]], np.uint16)).tolist() == [[0x00020001]]


POINTS = list(open_points.points(mmas(90)))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.mma.name}: {point.title}")
def test_vectors_tell_all_models_of_an_open_point_apart(point: open_points.Point) -> None:
    predicted = [point.predicted(model) for model in point.models]
    for one, other in itertools.combinations(predicted, 2):
        assert (one != other).any()


def test_every_open_point_has_its_vectors() -> None:
    found = [(point.mma.instruction, point.mma.a, point.title.split(",")[0]) for point in POINTS]
    for wanted in [
        ("wgmma", "bf16", "least exponent of the alignment where c is 0"),
        ("mma", "tf32", "products of one fused sum at K = 8"),
        ("mma", "tf32", "the 13 low bits of tf32 operands"),
        ("wgmma", "e4m3", "c other than 0"),
        ("mma", "e5m2", "what FP8 mma.sync is made of"),
    ]:
        assert wanted in found


def test_the_verdict_is_the_model_that_made_the_outputs() -> None:
    [point] = [p for p in POINTS if p.mma.name == "wgmma.bf16.fp32"]
    truth = point.models[2]
    lines = open_points.verdict(point, modelled(point.mma, point.tiles, truth.unit))
    assert lines[-1] == "  -> aligned to 2^-133 at least"
    assert open_points.verdict(point, np.full_like(point.tiles.c, 7))[-1] == "  -> none of these"


def test_a_tiny_sum_decides_the_least_exponent() -> None:
    """Eight products of 2^-152: nothing where terms are aligned to 2^-126, fp32's least number where they are not."""
    [point] = [p for p in POINTS if p.mma.name == "mma.bf16.fp32"]
    assert [int(point.predicted(model)[0]) for model in point.models] == [0, 1, 1, 1]


@pytest.mark.parametrize("name", ["mma.fp16.fp32", "mma.bf16.fp32", "wgmma.e5m2.fp32", "mma.int8.int32"])
def test_a_wrong_device_is_rejected(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    device = wrong((HOPPER[name],))
    assert checked(device, 900, Model(False), open_points=False) > 0
    assert name in capsys.readouterr().out


def test_a_single_wrong_bit_is_found_and_shown() -> None:
    mma = HOPPER["mma.e4m3.fp32"]

    def run(mma: Mma, tiles: Tiles) -> Words:
        found = modelled(mma, tiles)
        found[0, 3, 5] ^= 1
        return found

    bad, count, first = compared(mma, run, 100, Model(False))
    assert bad == 1
    assert count >= 100
    assert first.count("\n") == 2
    assert "c 0x" in first


def test_a_wrong_layout_is_told_from_wrong_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    def run(mma: Mma, tiles: Tiles) -> Words:
        return modelled(mma, Tiles(a=tiles.a[:, ::-1], b=tiles.b, c=tiles.c))

    mma = HOPPER["mma.fp16.fp32"]
    assert checked(Device(name="x", driver="", mmas=(mma,), run=run), 10, Model(False), open_points=False) == 1
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


def test_packed_pairs_meet_on_the_diagonals() -> None:
    mma = HOPPER["wgmma.e4m3.fp32"]
    tiles = random_tiles(mma, 2, seed=1)
    a, b, c = tiles.a[0, :10], tiles.a[1, :10], np.arange(10, dtype=np.uint32)
    made = packed(mma, a, b, c)
    assert made.a.shape == (2, 64, 32)
    for i in range(10):
        tile, place = divmod(i, 8)
        assert np.array_equal(made.a[tile, place], a[i])
        assert np.array_equal(made.b[tile, place], b[i])
        assert made.c[tile, place, place] == i


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
