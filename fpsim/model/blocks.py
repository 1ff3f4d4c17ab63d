"""The blocks whose rounding is learned as one, and what they compute in a calibration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.layers import attends, has_plain_weight, quantizable
from fpsim.quant.rounding.blockwise import BlockCall

#: Inputs and outputs of one block that are kept may take so many bytes.
LIMIT_BYTES = 4 << 30
_BLOCK = re.compile(r"Resnet\w*Block|TransformerBlock|TransformerEncoderLayer|AttentionBlock")


def units(model: nn.Module) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is reconstructed together: each block with its layers' names inside it, and every other layer alone.

    Blocks are the outermost residual blocks, transformer blocks and attention blocks (the units of Q-Diffusion). The
    name of a layer that is alone comes with ``("",)``. Layers that compute their weight at run time are left out.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    inside: set[str] = set()
    for name, module in model.named_modules():
        if any(name == outer or name.startswith(f"{outer}.") for outer in inside):
            continue
        learnable = tuple(part for part, layer in quantizable(module) if has_plain_weight(layer))
        if learnable and (is_block(module) or learnable == ("",)):
            inside.add(name)
            found.append((name, learnable))
    return found


def is_block(module: nn.Module) -> bool:
    """Whether a module is a residual, transformer or attention block, and no container of several."""
    named = _BLOCK.search(type(module).__name__) is not None and not hasattr(module, "resnets")
    return named or (attends(module) and not isinstance(module, nn.MultiheadAttention))


def capture_calls(
    model: nn.Module, name: str, calls: Sequence[Callable[[], Any]], *, limit: int = LIMIT_BYTES
) -> list[BlockCall]:
    """Run a model in full precision and keep what enters and leaves one of its modules, sample by sample.

    Args:
        model: any module.
        name: of the module inside it.
        calls: functions that run the model once each.
        limit: in bytes; where all would take more, evenly spread calls are run instead.

    Raises:
        FpsimError: the module did not run, or one call takes more than the limit.
    """
    block = dict(model.named_modules())[name]
    first = _capture(block, calls[:1])
    size = sum(map(_bytes, first))
    if size > limit:
        raise FpsimError(
            f"one call of block {name!r} takes {size >> 20:,} MiB, more than the limit of {limit >> 20:,} MiB; "
            "learn layer by layer, or with smaller batches"
        )
    if not first:
        raise FpsimError(f"the calibration never ran block {name!r}, so its rounding cannot be learned; skip it")
    count = min(len(calls), limit // max(size, 1))
    chosen = [calls[round(i * (len(calls) - 1) / max(count - 1, 1))] for i in range(count)]
    return first if count == 1 else _capture(block, chosen)


def _capture(block: nn.Module, calls: Iterable[Callable[[], Any]]) -> list[BlockCall]:
    found: list[BlockCall] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        answer = result[0] if isinstance(result, tuple) else result
        found.extend(_samples(args, kwargs, answer.detach()))

    hook = block.register_forward_hook(keep, with_kwargs=True)
    try:
        with torch.no_grad():
            for call in calls:
                call()
    finally:
        hook.remove()
    return found


def _samples(args: tuple[Any, ...], kwargs: Mapping[str, Any], answer: Tensor) -> list[BlockCall]:
    count = len(answer)
    given = {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    whole = {key for key, v in given.items() if not (isinstance(v, Tensor) and v.ndim and len(v) == count)}

    def part(key: str, value: Any, i: int) -> Any:
        if key in whole:
            return value
        return value[i : i + 1].detach().clone()

    return [
        BlockCall(
            args=tuple(part(str(k), value, i) for k, value in enumerate(args)),
            kwargs={key: part(key, value, i) for key, value in kwargs.items()},
            output=answer[i : i + 1].clone(),
            shared=frozenset(whole),
        )
        for i in range(count)
    ]


def _bytes(call: BlockCall) -> int:
    tensors = [call.output, *call.args, *call.kwargs.values()]
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))
