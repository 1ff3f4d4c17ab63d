"""Block formats in torch operations, for any device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.codec.scale_rules import LIFT, TINY, PowerRule, power_rule, smallest_scale, tensor_scale
from fpsim.number import BlockFormat, ScaleRule
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.number.exact import WIDTHS


def quantize_blocks(x: Tensor, fmt: BlockFormat, out: Tensor, backend: Backend, how: Conversion = DEFAULT) -> None:
    """Quantize blocks along the last axis; arguments as in :func:`fpsim.codec.blocks.quantize_blocks`.

    ``backend`` must take torch tensors.
    """
    policies = policy_arguments(backend, how)
    if x.numel() == 0:
        return
    rows, columns = x.shape
    short = -columns % fmt.block
    padded = torch.nn.functional.pad(x, (0, short)).reshape(-1, fmt.block)  # zeros change no block's amax
    scale = scales(padded, fmt, backend) * fmt.element.scale(x.element_size() * 8)
    if policies and short:
        # Random bits follow the element's place in the whole array: it must not be padded.
        each = scale.reshape(rows, -1).repeat_interleave(fmt.block, dim=1)[:, :columns].contiguous()
        backend.quantize(x, fmt.element, each, out, **policies)
        return
    rounded = torch.empty_like(padded)
    backend.quantize(padded, fmt.element, scale, rounded, **policies)
    out.copy_(rounded.reshape(rows, columns + short)[:, :columns])


def scales(padded: Tensor, fmt: BlockFormat, backend: Backend) -> Tensor:
    """The scales ``[blocks, 1]`` of ``[blocks, block]``, tensor scale included."""
    largest = torch.finfo(padded.dtype).max
    amax = padded.abs().nan_to_num_(nan=0.0, posinf=largest).amax(dim=1, keepdim=True)
    if fmt.rule is not ScaleRule.MAX:
        return _powers(amax, power_rule(fmt, padded.element_size() * 8))
    dtype = np.float32 if padded.dtype == torch.float32 else np.float64
    whole = tensor_scale(float(amax.max()), fmt, dtype)
    # Divisors as tensors: on CUDA torch multiplies by the reciprocal of a plain number.
    ratios = amax / amax.new_tensor(float(fmt.element.max)) / amax.new_tensor(whole)
    rounded = torch.empty_like(ratios)
    backend.quantize(ratios, fmt.scale, torch.ones_like(ratios[:1]), rounded)
    return rounded.clamp_(min=smallest_scale(fmt)) * whole


def _powers(amax: Tensor, rule: PowerRule) -> Tensor:
    """:func:`fpsim.codec.scale_rules.power_exponents` in torch, as scales."""
    work = WIDTHS[amax.element_size() * 8]
    small = amax < TINY
    lifted = torch.where(small, amax * 2.0**LIFT, amax)
    pattern = (lifted / lifted.new_tensor(rule.divisor)).view(
        torch.int32 if amax.dtype == torch.float32 else torch.int64
    )
    field = (pattern + rule.nudge) >> work.mantissa_bits
    exponent = field.long() - int(work.bias) - LIFT * small.long() - rule.offset
    exponent = torch.where(amax == 0, torch.full_like(exponent, rule.lo), exponent.clamp(rule.lo, rule.hi))
    # By the bit pattern: torch.ldexp would compute 2^exponent in float32. One below emin is subnormal.
    bias, integer = int(work.bias), pattern.dtype
    normal = ((exponent + bias).clamp(min=1).to(integer) << work.mantissa_bits).view(amax.dtype)
    return torch.where(exponent == -bias, 2.0**-bias, normal)
