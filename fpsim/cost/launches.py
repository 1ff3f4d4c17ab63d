"""What the framework takes for each operation of a network: Python, modules and dispatch, on the machine at hand."""

from __future__ import annotations

from typing import Any

import torch

from fpsim.cost.architectures import architecture, build
from fpsim.cost.device import Device
from fpsim.cost.latency import ideal, seconds
from fpsim.cost.model_inputs import Sizes
from fpsim.cost.modules import trace_module
from fpsim.cost.parameters import Parameters
from fpsim.cost.quiet import quiet
from fpsim.cost.runtime import Setting
from fpsim.cost.support import support
from fpsim.cost.timing import timed
from fpsim.cost.work import works

#: A U-Net whose arithmetic takes next to no time.
_TINY = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "block_out_channels": [8, 8, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}


def launch_time(device: Device, parameters: Parameters, setting: Setting, dtype: torch.dtype) -> float:
    """Return the seconds of the framework for each kernel of an eager U-Net.

    Args:
        device: the machine.
        parameters: fitted to its single operations, whose times are subtracted on a CPU; a GPU works meanwhile.
        setting: the working type.
        dtype: the same for torch.
    """
    on = "cpu" if device.kind == "cpu" else "cuda"
    made = architecture("UNet2DModel").inputs(_TINY, Sizes(batch=1))
    module = build("UNet2DModel", _TINY)
    operations = trace_module(module, made).operations
    with quiet("diffusers"):
        module = module.to_empty(device=on).to(dtype)
    for tensor in module.parameters():
        tensor.data.fill_(0.01)
    inputs: Any = {key: _real(value, on, dtype) for key, value in dict(made).items()}
    total = timed(lambda: module(**inputs), on, budget=1.0, least=5)
    plain = support(None, None, device, setting.dtype)
    done = list(works(operations, lambda _: plain, setting))
    busy = float(seconds(ideal(done, device), parameters, setting).sum()) if on == "cpu" else 0.0
    return max(total - busy, 1e-7 * len(done)) / sum(work.kernels for work in done)


def _real(value: Any, on: str, dtype: torch.dtype) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    filled = torch.ones(value.shape, device=on)
    return filled.to(dtype) if value.is_floating_point() else filled.to(value.dtype)
