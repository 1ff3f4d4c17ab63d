"""What a model costs on a device: time with an interval, memory, throughput and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpsim.cost.calibration_file import Calibration
from fpsim.cost.calibration_file import load as load_calibration
from fpsim.cost.device import Device
from fpsim.cost.device_file import find
from fpsim.cost.energy import energy
from fpsim.cost.formats import scale_bits, uses, weight_bits
from fpsim.cost.latency import Array, bounds, limits, seconds
from fpsim.cost.memory import largest_batch, peak
from fpsim.cost.memory_options import MemoryOptions
from fpsim.cost.notes import notes
from fpsim.cost.parameters import Parameters
from fpsim.cost.result import Estimate, Timed
from fpsim.cost.runtime import Setting
from fpsim.cost.workload import Model, Part, load, parts
from fpsim.quant.policy import Policy

if TYPE_CHECKING:
    from torch import nn

#: Steps of an image unless told otherwise, as in Chen et al. 2024.
STEPS = 50


def estimate(
    model: str | Path | nn.Module | Model,
    *,
    device: str | Device,
    policy: Policy | None = None,
    batch: int = 1,
    steps: int = STEPS,
    cfg: bool | None = None,
    runtime: str = "eager",
    attention: str = "fused",
    quantize_ops: str = "fused",
    act_scales: str = "static",
    dtype: str | None = None,
    devices: Sequence[str] = (),
    calibration: str | Calibration | None = None,
) -> Estimate:
    """Return what a batch of images costs.

    Args:
        model: a name such as ``sd15``, a folder with a diffusers config, or a module.
        device: an id such as ``b200``, or a device.
        policy: formats of the denoiser's layers; None for full precision.
        batch: images.
        steps: of the denoiser.
        cfg: whether classifier-free guidance doubles the samples; None for what the model's pipeline does.
        runtime: ``eager``, ``compiled`` or ``tensorrt``.
        attention: ``fused`` or ``naive``.
        quantize_ops: ``fused`` or ``separate`` kernels that quantize activations.
        act_scales: ``static`` or ``dynamic``; dynamic ones cost separate kernels a pass more.
        dtype: full precision; None for ``fp16``, and ``fp32`` on a CPU.
        devices: TOML files of devices.
        calibration: a file of ``fpsim cost calibrate``, or its contents; None for the published calibration.

    Raises:
        FpsimError: an unknown name or choice, a malformed file, a rule that matches no layer.
    """
    where, parameters = _machine(device, devices, calibration)
    dtype = dtype or ("fp32" if where.kind == "cpu" else "fp16")
    setting = Setting(runtime=runtime, attention=attention, quantize=quantize_ops, act_scales=act_scales, dtype=dtype)
    traced = model if isinstance(model, Model) else load(model)
    guided = traced.guided if cfg is None else cfg
    found = parts(traced, where, setting, policy=policy, images=batch, cfg=guided, steps=steps)
    asked = _Asked(
        model=traced,
        device=where,
        setting=setting,
        policy=policy,
        images=batch,
        guided=guided,
        steps=steps,
        parameters=parameters,
    )
    return _assemble(asked, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What an estimate is of."""

    model: Model
    device: Device
    setting: Setting
    policy: Policy | None
    images: int
    guided: bool
    steps: int
    parameters: Parameters


def _machine(
    device: str | Device, devices: Sequence[str], calibration: str | Calibration | None
) -> tuple[Device, Parameters]:
    """Return a device, with a file's parameters if they were measured on it, the published ones for any other."""
    known = calibration if isinstance(calibration, Calibration) else load_calibration(calibration)
    where = device if isinstance(device, Device) else known.devices.get(device) or find(device, devices)
    parameters = known.parameters
    elsewhere = parameters.level == "measured" and where.name not in parameters.devices
    return where, load_calibration().parameters if elsewhere else parameters


def _assemble(asked: _Asked, found: Sequence[Part]) -> Estimate:
    device, parameters = asked.device, asked.parameters
    each = [_times(part, parameters, asked.setting, device) for part in found]
    light = bounds(found[0].ideal)
    step, bound = float(each[0].sum()), float(light.sum())
    total = sum(float(times.sum()) * part.calls for times, part in zip(each, found, strict=True))
    wide = interval(parameters, device, found)
    trace, options = asked.model.traces[0], _memory_options(asked)
    pairs = uses(asked.policy, trace.denoiser, device, asked.setting.dtype)
    return Estimate(
        model=asked.model.name,
        device=device,
        setting=asked.setting,
        images=asked.images,
        samples=asked.images * (2 if asked.guided else 1),
        steps=asked.steps,
        level=parameters.level,
        latency_s=step,
        low=max(step / wide, bound),
        high=step * wide,
        bound=bound,
        total_s=total,
        mape=parameters.mape,
        familiar=device.name in parameters.devices,
        memory=peak(trace, options, images=asked.images),
        largest=largest_batch(trace, device.memory.value, options),
        energy=energy(((work, part.calls) for part in found for work in part.works), device, total),
        timed=_timed(found[0], each[0], light, parameters, asked.setting),
        uses=pairs,
        notes=notes(device, parameters, pairs, wide),
    )


def interval(parameters: Parameters, device: Device, found: Sequence[Part]) -> float:
    """Return the factor between a prediction and the ends of its interval."""
    computes = {work.compute for part in found for work in part.works if work.compute}
    spread = parameters.spread
    if device.name in parameters.devices and computes <= set(parameters.computes):
        return spread.seen
    foreign = device.kind == "cpu" or not computes <= set(parameters.computes)
    return spread.foreign if foreign else spread.unseen


def _times(part: Part, parameters: Parameters, setting: Setting, device: Device) -> Array:
    factor = parameters.devices.get(device.name, 1.0)
    return np.maximum(seconds(part.ideal, parameters, setting) * factor, bounds(part.ideal))


def _timed(part: Part, times: Array, light: Array, parameters: Parameters, setting: Setting) -> tuple[Timed, ...]:
    items = zip(part.works, times, light, limits(part.ideal, parameters, setting), strict=True)
    return tuple(
        Timed(work=work, seconds=float(time), bound=float(least), limit=limit) for work, time, least, limit in items
    )


def _memory_options(asked: _Asked) -> MemoryOptions:
    wide, denoiser, policy = 8.0 * asked.setting.bytes, asked.model.traces[0].denoiser, asked.policy
    return MemoryOptions(
        weight_bits=weight_bits(policy, denoiser, wide) if policy else wide,
        scale_bits=scale_bits(policy, denoiser) if policy else 0.0,
        other_bits=wide,
        act_bytes=float(asked.setting.bytes),
        attention=asked.setting.attention,
        cfg=asked.guided,
    )
