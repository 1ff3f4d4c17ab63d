"""Each image's own noise: the same for every batch size, device, quantization and number of GPUs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch

_WORD = 0xFFFFFFFF


def image_seed(seed: int, index: int) -> int:
    """The 32-bit generator seed of one image of a run.

    seed(run, i) = mix((base(run) + i) mod 2^32), where base is the first four bytes (little-endian) of the SHA-256 of
    the run seed in decimal and mix is the 32-bit finalizer of MurmurHash3, a bijection. Torch's CPU generator uses only
    the low 32 bits of its seed, so a plain hash of (run, i) would give two of 50,000 images the same noise in every
    fourth run; here the images of one run never share a seed.

    Args:
        seed: Seed of the run, 0 or more.
        index: Index of the image in the run, below 2^32.

    Source: MurmurHash3 ``fmix32`` (A. Appleby, public domain) for the mixing constants.

    >>> image_seed(0, 0) == image_seed(0, 0) != image_seed(0, 1)
    True
    """
    base = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")
    word = (base + index) & _WORD
    word = ((word ^ (word >> 16)) * 0x85EBCA6B) & _WORD
    word = ((word ^ (word >> 13)) * 0xC2B2AE35) & _WORD
    return word ^ (word >> 16)


def generators(seed: int, indices: Iterable[int]) -> list[torch.Generator]:
    """A CPU generator for each image, at its start: the initial noise comes first, then the noise of each step."""
    return [torch.Generator("cpu").manual_seed(image_seed(seed, index)) for index in indices]


def initial_noise(sources: Sequence[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise, float32 on the CPU, drawn image by image.

    Args:
        sources: One generator an image; each moves on by one image's noise.
        shape: Shape of one image's latents, (channels, height, width).

    Returns:
        float32 [len(sources), *shape]; row i depends on ``sources[i]`` only.
    """
    return torch.cat([torch.randn((1, *shape), generator=source, dtype=torch.float32) for source in sources])
