"""What to sample: how many images, in how many steps, from which seed and prompts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """One sampling run, apart from its model.

    Attributes:
        steps: Number of inference steps that the scheduler is given; some schedulers call the denoiser more often.
        num_images: How many images; image i depends on (seed, i) and on its prompt only.
        batch_size: Images per batch. Batches are fixed chunks of image indices, so a resumed run repeats none.
        seed: Seed of the run, 0 or more.
        scheduler: A scheduler's name (``fpsim.sample.schedulers``), or None for the model's own.
        prompts: For text-to-image models: image i takes ``prompts[i % len(prompts)]``.
        guidance_scale: Classifier-free guidance, or None for the pipeline's default.

    >>> SampleSpec(steps=2, num_images=5, batch_size=2, seed=0).batches()
    [range(0, 2), range(2, 4), range(4, 5)]
    """

    steps: int
    num_images: int
    batch_size: int
    seed: int
    scheduler: str | None = None
    prompts: tuple[str, ...] | None = None
    guidance_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled.

        Raises:
            FpsimError: A count is not a positive integer, the seed is negative, there is no prompt in ``prompts``, or
                the guidance scale is negative or not finite.
        """
        for name in ("steps", "num_images", "batch_size"):
            _check_integer(name, getattr(self, name), least=1)
        _check_integer("seed", self.seed, least=0)
        if self.num_images > 2**32:
            raise FpsimError(f"num_images is {self.num_images}: one run has at most 2^32 images, so use several seeds")
        if self.prompts is not None and (isinstance(self.prompts, str) or not self.prompts):
            raise FpsimError(f"prompts is {self.prompts!r}: give a tuple with at least one prompt")
        scale = self.guidance_scale
        if scale is not None and not (math.isfinite(scale) and scale >= 0):
            raise FpsimError(f"guidance_scale is {scale}: give a finite number, 0 or more (usual: 7.5)")

    def batches(self) -> list[range]:
        """The image indices of each batch: chunks of ``batch_size``, the last one possibly shorter."""
        starts = range(0, self.num_images, self.batch_size)
        return [range(start, min(start + self.batch_size, self.num_images)) for start in starts]

    def prompts_of(self, indices: Iterable[int]) -> list[str]:
        """The prompt of each image; empty for a run without prompts."""
        prompts = self.prompts
        return [] if prompts is None else [prompts[index % len(prompts)] for index in indices]

    def check_kind(self, kind: str) -> None:
        """Refuse prompts that the model's kind cannot take, and a text-to-image model without any.

        Args:
            kind: ``LoadedModel.kind``.

        Raises:
            FpsimError: Prompts or a guidance scale for an unconditional model, or no prompts for text-to-image.
        """
        if kind == "text-to-image":
            if self.prompts is None:
                raise FpsimError("a text-to-image model needs prompts: pass at least one (--prompts FILE)")
        elif self.prompts is not None:
            raise FpsimError(f"this model is {kind} and takes no prompts: leave --prompts out")
        elif self.guidance_scale is not None:
            raise FpsimError(f"this model is {kind} and has no guidance: leave --guidance-scale out")


def _check_integer(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FpsimError(f"{name} is {value!r}: give an integer of at least {least}")
