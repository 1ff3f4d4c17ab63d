"""The Triton kernels equal the other twins bit for bit: on a CUDA device, or interpreted on the CPU.

Without Triton they are skipped. They run in a process of their own, because Triton decides at import whether it
interprets.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fpsim
from fpsim.codec.protocol import backend

CHECK = Path(__file__).with_name("triton_check.py")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_triton_equals_numpy_in_every_mode() -> None:
    cuda = torch.cuda.is_available()
    environment = os.environ | ({} if cuda else {"TRITON_INTERPRET": "1"})
    done = subprocess.run([sys.executable, str(CHECK)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cases, wrong = map(int, done.stdout.split()[-2:])
    assert cases >= 200
    assert wrong == 0, done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_reason_is_one_line() -> None:
    backend.cache_clear()
    with pytest.raises(fpsim.FpsimError, match=r"backend 'triton' needs (a CUDA device|the package triton)"):
        fpsim.quantize(torch.ones(3), "e4m3", backend="triton")
