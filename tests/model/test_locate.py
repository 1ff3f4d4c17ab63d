"""Where a model is found: bundled, in a folder, on the hub; and what is said when it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from diffusers import DiffusionPipeline
from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError, RepositoryNotFoundError
from load_checks import WEIGHTS, message
from tiny_folders import TinyFolders
from tiny_pipelines import save_bare

from fpsim.model import bundled
from fpsim.model.load import load


class TestBundled:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        save_bare(tmp_path / "fashion-28")
        return tmp_path

    def test_alias_and_real_name(self, weights: Path) -> None:
        alias, real = (load(name, bundled_folder=weights) for name in ("bundled", "fashion-28"))
        assert (alias.name, alias.requested, alias.source) == ("fashion-28", "bundled", "bundled")
        assert (real.name, real.requested, real.sha256) == ("fashion-28", "fashion-28", alias.sha256)

    def test_the_best_one_present_is_chosen(self, weights: Path) -> None:
        save_bare(weights / "cifar10-32", seed=1)
        assert bundled.present(weights) == ("cifar10-32", "fashion-28")
        assert load("bundled", bundled_folder=weights).name == "cifar10-32"

    def test_no_silent_fall_back(self, weights: Path) -> None:
        text = message("cifar10-32", bundled_folder=weights)
        assert "'cifar10-32' is not in this installation (present: fashion-28)" in text

    def test_half_a_model_is_not_present(self, weights: Path) -> None:
        (weights / "fashion-28" / "scheduler_config.json").unlink()
        assert bundled.present(weights) == ()
        assert "present: none" in message("bundled", bundled_folder=weights)

    def test_the_packages_own_weights(self) -> None:
        assert bundled.weights_folder().parts[-3:] == ("fpsim", "model", "weights")
        assert set(bundled.present()) <= set(bundled.NAMES)


class TestNotFound:
    @pytest.mark.parametrize(
        ("requested", "text"),
        [
            ("fashion28", "did you mean 'fashion-28'?"),
            ("Bundeld", "did you mean 'bundled'?"),
            ("qqqq", "(bundled models: cifar10-32, fashion-28)"),
            ("", "unknown model ''"),
            ("./no/such", "there is no folder './no/such'"),
            ("/no/such", "there is no folder '/no/such'"),
            ("a/b/c", "there is no folder 'a/b/c'"),
        ],
    )
    def test_wrong_names(self, requested: str, text: str) -> None:
        assert text in message(requested)

    def test_a_file(self, tiny: TinyFolders) -> None:
        assert "is a file: pass the folder" in message(tiny("bare") / WEIGHTS)

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ({"dtype": "float8"}, "unknown dtype 'float8': choose float32 or bfloat16"),
            ({"device": "gpu"}, "unknown device 'gpu'"),
            ({"device": "cuda:99"}, "device 'cuda:99' is not there"),
        ],
    )
    def test_wrong_options(self, tiny: TinyFolders, option: dict[str, str], text: str) -> None:
        assert text in message(tiny("bare"), **option)


class TestHub:
    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def test_a_cached_pipeline(self, tiny: TinyFolders, tmp_path: Path) -> None:
        repository = tmp_path / "hub" / "models--org--tiny"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        shutil.copytree(tiny("sd"), repository / "snapshots" / ("0" * 40))
        model = load("org/tiny")
        assert (model.name, model.source, model.kind) == ("org/tiny", "hub org/tiny", "text-to-image")
        assert model.sha256 == load(str(tiny("sd"))).sha256

    def test_not_cached_and_not_reachable(self, capfd: pytest.CaptureFixture[str], warnings_said: list[str]) -> None:
        assert message("org/name") == (
            "org/name is not in the local Hugging Face cache and could not be downloaded (nor is it a folder here): "
            "run 'hf download org/name' on a machine with network, or pass a folder"
        )
        assert capfd.readouterr() == ("", "")
        assert warnings_said == []

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (GatedRepoError.__new__(GatedRepoError), "org/name is gated"),
            (RepositoryNotFoundError.__new__(RepositoryNotFoundError), "org/name does not exist on huggingface.co"),
            (RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError), "org/name has no model_index.json"),
            (OSError("no file named model_index.json found"), "org/name has no model_index.json"),
        ],
    )
    def test_what_the_hub_answers(self, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str) -> None:
        asked = []

        def download(_repository: str, **options: object) -> str:
            asked.append(options)
            raise OSError("cannot load") from error

        monkeypatch.setattr(DiffusionPipeline, "download", download)
        assert text in message("org/name")
        assert [options.get("local_files_only", False) for options in asked] == [True, False]
        assert all(options["use_safetensors"] is True for options in asked)
