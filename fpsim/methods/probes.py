"""Arguments of a denoiser's calls as files: tensors as safetensors, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fpsim.methods.kept import damaged
from fpsim.sample.npz import atomic

_TENSOR = {"tensor": True}


def write(path: Path, calls: tuple[Mapping[str, Any], ...]) -> None:
    """Write calls: tensors, numbers, texts, None, and dicts of these.

    Args:
        path: without a suffix; ``.safetensors`` and ``.json`` are added, the latter last.
        calls: keyword arguments, one mapping a call.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = [_taken(call, f"{number}", tensors) for number, call in enumerate(calls)]
    with atomic(path.with_suffix(".safetensors")) as stream:
        stream.write(save(tensors))
    with atomic(path.with_suffix(".json")) as stream:
        stream.write(json.dumps(skeleton).encode())


def read(path: Path) -> tuple[dict[str, Any], ...]:
    """Read what :func:`write` wrote.

    Raises:
        FpsimError: a file is missing or damaged.
    """
    try:
        skeleton = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        tensors = load(path.with_suffix(".safetensors").read_bytes())
        return tuple(_given(call, f"{number}", tensors) for number, call in enumerate(skeleton))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise damaged(path.parent, error) from error


def _taken(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` with its tensors moved to ``tensors`` under their paths."""
    if isinstance(value, Tensor):
        tensors[name] = value.contiguous()
        return _TENSOR
    if isinstance(value, Mapping):
        return {"dict": {key: _taken(item, f"{name}/{key}", tensors) for key, item in value.items()}}
    return {"value": value}


def _given(value: Any, name: str, tensors: Mapping[str, Tensor]) -> Any:
    if value == _TENSOR:
        return tensors[name]
    if "dict" in value:
        return {key: _given(item, f"{name}/{key}", tensors) for key, item in value["dict"].items()}
    return value["value"]
