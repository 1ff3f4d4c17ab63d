"""The converter of LPIPS's weights reads arrays and nothing else."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

import convert_lpips
from safetensors.numpy import load_file


class Calls:
    """Its pickle calls a function when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_layers_arrive_under_their_names_and_in_torch_s_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = convert_lpips.random_weights()
    target = tmp_path / "a.safetensors"
    convert_lpips.convert(pickle.dumps(params), target)
    found = load_file(target)
    kernel = params["AlexNet_0"]["Conv_2"]["kernel"]
    assert found["conv3.weight"][5, 7, 2, 0] == kernel[2, 0, 7, 5]
    np.testing.assert_array_equal(found["head4"], params["NetLinLayer_3"]["Conv_0"]["kernel"].ravel())
    assert "2,470,848 numbers" in capsys.readouterr().out


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"asks for (posix|os)\.system; only NumPy arrays are read"):
        convert_lpips.convert(pickle.dumps({"AlexNet_0": Calls()}), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_other_weights_are_refused(tmp_path: Path) -> None:
    params = convert_lpips.random_weights()
    del params["NetLinLayer_4"]
    with pytest.raises(SystemExit, match="not the weights of LPIPS"):
        convert_lpips.convert(pickle.dumps(params), tmp_path / "a.safetensors")
