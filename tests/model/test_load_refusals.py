"""Folders and weights that are refused, each with its one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from load_checks import WEIGHTS, change_json, message
from safetensors.torch import load_file, save_file
from tiny_folders import TinyFolders
from tiny_pipelines import save_bare, tiny_unet


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
