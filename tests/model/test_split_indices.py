"""Where a U-Net's concatenations are: split indices against what running the models shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from tiny_pipelines import _conditional_unet, tiny_unet
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fpsim import FpsimError
from fpsim.model.load import load
from fpsim.model.split import find_splits


def unconditional() -> tuple[nn.Module, dict[str, Any]]:
    return tiny_unet(), {"sample": torch.randn(2, 1, 8, 8), "timestep": torch.tensor([3, 500])}


def conditional() -> tuple[nn.Module, dict[str, Any]]:
    unet = _conditional_unet(cross_attention_dim=16, seed=5)
    context = torch.randn(2, 5, 16)
    return unet, {"sample": torch.randn(2, 4, 8, 8), "timestep": 7, "encoder_hidden_states": context}


def bundled() -> tuple[nn.Module, dict[str, Any]]:
    return load("bundled").denoiser, {"sample": torch.randn(1, 1, 28, 28), "timestep": 7}


class _Concatenations(TorchFunctionMode):
    """Remembers the results of ``torch.cat`` along the channels, and how many the first part has."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.cat and (kwargs or {}).get("dim") == 1 and result.ndim == 4:
            self.made.append((result, args[0][0].shape[1]))
        return result


@pytest.mark.parametrize("make", [unconditional, conditional, bundled])
def test_split_indices_are_those_of_the_concatenations(make: Callable[[], Any]) -> None:
    """Found by running the model: what each layer of a residual block and the block itself receives."""
    model, inputs = make()
    found: dict[str, int] = {}
    blocks: dict[str, int] = {}
    concatenations = _Concatenations()

    def hook(name: str) -> Any:
        def see(module: nn.Module, args: Any) -> None:
            at = next((at for result, at in concatenations.made if result is args[0]), None)
            if at is not None:
                (blocks if isinstance(module, ResnetBlock2D) else found)[name] = at

        return see

    for name, module in model.named_modules():
        if isinstance(module, ResnetBlock2D | nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad(), concatenations:
        model(**inputs)
    assert found == find_splits(model, "shortcut")  # no other quantized layer receives a raw concatenation
    assert len(found) == len(concatenations.made) > 3
    both = {f"{block}.{part}": at for block, at in blocks.items() for part in ("conv_shortcut", "conv1")}
    assert both == find_splits(model, "all")
    assert find_splits(model, "none") == {}


def test_models_without_concatenations_are_refused() -> None:
    with pytest.raises(FpsimError, match="Linear has no up path"):
        find_splits(nn.Linear(2, 2), "shortcut")
    with pytest.raises(FpsimError, match="not one of none, shortcut, all"):
        find_splits(nn.Linear(2, 2), "both")
    odd = tiny_unet()
    odd.down_blocks[0].resnets[0].out_channels = 99
    with pytest.raises(FpsimError, match="use split none"):
        find_splits(odd, "shortcut")
