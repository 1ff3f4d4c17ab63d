"""Statistics of a reference in a file: ``mu`` and ``sigma``, as evaluators have exchanged them since 2017."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.features.network import NetworkRecord
from fpsim.measure.frechet import Gaussian
from fpsim.number.user_files import check_name
from fpsim.sample.npz import read_npz, write_npz

_KEYS = ("mu", "sigma", "mu_s", "sigma_s", "count", "network")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStatistics:
    """The Gaussians of a reference: of pooled and, where it was kept, of spatial features; and of which network."""

    name: str
    pooled: Gaussian
    spatial: Gaussian | None
    network: dict[str, Any] | None


def write(path: Path, pooled: Gaussian, spatial: Gaussian | None, network: NetworkRecord) -> None:
    """Keep the statistics of a set.

    Args:
        path: the npz file.
        pooled: of pooled features.
        spatial: of spatial ones, if they were computed.
        network: which made them.

    Raises:
        FpsimError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {"mu": pooled.mean, "sigma": pooled.covariance}
    if spatial is not None:
        arrays |= {"mu_s": spatial.mean, "sigma_s": spatial.covariance}
    arrays["count"] = np.array(-1 if pooled.count is None else pooled.count)
    write_npz(path, {**arrays, "network": np.array(json.dumps(network.as_dict()))})


def read(path: Path) -> ReferenceStatistics:
    """Read statistics that fpsim or another evaluator wrote; another's do not say of how many images and which network.

    Raises:
        FpsimError: there is no such file, it has no ``mu`` and ``sigma``, or they do not fit.
    """
    check_name(path)
    if not path.is_file():
        raise FpsimError(f"there is no {str(path)!r}: give an npz file with mu and sigma")
    try:
        found = read_npz(path, _KEYS)
    except FpsimError as error:
        raise FpsimError(f"{path} is no npz file that can be read: give one with mu and sigma") from error
    if "mu" not in found or "sigma" not in found:
        raise FpsimError(f"{path} holds no reference statistics: there are no arrays mu and sigma in it")
    count = int(np.ravel(found["count"])[0]) if "count" in found else -1
    known = None if count < 0 else count
    spatial = _gaussian(found, "_s", known, path) if "mu_s" in found and "sigma_s" in found else None
    network = json.loads(str(np.ravel(found["network"])[0])) if "network" in found else None
    return ReferenceStatistics(
        name=str(path), pooled=_gaussian(found, "", known, path), spatial=spatial, network=network
    )


def _gaussian(found: dict[str, NDArray[Any]], suffix: str, count: int | None, path: Path) -> Gaussian:
    try:
        mean, covariance = (np.asarray(found[f"{key}{suffix}"], dtype=np.float64) for key in ("mu", "sigma"))
        return Gaussian(mean=mean, covariance=covariance, count=count)
    except ValueError as error:
        raise FpsimError(f"{path}: {error}") from error


def check_network(statistics: ReferenceStatistics, network: NetworkRecord) -> None:
    """Refuse statistics that are known to come from another network or resize rule.

    Raises:
        FpsimError: they do.
    """
    theirs, ours = statistics.network, network.as_dict()
    for key in ("sha256", "resize"):
        if theirs is not None and theirs.get(key) != ours[key]:
            raise FpsimError(
                f"{statistics.name} was made with {key} {str(theirs.get(key))[:16]}, the features here with "
                f"{ours[key][:16]}: features of different networks do not compare"
            )
