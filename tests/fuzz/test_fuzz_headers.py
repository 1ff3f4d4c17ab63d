"""Files of tensors whose headers lie: one line and exit code 2, and no memory for what they promise."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_harness import Tally, fuzz, outcome, put, tree
from header_strategies import assembled, damaged_files, files
from hypothesis import example, given
from hypothesis import strategies as st
from packed_strategies import arrays, lying, packed_files
from strategies import nested

resource: Any = pytest.importorskip("resource", reason="limits as POSIX has them")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")

FILE = "f.safetensors"
QUANTIZE = ("quantize", FILE, "--format", "e4m3", "--scale", "max")
COMPARE = ("compare", "e2m1", "--samples", "16", "--data", FILE)
DEQUANTIZE = ("quantize", FILE, "--dequantize", "--out", "new.safetensors", "--overwrite")
PACKED = (
    *("e4m3", "uint4 --granularity tensor", "e3m2 --granularity block:4", "mxfp4", "nvfp4", "nf4"),
    "e2m1 --bias 2.5",
)
MEMORY = 200 * 2**20


@pytest.fixture
def little_memory(place: Path) -> Iterator[None]:
    """No more than ``MEMORY`` bytes can be taken beyond those that the process has, not even reserved.

    It is the system that refuses: a tracing allocator would take most of the time of these tests.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("what the process has taken is read from Linux")
    for words in (("quantize", "in.safetensors", *QUANTIZE[2:]), (*COMPARE[:-1], "in.safetensors")):
        assert outcome(words).code == 0  # what is loaded and compiled once does not count
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_limit_on_memory_holds(little_memory: None) -> None:
    with pytest.raises(MemoryError):
        np.empty(2 * MEMORY, np.uint8)


@pytest.fixture(scope="module")
def packed(place: Path) -> list[bytes]:
    """Packed files of each kind: scales of each granularity, zero points, block scales, a tensor scale, a codebook."""
    from safetensors.numpy import save_file

    tensors = {"v": np.linspace(-1, 1, 30).reshape(5, 6).astype(np.float16), "n": np.arange(3)}
    save_file(tensors, place / "small.safetensors")
    found = []
    for words in PACKED:
        command = f"quantize small.safetensors --format {words} --out packed.safetensors --overwrite".split()
        assert outcome(command).code == 0
        found.append((place / "packed.safetensors").read_bytes())
    return found


def entry(shape: str, dtype: str = "F32", end: int = 128) -> bytes:
    return assembled(f'{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}')


def test_headers(place: Path, little_memory: None) -> None:
    tally, before = Tally("headers"), {**tree(place), FILE: None}

    @fuzz(1400)
    @given(files(), st.sampled_from((QUANTIZE, COMPARE, DEQUANTIZE)))
    @example(entry("[4,8" + ",1" * 70 + "]"), QUANTIZE)
    @example(entry("[4,8" + ",1" * 70 + "]"), COMPARE)
    @example(entry("[" + "4611686018427387904," * 200_000 + "1]"), QUANTIZE)
    @example(entry("[4611686018427387904, 4]", "X9"), COMPARE)
    @example(entry("[0, 4611686018427387904]", end=0)[:-128], QUANTIZE)
    @example(assembled('{"w":' + nested(100_000, "[", "]") + "}"), QUANTIZE)
    @example(assembled("9" * 5000), COMPARE)
    @example(assembled("", length=2**63), DEQUANTIZE)
    @example(assembled("", length=-1), DEQUANTIZE)
    def check(content: bytes, words: tuple[str, ...]) -> None:
        put(FILE, content)
        tally.check(words, key=content)

    check()
    tally.finish()
    assert {name for name in tree(place) if name.startswith(".")} == {name for name in before if name.startswith(".")}


def test_damaged_bytes_of_headers(place: Path, little_memory: None) -> None:
    tally = Tally("header bytes")

    @fuzz(650)
    @given(damaged_files(), st.sampled_from((QUANTIZE, COMPARE, DEQUANTIZE)))
    def check(content: bytes, words: tuple[str, ...]) -> None:
        put(FILE, content)
        tally.check(words, key=content)

    check()
    tally.finish()


def test_packed_files(packed: list[bytes], place: Path, little_memory: None) -> None:
    tally = Tally("packed metadata")

    @fuzz(900)
    @given(packed_files(packed))
    def check(content: bytes) -> None:
        put(FILE, content)
        tally.check(DEQUANTIZE, key=content)

    check()
    tally.finish(share=0.8)  # names, rounding modes and the rule of the scales matter to no reader


def test_arrays_of_numpy(place: Path, little_memory: None) -> None:
    tally, good = Tally("arrays"), {}
    for suffix, write in (("npy", np.save), ("npz", np.savez)):
        stream = io.BytesIO()
        write(stream, np.linspace(0, 1, 12))  # type: ignore[operator]
        good[suffix] = stream.getvalue()

    @fuzz(550)
    @given(arrays(good))
    @example(("npy", lying("(" * 300)))
    @example(("npy", lying(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**62}, 4), }}")))
    @example(("npy", lying("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }")))
    def check(file: tuple[str, bytes]) -> None:
        suffix, content = file
        put(f"f.{suffix}", content)
        tally.check(["compare", "e2m1", "--samples", "16", "--data", f"f.{suffix}"], key=content)

    check()
    tally.finish(share=0.8)  # NumPy does not look at every byte, and any number is a number
