"""Watch the calls of a denoiser, whoever makes them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One call of the denoiser.

    Attributes:
        step: Number of the call, from 0; schedulers such as Heun and PNDM call more often than they have steps.
        t: The timestep that the denoiser was given; fractional for some schedulers.
        latents: Input of the denoiser, float32 [N, C, H, W]; with classifier-free guidance N is twice the batch, the
            unconditional half first.
        output: Output of the denoiser, float32, as the scheduler or the guidance receives it.
    """

    step: int
    t: float
    latents: NDArray[np.float32]
    output: NDArray[np.float32]


Observer = Callable[[StepRecord], None]


@contextlib.contextmanager
def observing(denoiser: torch.nn.Module, observer: Observer | None) -> Iterator[None]:
    """Give the observer a record of every call of the denoiser; without an observer nothing is hooked or copied."""
    if observer is None:
        yield
        return
    signature, numbers = inspect.signature(denoiser.forward), count()

    def hook(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        given = signature.bind_partial(*args, **kwargs).arguments
        latents = given["sample"] if "sample" in given else given["hidden_states"]
        output = result[0] if isinstance(result, tuple) else result.sample
        t = float(torch.as_tensor(given["timestep"]).flatten()[0])
        observer(StepRecord(step=next(numbers), t=t, latents=_copy(latents), output=_copy(output)))

    handle = denoiser.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _copy(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32, copy=True).numpy()
    return array
