"""Importance measures that go on where they stopped, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from allocation_checks import ACTS, BPW, FEW, WEIGHTS, quiet, request

from fpsim.errors import FpsimError
from fpsim.methods.allocation_measure import measure
from fpsim.methods.importance import registry
from fpsim.methods.importance.store import NumberStore
from fpsim.model.load import LoadedModel
from fpsim.quant.policy import spec

SETTINGS = {"sensitivity": {"sensitivity_images": 1}}


def test_sensitivity_resumes_and_is_not_measured_again(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after some numbers, the rest is measured; another budget measures nothing."""
    from fpsim.methods.importance import sensitivity

    asked = request(measure="sensitivity", settings={"sensitivity_images": 1}, acts={}, bins=1, limits=(BPW,))
    original, count = sensitivity.sample_batch, [0]

    def counted(*args: object, **options: object) -> object:
        count[0] += 1
        if count[0] == 4:
            raise KeyboardInterrupt
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sensitivity, "sample_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        measure(asked, model, tmp_path / "m", quiet)
    kept = json.loads((tmp_path / "m" / "numbers.json").read_text())
    assert len(kept) == 2
    found = measure(asked, model, tmp_path / "m", quiet).harm.weights
    assert count[0] == 4 + 1 + 4  # the reference again, and what was left of 2 layers x 3 formats
    again = measure(asked, model, tmp_path / "m", quiet).harm.weights
    assert count[0] == 4 + 1 + 4 + 1
    assert (again == found).all()
    fresh = measure(asked, model, None, quiet).harm.weights
    assert fresh == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("name", ["mse", "fisher", "orm", "orm-error"])
def test_errors_of_tensors_are_kept(
    name: str, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another budget measures nothing again; another format is measured."""
    from fpsim.methods.importance import fisher, mse

    asked = request(measure=name)
    first = measure(asked, model, tmp_path / "m", quiet).harm

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(mse, "rounded_weight", never)
    monkeypatch.setattr(mse, "input_errors", never)
    monkeypatch.setattr(fisher, "SquaredGradients", never)
    again = measure(asked, model, tmp_path / "m", quiet).harm
    assert (again.weights == first.weights).all()
    assert (again.acts == first.acts).all()  # type: ignore[union-attr]
    for change in (
        {"acts": {"int4": ACTS["int4"], "int8": spec("int8", "tensor", "max")}},
        {"weights": WEIGHTS | {"int3": spec("int3", "channel", "max")}},
    ):
        with pytest.raises(AssertionError, match="measured again"):
            measure(request(measure=name, **change), model, tmp_path / "m", quiet)


def test_a_folder_of_another_measurement(model: LoadedModel, tmp_path: Path) -> None:
    measure(request(), model, tmp_path / "m", quiet)
    with pytest.raises(
        FpsimError, match=r"already holds another run \(probes.timesteps 2 there, 1 now\): pass another --work"
    ):
        measure(request(timesteps=1, bins=1), model, tmp_path / "m", quiet)
    (tmp_path / "m" / "numbers.json").write_text("{")
    with pytest.raises(FpsimError, match=r"numbers\.json is damaged"):
        measure(request(), model, tmp_path / "m", quiet)


def test_numbers_without_a_file() -> None:
    store = NumberStore(None)
    assert store.get("a", lambda: 1) == store.get("a", lambda: 2) == 1


def test_refused(model: LoadedModel) -> None:
    with pytest.raises(FpsimError, match="--beta is for the measures orm, orm-error, not for mse"):
        measure(request(settings={"beta": "1"}), model, None, quiet)
    with pytest.raises(FpsimError, match="no importance measure 'guess'; there are fisher"):
        registry.measure("guess")
    with pytest.raises(FpsimError, match=r"timestep bin .* holds none of the 2 probed timesteps"):
        measure(request(bins=8), model, None, quiet)
    with pytest.raises(FpsimError, match="no layer is left to allocate"):
        measure(request(skip=("*",)), model, None, quiet)
    with pytest.raises(FpsimError, match="rule 'conv_inn' matches no layer"):
        measure(request(skip=("conv_inn",)), model, None, quiet)


def test_a_layer_without_calibration_data(model: LoadedModel) -> None:
    model.denoiser.spare = torch.nn.Linear(2, 2)
    try:
        with pytest.raises(FpsimError, match=r"layer 'spare' has no calibration data: .* --skip 'spare'"):
            measure(request(), model, None, quiet)
        measure(request(skip=(*FEW, "spare")), model, None, quiet)
    finally:
        del model.denoiser.spare


def test_a_format_that_a_layer_cannot_take(model: LoadedModel) -> None:
    """A weight so small that a scale by its largest value is no normal number."""
    weight = model.denoiser.conv_out.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(1e-42)
    try:
        with pytest.raises(FpsimError, match=r"layer 'conv_out' cannot take int2 .* --skip 'conv_out' or drop"):
            measure(request(), model, None, quiet)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
