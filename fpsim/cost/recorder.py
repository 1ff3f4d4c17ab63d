"""Runs a module on the meta device and records every operator: no weights, no arithmetic, only shapes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fpsim.cost.events import BUFFER, SDPA, WEIGHT, Event
from fpsim.cost.storages import Storages, tensors

#: Positions of ``transposed`` and ``groups`` among the arguments of aten.convolution.
_TRANSPOSED, _GROUPS = 6, 8


def record(module: nn.Module, run: Callable[[], Any], inputs: Any) -> tuple[Event, ...]:
    """Run something and return what the operators did.

    Scaled dot-product attention is recorded as one operator. Which of torch's implementations would run depends on
    the device, and the one of the meta device materializes scores that others do not.

    Args:
        module: the module whose submodules name the operators, on the meta device.
        run: calls it.
        inputs: the tensors that it gets; they are alive from the beginning.
    """
    recorder = _Recorder(module)
    recorder.start(inputs)
    with torch.no_grad(), _hooks(module, recorder.stack), _Attention(recorder), _Operators(recorder):
        run()
    return tuple(recorder.events)


class _Recorder:
    """Collects events; knows which module runs and which storages are alive."""

    def __init__(self, module: nn.Module) -> None:
        self.events: list[Event] = []
        self.stack: list[tuple[str, str]] = [("", type(module).__name__)]
        self.paused = False
        self._storages = Storages()
        for parameter in module.parameters():
            self._storages.own(parameter, WEIGHT)
        for buffer in module.buffers():
            self._storages.own(buffer, BUFFER)

    def start(self, inputs: Any) -> None:
        given = tuple(self._storages.operand(tensor) for tensor in tensors(inputs))
        self.events.append(Event(op="input", outputs=given, allocated=self._storages.take_new()))

    def add(self, op: str, args: Any, run: Callable[[], Any], **facts: Any) -> Any:
        """Run an operator and record it."""
        freed = self._storages.take_freed()
        read = tuple(self._storages.operand(tensor) for tensor in tensors(args))
        self.paused = True
        try:
            result = run()
        finally:
            self.paused = False
        written = tuple(self._storages.operand(tensor) for tensor in tensors(result))
        layer, owner = self.stack[-1]
        new = self._storages.take_new()
        event = Event(
            op=op, layer=layer, owner=owner, inputs=read, outputs=written, allocated=new, freed=freed, **facts
        )
        self.events.append(event)
        return result


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator that torch dispatches."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if self._recorder.paused:
            return func(*args, **keywords)
        return self._recorder.add(
            str(func.overloadpacket), (args, keywords), lambda: func(*args, **keywords), **_facts(func, args)
        )


def _facts(func: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    if func is torch.ops.aten.convolution.default:
        return {"transposed": bool(args[_TRANSPOSED]), "groups": int(args[_GROUPS])}
    return {"in_place": func._schema.is_mutable}


class _Attention(TorchFunctionMode):
    """Records fused attention as one operator, with the memory layout that fused kernels return."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | dict(kwargs or {})
        query, key, value, mask = (given.get(name) for name in ("query", "key", "value", "attn_mask"))
        return self._recorder.add(SDPA, (query, key, value, mask), lambda: _attended(query, value))


def _attended(query: Any, value: Any) -> Tensor:
    """Return an empty result of attention; heads lie beside their channels, so that merging them moves nothing."""
    *outer, tokens, _ = query.shape
    if not outer:
        return torch.empty((tokens, value.shape[-1]), dtype=query.dtype, device=query.device)
    shape = (*outer[:-1], tokens, outer[-1], value.shape[-1])
    return torch.empty(shape, dtype=query.dtype, device=query.device).transpose(-3, -2)


@contextlib.contextmanager
def _hooks(module: nn.Module, stack: list[tuple[str, str]]) -> Iterator[None]:
    """Keep the name and class of the innermost running module on top of a stack."""
    handles = []
    for name, child in module.named_modules():
        place = (name, type(child).__name__)
        handles.append(child.register_forward_pre_hook(_pushes(stack, place)))
        handles.append(child.register_forward_hook(_pops(stack), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _pushes(stack: list[tuple[str, str]], place: tuple[str, str]) -> Callable[..., None]:
    def push(*_: Any) -> None:
        stack.append(place)

    return push


def _pops(stack: list[tuple[str, str]]) -> Callable[..., None]:
    def pop(*_: Any) -> None:
        stack.pop()

    return pop
