"""Train a bundled diffusion U-Net on real images; resumable, deterministic data order.

    python experiments/train_reference_unet.py fashion-28 --data FASHION_FOLDER --steps 20000
    python experiments/train_reference_unet.py cifar10-32 --data CIFAR_FOLDER --device cuda --steps 200000

An interrupted run continues from its checkpoint in ``--out``. The learning rate is constant after a
warm-up and falls linearly to zero over the last quarter of ``--steps``; a run stopped early can
therefore be finished with a smaller ``--steps``. ``--smoke`` takes 8 tiny steps on random data to
show that the script works; it writes no weights into the package.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import load
from diffusers import UNet2DModel
from safetensors.torch import save_file

TIMESTEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes a bundled model; everything else is the same for both."""

    unet: dict
    batch: int
    lr: float
    ema_decay: float
    flip: bool
    needs_cuda: bool


RECIPES = {
    "fashion-28": Recipe(
        unet={
            "sample_size": 28,
            "in_channels": 1,
            "out_channels": 1,
            "block_out_channels": [32, 64, 128],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
            "up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
            "norm_num_groups": 8,
            "attention_head_dim": 32,
        },
        batch=64,
        lr=5e-4,
        ema_decay=0.999,
        flip=False,  # bags and shoes have a side
        needs_cuda=False,
    ),
    "cifar10-32": Recipe(
        unet={
            "sample_size": 32,
            "in_channels": 3,
            "out_channels": 3,
            "block_out_channels": [64, 128, 128],
            "layers_per_block": 2,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
            "norm_num_groups": 32,
            "attention_head_dim": 32,
            "dropout": 0.1,
        },
        batch=256,
        lr=4e-4,
        ema_decay=0.9998,
        flip=True,
        needs_cuda=True,
    ),
}


def cosine_alpha_bar() -> torch.Tensor:
    """Cumulative products of ``squaredcos_cap_v2`` as diffusers' schedulers compute them, float32 [1000]."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(num_train_timesteps=TIMESTEPS, beta_schedule="squaredcos_cap_v2").alphas_cumprod


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 500 steps, constant, linear decay to 0 over the last quarter."""
    return peak * min(1.0, (step + 1) / 500, (steps - step) / (0.25 * steps))


def batch_indices(step: int, batch: int, count: int, seed: int) -> np.ndarray:
    """Indices of a step's images: epochs are permutations that depend on (seed, epoch) alone."""
    per_epoch = count // batch
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[place * batch : (place + 1) * batch]


def v_loss(model, images, alpha_bar, generator, autocast) -> torch.Tensor:
    """Mean squared error of the v-prediction (Salimans and Ho 2022) at uniform timesteps."""
    t = torch.randint(TIMESTEPS, (len(images),), generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    t, noise = t.to(images.device), noise.to(images.device)
    a = alpha_bar[t].sqrt()[:, None, None, None]
    s = (1 - alpha_bar[t]).sqrt()[:, None, None, None]
    with autocast:
        prediction = model(a * images + s * noise, t).sample
    return torch.nn.functional.mse_loss(prediction.float(), a * noise - s * images)


@torch.no_grad()
def held_out_loss(model, images, alpha_bar, device) -> float:
    """Loss of the EMA weights on up to 2,000 test images, with noise that is the same at each call."""
    generator = torch.Generator().manual_seed(1234)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=False)
    chunks = images[:2000].split(250)
    losses = [v_loss(model, chunk.to(device), alpha_bar, generator, autocast).item() for chunk in chunks]
    return float(np.mean(losses))


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W] in [-1, 1]."""
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


class Training:
    """A model in training with everything that its checkpoint holds.

    Args:
        recipe: what is trained.
        device: where.
        seed: of the initial weights.
    """

    def __init__(self, recipe: Recipe, device: torch.device, seed: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.device = recipe, device
        self.model = UNet2DModel(**recipe.unet).to(device)
        self.ema = UNet2DModel(**recipe.unet).to(device).eval().requires_grad_(False)
        self.ema.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), recipe.lr, weight_decay=0.01)
        self.alpha_bar = cosine_alpha_bar().to(device)
        self.done, self.seconds = 0, 0.0

    def step(self, images: torch.Tensor, generator: torch.Generator, lr: float) -> float:
        """One step on a batch, float32 [N, C, H, W] in [-1, 1]; returns its loss."""
        if self.recipe.flip:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        autocast = torch.autocast(self.device.type, torch.bfloat16)
        loss = v_loss(self.model, images.to(self.device), self.alpha_bar, generator, autocast)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        decay = min(self.recipe.ema_decay, (self.done + 1) / (self.done + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        self.done += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {"model": self.model.state_dict(), "ema": self.ema.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "step": self.done, "seconds": self.seconds}
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.seconds = state["step"], state["seconds"]
        print(f"resumed at step {self.done}", flush=True)


def train(name: str, args: argparse.Namespace) -> None:
    """Train a bundled model, or finish its training."""
    recipe, device = RECIPES[name], torch.device(args.device)
    if recipe.needs_cuda and device.type != "cuda" and not args.smoke:
        raise SystemExit(f"error: {name} needs a CUDA device for its training (--device cuda); --smoke runs on a CPU")
    train_images, test_images = images_of(name, args)
    batch = 8 if args.smoke else recipe.batch
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, training = args.out / "checkpoint.pt", Training(recipe, device, args.seed)
    if not args.smoke:
        training.resume(checkpoint)
    start, before, began, running = training.done, training.seconds, time.monotonic(), None
    while training.done < args.steps:
        step = training.done
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        images = train_images[batch_indices(step, batch, len(train_images), args.seed)]
        loss = training.step(images, generator, learning_rate(step, args.steps, recipe.lr))
        training.seconds = before + time.monotonic() - began
        running = loss if running is None else 0.99 * running + 0.01 * loss
        last = training.done == args.steps
        if training.done % 100 == 0 or last:
            rate = (training.done - start) * batch / (training.seconds - before)
            print(f"step {training.done}/{args.steps}  loss {running:.4f}  {rate:.0f} images/s", flush=True)
        if training.done % args.every == 0 or last:
            training.save(checkpoint)
            record = {
                "model": name,
                "step": training.done,
                "of_steps": args.steps,
                "batch": batch,
                "seed": args.seed,
                "seconds": round(training.seconds),
                "device": device.type,
                "held_out_loss": held_out_loss(training.ema, test_images, training.alpha_bar, device),
            }
            export(training.ema, record, recipe, args.out)
            print(json.dumps(record), flush=True)


def images_of(name: str, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Training and test images; random ones for a smoke run."""
    if not args.smoke:
        train_images, test_images = (to_tensor(load(name, args.data, split)[0]) for split in ("train", "test"))
        return train_images, test_images
    unet = RECIPES[name].unet
    shape = (64, unet["sample_size"], unet["sample_size"], unet["in_channels"])
    random = to_tensor(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    args.steps = 8
    return random, random


def export(ema: UNet2DModel, record: dict, recipe: Recipe, out: Path) -> None:
    """Write the EMA weights as fp16 safetensors, with diffusers' config and the training record beside them."""
    weights = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in ema.state_dict().items()}
    save_file(weights, out / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    ema.save_config(out)
    (out / "training.json").write_text(json.dumps({**record, "recipe": asdict(recipe)}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, help="default runs/train-MODEL")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.data is None and not args.smoke:
        parser.error("--data is needed (or --smoke)")
    args.out = args.out or Path("runs") / f"train-{args.model}{'-smoke' if args.smoke else ''}"
    train(args.model, args)


if __name__ == "__main__":
    main()
