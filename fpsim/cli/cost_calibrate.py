"""Measure the machine at hand and write what ``fpsim cost --calibration`` takes."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from fpsim.cost.calibration_file import dumps
from fpsim.cost.device import Device
from fpsim.cost.machine import as_device, bandwidth, fitted, time_operations
from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name
from fpsim.report.files import write_atomically

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Watts where nothing says the power limit.
_TDP = 100.0


def execute(options: Mapping[str, Any]) -> None:
    """Run ``fpsim cost calibrate``.

    Raises:
        FpsimError: a bad name, a file that exists, a device that is not there.
    """
    name, path = options["name"], Path(options["out"])
    if not _NAME.fullmatch(name):
        raise FpsimError(f"device name {name!r}: it has letters, digits, '-', '.' and '_' only, 64 at most")
    check_name(path)
    if path.exists() and not options["overwrite"]:
        raise FpsimError(f"{path} exists; give --overwrite to replace it")
    on = options["on"] or ("cuda" if torch.cuda.is_available() else "cpu")
    if on == "cuda" and not torch.cuda.is_available():
        raise FpsimError("torch sees no CUDA device; measure the CPU with --on cpu")
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    dtype = options["dtype"] or ("fp32" if on == "cpu" else "fp16")
    models = [part.strip() for part in options["model"].split(",") if part.strip()]
    click.echo(f"timing the operations of {', '.join(models)} for {options['seconds']:g} s", err=True)
    found = time_operations(models, on, dtype, options["seconds"])
    device = as_device(name, on, dtype, found, bandwidth(on), options["tdp_w"] or _TDP, _memory(on))
    source = f"{_hardware(on)}, torch {torch.__version__}, {len(found)} operations of {', '.join(models)}, {_today()}"
    parameters = fitted(device, dtype, found, source)
    table = _table(device, source, assumed=options["tdp_w"] is None)
    comments = ("Measured by fpsim cost calibrate; for fpsim cost --calibration.",)
    write_atomically(path, dumps(parameters, comments=comments, device=table).encode())
    click.echo(f"{name}: {_rates(device)}; its operations are predicted within {parameters.mape:.0f} % on average")
    click.echo(f"wrote {path}; 'fpsim cost --calibration {path} --device {name}' uses it", err=True)


def _table(device: Device, source: str, *, assumed: bool) -> str:
    peaks = ", ".join(f"{key} = {peak.dense.value / 1e12:.5g}" for key, peak in device.peaks.items())
    power = "assumed: give --tdp-w" if assumed else "given by the user"
    return "\n".join(
        (
            f'[device."{device.name}"]',
            f'kind = "{device.kind}"',
            f'architecture = "{device.architecture}"',
            f'source = "{source}"',
            'confidence = "derived"',
            f"processors = {device.processors}",
            f"memory_gb = {device.memory.value / 1e9:.5g}",
            f"bandwidth_gb_s = {device.bandwidth.value / 1e9:.5g}",
            f'tdp_w = {{ value = {device.tdp.value:g}, source = "{power}", confidence = "unverified" }}',
            f"peaks = {{ {peaks} }}",
        )
    )


def _rates(device: Device) -> str:
    rates = [f"{key} {peak.dense.value / 1e12:.3g} TFLOPS" for key, peak in device.peaks.items()]
    return f"{', '.join(rates)}, {device.bandwidth.value / 1e9:.3g} GB/s"


def _memory(on: str) -> float:
    if on == "cuda":
        return float(torch.cuda.get_device_properties(0).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _hardware(on: str) -> str:
    if on == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _today() -> str:
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()
