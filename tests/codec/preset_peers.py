"""What the libraries behind the presets do, as functions from an array to float64 values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import torch
from gfloat.formats import format_info_p3109
from gfloat.types import Domain, FormatInfo, Signedness
from library_types import ML_DTYPES, TORCH
from numpy.typing import NDArray

from fpsim.number import FloatFormat, Specials
from fpsim.number.catalogue import builtin

Array = NDArray[Any]


def _tensor(x: Array) -> torch.Tensor:
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def new_torch(x: Array, name: str) -> Array:
    """The installed torch's cast."""
    values: Array = _tensor(x).to(TORCH[name]).double().numpy()
    return values


def old_torch(x: Array, name: str) -> Array:
    """Up to 2.11 what rounds beyond 448 became NaN in e4m3: 464 is the tie, which goes to 448; the rest is as today."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = x.astype(np.float32)
    return np.where((name == "e4m3") & (np.abs(narrow) > 464), np.nan, new_torch(x, name))


def torchao(x: Array, name: str) -> Array:
    """Clamped to the range of the type, then cast."""
    kind = TORCH[name]
    limit = torch.finfo(kind).max
    values: Array = _tensor(x).clamp(min=-limit, max=limit).to(kind).double().numpy()
    return values


def by_ml_dtypes(x: Array, name: str) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(ML_DTYPES[name]).astype(np.float64)


def by_gfloat(x: Array, name: str, *, sat: bool = False) -> Array:
    with np.errstate(all="ignore"):
        values: Array = gfloat.round_ndarray(_info(name), x.astype(np.float64), sat=sat)
        return values


def _info(name: str) -> FormatInfo:
    if name.startswith("binary8p"):
        domain = Domain.Extended if name.endswith("e") else Domain.Finite
        return format_info_p3109(8, int(name[len("binary8p")]), Signedness.Signed, domain)
    fmt = builtin()[name].format
    assert isinstance(fmt, FloatFormat)
    ieee = fmt.specials is Specials.IEEE
    return FormatInfo(
        name,
        fmt.bits,
        fmt.precision,
        bias=int(fmt.bias),
        is_signed=True,
        domain=Domain.Extended if ieee else Domain.Finite,
        has_nz=fmt.has_negative_zero,
        num_high_nans=(1 << fmt.mantissa_bits) - 1 if ieee else int(fmt.specials is Specials.FN),
        has_subnormals=True,
        is_twos_complement=False,
    )


def _saturating_gfloat(x: Array, name: str) -> Array:
    return by_gfloat(x, name, sat=True)


#: By preset; the presets of OCP and CUDA have no library to run.
PEERS: dict[str, Callable[[Array, str], Array]] = {
    "torch>=2.12": new_torch,
    "torch<2.12": old_torch,
    "torchao": torchao,
    "ml_dtypes": by_ml_dtypes,
    "gfloat": by_gfloat,
    "gfloat-saturate": _saturating_gfloat,
}
