"""What is wrong with loaded weights, and their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from fpsim.errors import FpsimError


def check_finite(module: torch.nn.Module, label: str) -> None:
    """Refuse weights with NaN or Inf, naming the first such tensor.

    Raises:
        FpsimError: A tensor of the state dict has a value that is not finite.
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            kind = "NaN" if bool(torch.isnan(tensor).any()) else "Inf"
            count = int((~torch.isfinite(tensor)).sum())
            raise FpsimError(
                f"the weights of {label} contain {kind}: tensor {name!r} has {count} values of {tensor.numel()} that "
                "are not finite; get an intact copy of the model"
            )


def check_complete(loading_info: Mapping[str, Any], label: str) -> None:
    """Refuse weights that leave a tensor of the model at its random initial value.

    Args:
        loading_info: What ``from_pretrained(..., output_loading_info=True)`` returned beside the model.
        label: How to call the model in the message.

    Raises:
        FpsimError: A tensor is missing from the file, or has another shape there.
    """
    for key, what in (("missing_keys", "is missing from"), ("mismatched_keys", "has another shape in")):
        names = sorted(item if isinstance(item, str) else item[0] for item in loading_info.get(key) or ())
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise FpsimError(
                f"the weights of {label} do not fit its config: tensor {names[0]!r}{more} {what} the file; "
                "pass the config that belongs to the weights"
            )


def explain_failure(folder: Path, label: str, error: Exception) -> FpsimError:
    """Why a model's folder could not be loaded, as one line: a corrupt file, pickles only, or the library's reason."""
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        try:
            with safe_open(file, framework="pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as reason:
            return FpsimError(f"{label}: {file} is corrupt ({one_line(reason)}): get an intact copy of it")
    pickles = sorted(file.name for pattern in ("*.bin", "*.ckpt", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickles and not weights:
        return FpsimError(
            f"{label}: {folder} has only pickled weights ({pickles[0]}), which fpsim never opens: "
            "convert them to safetensors"
        )
    if not weights:
        return FpsimError(f"{label}: {folder} has no safetensors weights ({one_line(error)}): add them")
    return FpsimError(f"{label}: {folder} could not be loaded ({one_line(error)}): check its config and its weights")


def one_line(error: BaseException, limit: int = 240) -> str:
    """An exception's message on one line, at most ``limit`` characters long."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def fingerprint(module: torch.nn.Module) -> str:
    """SHA-256 over the sorted names, dtypes, shapes and little-endian bytes of a module's state dict, one at a time."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
