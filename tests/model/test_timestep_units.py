"""In what unit the schedulers and pipelines of the installed diffusers give timesteps to denoisers."""

from __future__ import annotations

import re
from pathlib import Path

import diffusers
import pytest
from diffusers import EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from fpsim.errors import FpsimError
from fpsim.model.timestep import PARTS, REVERSED, trained
from fpsim.sample.schedulers import NAMES


def test_schedulers_of_noise_levels_have_no_even_bins() -> None:
    assert trained(EDMEulerScheduler(), 1) == 1000
    with pytest.raises(FpsimError) as caught:
        trained(EDMEulerScheduler(), 2)
    assert str(caught.value).startswith("EDMEulerScheduler calls the denoiser with values from -1.554 to 1.096, not")
    assert "\n" not in str(caught.value)
    for name in (*NAMES.values(), "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "LCMScheduler"):
        assert trained(getattr(diffusers, name)(num_train_timesteps=500), 8) == 500
    assert trained(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), 8) == 1000, "needs the size of an image"


SOURCES = sorted((Path(diffusers.__file__).parent / "pipelines").rglob("pipeline_*.py"))


def denoisers(pattern: str) -> dict[str, str]:
    """Denoisers of pipelines whose source has a line like this, and the file."""
    found = {}
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        if re.search(pattern, text):
            names = re.findall(r"^\s+transformer\s*:\s*(\w+),?$", text, re.MULTILINE)
            found.update(dict.fromkeys(names, file.name))
    return found


def test_the_tables_are_what_diffusers_does() -> None:
    """A denoiser of a new version that is called with parts must not be overlooked."""
    whole = r"(1000|self\.scheduler\.config\.num_train_timesteps)"
    divided = denoisers(rf"timestep\s*=\s*timestep / {whole}")
    assert "FluxTransformer2DModel" in divided
    assert set(divided) <= PARTS
    known = {name for name in PARTS | REVERSED if hasattr(diffusers, name)}
    assert known <= set(denoisers(rf"/ {whole}"))
    assert {name for name in REVERSED if hasattr(diffusers, name)} <= set(denoisers(rf"1 - \w+ / {whole}"))
    assert not set(denoisers(rf"1 - \w+ / {whole}")) & PARTS
