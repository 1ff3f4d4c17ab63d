"""Loading: what each kind of model becomes, and what each kind of bad input says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tiny_pipelines import TinyFolders, save_bare, tiny_unet

from fpsim.errors import FpsimError
from fpsim.model import bundled
from fpsim.model.load import load
from fpsim.model.quiet import quiet

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny: TinyFolders, tmp_path: Path) -> Callable[[str], Path]:
    """A model's folder that the test may damage."""
    return lambda kind: Path(shutil.copytree(tiny(kind), tmp_path / kind))


def message(requested: object, **options: Any) -> str:
    """The error of a load that must fail, which is always one line."""
    with pytest.raises(FpsimError) as caught:
        load(str(requested), **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def change_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("name", "kind", "denoiser", "scheduler", "vae"),
    [
        ("bare", "unconditional", "UNet2DModel", "DDIMScheduler", "NoneType"),
        ("ddpm", "unconditional", "UNet2DModel", "DDPMScheduler", "NoneType"),
        ("ddpm-flat", "unconditional", "UNet2DModel", "DDPMScheduler", "NoneType"),
        ("ddim", "unconditional", "UNet2DModel", "DDIMScheduler", "NoneType"),
        ("ldm", "latent-unconditional", "UNet2DModel", "DDIMScheduler", "VQModel"),
        ("sd", "text-to-image", "UNet2DConditionModel", "PNDMScheduler", "AutoencoderKL"),
        ("sdxl", "text-to-image", "UNet2DConditionModel", "EulerDiscreteScheduler", "AutoencoderKL"),
    ],
)
def test_each_kind(tiny: TinyFolders, name: str, kind: str, denoiser: str, scheduler: str, vae: str) -> None:
    folder = tiny(name)
    model = load(str(folder))
    types = [type(item).__name__ for item in (model.denoiser, model.scheduler, model.vae)]
    assert (model.kind, *types) == (kind, denoiser, scheduler, vae)
    assert (model.pipeline is None) == (name == "bare")
    assert (model.name, model.requested, model.source) == (folder.name, str(folder), f"folder {folder.name}")
    weights = folder / (WEIGHTS if name in ("bare", "ddpm-flat") else f"unet/{WEIGHTS}")
    stored, loaded = load_file(weights), model.denoiser.state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[key].float(), loaded[key]) for key in stored)
    assert model.parameters == sum(tensor.numel() for tensor in stored.values())
    assert not model.denoiser.training


def test_the_scheduler_of_a_bare_model_is_the_one_beside_it(tiny: TinyFolders) -> None:
    config = load(str(tiny("bare"))).scheduler.config
    assert (config.beta_schedule, config.prediction_type, config.clip_sample) == (
        "squaredcos_cap_v2",
        "v_prediction",
        True,
    )


def test_fingerprint_depends_on_the_weights_alone(tiny: TinyFolders, copy: Callable[[str], Path]) -> None:
    assert load(str(tiny("ddpm"))).sha256 == load(str(tiny("ddpm-flat"))).sha256
    assert load(str(tiny("ddpm")), dtype="bfloat16").sha256 == load(str(tiny("ddpm"))).sha256
    folder = copy("bare")
    before = load(str(folder)).sha256
    weights = load_file(folder / WEIGHTS)
    weights["conv_out.bias"][0] += 1
    save_file(weights, folder / WEIGHTS)
    assert load(str(folder)).sha256 != before


@pytest.mark.parametrize("name", ["bare", "ldm", "sdxl"])
def test_dtype_applies_to_every_network(tiny: TinyFolders, name: str) -> None:
    model = load(str(tiny(name)), dtype="bfloat16")
    networks = [model.denoiser] if model.pipeline is None else model.pipeline.components.values()
    dtypes = {p.dtype for net in networks if isinstance(net, torch.nn.Module) for p in net.parameters()}
    assert dtypes == {torch.bfloat16}


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

    def test_not_cached_and_not_reachable(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert message("org/name") == (
            "org/name is not in the local Hugging Face cache and could not be downloaded (nor is it a folder here): "
            "run 'hf download org/name' on a machine with network, or pass a folder"
        )
        assert capfd.readouterr() == ("", "")

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


class TestBadFolders:
    def test_without_config(self, tmp_path: Path) -> None:
        assert "has no config.json: pass a diffusers model or pipeline folder" in message(tmp_path)

    def test_malformed_config(self, copy: Callable[[str], Path]) -> None:
        folder = copy("bare")
        (folder / "config.json").write_text("{")
        assert re.search(r"config\.json cannot be read \(Expecting", message(folder))
        (folder / "config.json").write_text("[]")
        assert "config.json holds no JSON object" in message(folder)

    def test_without_scheduler(self, tmp_path: Path) -> None:
        assert "has no scheduler_config.json" in message(save_bare(tmp_path, scheduler=False))

    @pytest.mark.parametrize(("name", "text"), [("DDIMSchedular", "'DDIMSchedular'"), ("UNet2DModel", "'UNet2DModel'")])
    def test_unknown_scheduler(self, copy: Callable[[str], Path], name: str, text: str) -> None:
        folder = copy("bare")
        change_json(folder / "scheduler_config.json", _class_name=name)
        assert f"names the scheduler {text}" in message(folder)

    def test_refused_scheduler_value(self, copy: Callable[[str], Path]) -> None:
        folder = copy("bare")
        change_json(folder / "scheduler_config.json", beta_schedule="cosy")
        assert "scheduler_config.json is refused by diffusers (cosy" in message(folder)

    def test_a_conditional_unet_alone(self, tiny: TinyFolders) -> None:
        assert "holds a UNet2DConditionModel, which cannot be sampled on its own" in message(tiny("sd") / "unet")

    def test_class_labels_and_missing_size(self, tmp_path: Path) -> None:
        folder = save_bare(tmp_path)
        tiny_unet(num_class_embeds=10).save_pretrained(folder)
        assert "needs class labels" in message(folder)
        tiny_unet(size=None).save_pretrained(folder)
        assert "has no sample_size" in message(folder)

    def test_pipelines_that_need_more_than_prompts(self, copy: Callable[[str], Path]) -> None:
        folder = copy("sd")
        change_json(folder / "model_index.json", _class_name="StableDiffusionImg2ImgPipeline")
        assert "a StableDiffusionImg2ImgPipeline cannot be sampled from noise and prompts alone" in message(folder)

    def test_own_code_is_never_run(self, copy: Callable[[str], Path]) -> None:
        folder = copy("ddpm")
        (folder / "pipeline.py").write_text("raise SystemExit('ran')")
        change_json(folder / "model_index.json", _class_name=["pipeline", "Mine"])
        assert "own code is never run" in message(folder)

    def test_unknown_pipeline_class(self, copy: Callable[[str], Path]) -> None:
        folder = copy("ddpm")
        change_json(folder / "model_index.json", _class_name="NoSuchPipeline")
        assert "could not be loaded as a pipeline" in message(folder)


class TestBadWeights:
    @pytest.mark.parametrize("content", [b"", b"garbage" * 100, None], ids=["empty", "garbage", "truncated"])
    def test_corrupt(self, copy: Callable[[str], Path], content: bytes | None) -> None:
        file = copy("bare") / WEIGHTS
        file.write_bytes(file.read_bytes()[:5000] if content is None else content)
        assert re.search(rf"UNet2DModel: .*{WEIGHTS} is corrupt \(.+\): get an intact copy", message(file.parent))

    @pytest.mark.parametrize("file", [f"unet/{WEIGHTS}", f"vae/{WEIGHTS}", "text_encoder/model.safetensors"])
    def test_corrupt_component(self, copy: Callable[[str], Path], file: str) -> None:
        folder = copy("sd")
        (folder / file).write_bytes(b"garbage" * 100)
        text = message(folder)
        assert text.startswith(f"{file.split('/')[0]} (")
        assert f"{file} is corrupt" in text

    @pytest.mark.parametrize(
        ("file", "pickled"), [(f"unet/{WEIGHTS}", "model.bin"), ("text_encoder/model.safetensors", "pytorch_model.bin")]
    )
    def test_pickles_are_never_opened(self, copy: Callable[[str], Path], file: str, pickled: str) -> None:
        weights = copy("sd") / file
        torch.save(load_file(weights), weights.with_name(pickled))
        weights.unlink()
        assert f"has only pickled weights ({pickled})" in message(weights.parents[1])

    def test_no_weights_at_all(self, copy: Callable[[str], Path]) -> None:
        folder = copy("bare")
        (folder / WEIGHTS).unlink()
        assert "has no safetensors weights" in message(folder)

    @pytest.mark.parametrize("file", [f"unet/{WEIGHTS}", "text_encoder/model.safetensors"])
    def test_a_missing_tensor_is_not_made_up(self, copy: Callable[[str], Path], file: str) -> None:
        weights = copy("sd") / file
        tensors = load_file(weights)
        name = sorted(tensors)[0]
        save_file({key: value for key, value in tensors.items() if key != name}, weights, metadata={"format": "pt"})
        text = message(weights.parents[1])
        assert f"{name.removeprefix('text_model.')}' is missing from the file" in text

    def test_another_shape(self, copy: Callable[[str], Path]) -> None:
        folder = copy("bare")
        tensors = load_file(folder / WEIGHTS)
        tensors["conv_in.weight"] = tensors["conv_in.weight"][:4].contiguous()
        save_file(tensors, folder / WEIGHTS)
        assert "conv_in.weight" in message(folder)

    @pytest.mark.parametrize(("value", "what"), [(float("nan"), "NaN"), (float("-inf"), "Inf")])
    @pytest.mark.parametrize(
        ("file", "label"),
        [(f"unet/{WEIGHTS}", "unet"), (f"vae/{WEIGHTS}", "vae"), ("text_encoder/model.safetensors", "text_encoder")],
    )
    def test_not_finite(self, copy: Callable[[str], Path], value: float, what: str, file: str, label: str) -> None:
        weights = copy("sd") / file
        tensors = load_file(weights)
        name = sorted(key for key in tensors if key.endswith("weight"))[-1]
        tensors[name].view(-1)[1] = value
        save_file(tensors, weights, metadata={"format": "pt"})
        text = message(weights.parents[1])
        assert text.startswith(f"the weights of {label} (")
        assert f"contain {what}: tensor '{name}' has 1 values of {tensors[name].numel()}" in text


def test_safety_checker_and_feature_extractor_are_not_needed(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    change_json(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )
    pipeline = load(str(folder)).pipeline
    assert pipeline is not None
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None


@pytest.mark.parametrize("name", ["bare", "ddpm", "ldm", "sd", "sdxl"])
def test_loading_prints_nothing(tiny: TinyFolders, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = str(tiny(name))
    capfd.readouterr()
    load(folder)
    assert capfd.readouterr() == ("", "")


def test_quiet_puts_everything_back() -> None:
    log = diffusers.utils.logging
    log.set_verbosity_info()
    try:
        with quiet():
            assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (log.ERROR, False)
        assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (log.INFO, True)
    finally:
        log.set_verbosity_warning()
