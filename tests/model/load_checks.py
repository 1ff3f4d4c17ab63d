"""What the tests of loading share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fpsim.errors import FpsimError
from fpsim.model.load import load

WEIGHTS = "diffusion_pytorch_model.safetensors"


def message(requested: object, **options: Any) -> str:
    """The error of a load that must fail, which is always one line."""
    with pytest.raises(FpsimError) as caught:
        load(str(requested), **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def change_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
