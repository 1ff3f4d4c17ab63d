"""A feature network is a file that the user names; every score records which."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.features import inception, resize
from fpsim.number.user_files import check_regular

_Run = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """What has to be equal for features to be comparable.

    Attributes:
        name: the file's name.
        sha256: of the file, 64 hexadecimal digits.
        architecture: ``inception-2015`` (run by fpsim's own code) or ``torchscript`` (run as it is).
        resize: a name in ``fpsim.features.resize.RULES``.
    """

    name: str
    sha256: str
    architecture: str
    resize: str

    def as_dict(self) -> dict[str, str]:
        """The record as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features of N images: pooled float32 [N, d], and flattened spatial maps float32 [N, s] if the network has any."""

    pooled: NDArray[np.float32]
    spatial: NDArray[np.float32] | None = None


class FeatureNetwork:
    """A loaded feature network.

    Args:
        record: what it is.
        run: prepared images to pooled features [N, d] and spatial maps [N, C, H, W] or None.
        device: where the network lies.
    """

    def __init__(self, record: NetworkRecord, run: _Run, device: str = "cpu") -> None:
        self.record, self.device = record, device
        self._run = run

    def __call__(self, images: NDArray[np.uint8]) -> Features:
        """Features of images.

        Args:
            images: uint8 [N, H, W, C], C of 1 or 3.

        Raises:
            FpsimError: the network does not take such images, or returns something else than features of them.
        """
        prepared = resize.prepare(images, self.record.resize)
        try:
            # Without TF32, which would cost features their fourth digit.
            with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
                pooled, spatial = self._run(prepared.to(self.device))
        except RuntimeError as error:
            raise FpsimError(
                f"{self.record.name} does not take images of {tuple(prepared.shape[1:])} ({_last_line(error)}): "
                "choose another resize rule or network"
            ) from error
        return Features(pooled=pooled.float().cpu().numpy(), spatial=None if spatial is None else _flat(spatial))


def load(path: str | Path, resize_rule: str = "tf1-bilinear", device: str = "cpu") -> FeatureNetwork:
    """Load a feature network.

    A TorchScript file returns features [N, d] for images [N, 3, H, W], or a pair of them and spatial maps
    [N, C, h, w]. One that holds exactly the weights of FID's Inception is run by fpsim's own code, bit for bit the
    same, which also gives the maps of sFID. A safetensors file declares its architecture in its header:
    ``{"architecture": "inception-2015"}``.

    Args:
        path: ``.pt`` or ``.safetensors``.
        resize_rule: a name in ``fpsim.features.resize.RULES``.
        device: ``cpu`` or ``cuda``.

    Raises:
        FpsimError: the file is missing, damaged or of another kind; no such resize rule or device.
    """
    path = Path(path)
    if resize_rule not in resize.RULES:
        raise FpsimError(f"there is no resize rule {resize_rule!r}; give one of {', '.join(resize.RULES)}")
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise FpsimError(f"device {device!r} is not to be had here; give cpu, or cuda on a machine with a GPU")
    check_regular(path, "feature network")
    architecture, run = (_safetensors if path.suffix == ".safetensors" else _torchscript)(path, device)
    record = NetworkRecord(name=path.name, sha256=sha256(path), architecture=architecture, resize=resize_rule)
    return FeatureNetwork(record, run, device)


def sha256(path: Path) -> str:
    """Hash of a file's bytes; only of a file that has been loaded, for any other may be endless."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_safetensors(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The declared architecture ("" without one) and the tensors of a safetensors file.

    Raises:
        FpsimError: it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("architecture", ""), {
                name: file.get_tensor(name) for name in file.keys()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise FpsimError(f"{path} is no safetensors file ({_last_line(error)}); convert the weights again") from error


def _safetensors(path: Path, device: str) -> tuple[str, _Run]:
    architecture, tensors = read_safetensors(path)
    weights = inception.weights_of(tensors) if architecture == inception.ARCHITECTURE else None
    if weights is None:
        raise FpsimError(
            f"{path} declares architecture {architecture!r} and holds {len(tensors)} tensors; "
            f"known as a feature network is {inception.ARCHITECTURE!r}, with its {4 * len(inception.layers())} tensors"
        )
    return architecture, inception.Inception({name: tensor.to(device) for name, tensor in weights.items()})


def _torchscript(path: Path, device: str) -> tuple[str, _Run]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated says nothing about the file
            module: Any = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise FpsimError(
            f"{path} is no TorchScript file ({_last_line(error)}); give a .pt or a .safetensors"
        ) from error
    weights = inception.weights_of(module.state_dict())
    if weights is not None:
        return inception.ARCHITECTURE, inception.Inception(weights)

    def run(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return _checked(module(x), len(x), path.name)

    return "torchscript", run


def _checked(result: Any, count: int, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    pooled, spatial = (*result, None)[:2] if isinstance(result, tuple) else (result, None)
    good = isinstance(pooled, torch.Tensor) and pooled.ndim == 2 and len(pooled) == count
    if not good or not (spatial is None or (isinstance(spatial, torch.Tensor) and spatial.ndim == 4)):
        raise FpsimError(
            f"{name} returns no features: fpsim takes a tensor [N, d], or a pair of it and a tensor [N, C, H, W]"
        )
    return pooled, spatial


def _flat(spatial: torch.Tensor) -> NDArray[np.float32]:
    """The first seven channels, as sFID takes them; their order within a row does not change the distance."""
    kept = spatial[:, : inception.SPATIAL_CHANNELS].float().flatten(1).cpu()
    return np.asarray(kept.numpy(), dtype=np.float32)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
