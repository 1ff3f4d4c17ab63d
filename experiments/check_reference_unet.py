"""Is the bundled model any good? A classifier trained on the real images judges its samples.

    python experiments/check_reference_unet.py fashion-28 --data FASHION_FOLDER [--samples 1000]

Trains a small convolutional classifier on the real training set (cached in runs/), samples the model, and prints
the classifier's accuracy on the real test set, the mean top-class confidence of the samples and the share of each
class; exits 3 where the bounds are missed. Writes a sheet of the first 64 samples, unselected. ``--smoke`` takes a
few images and no bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from datasets import load
from torch import nn
from torch.nn import functional as F
from train_reference_unet import to_tensor

from fpsim.model.load import load as load_model
from fpsim.report.sheet import contact_sheet
from fpsim.sample.run import sample_into
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import RunFolder

ACCURACY, CONFIDENCE, SHARE = 0.90, 0.80, 0.04


def classifier(channels: int, size: int) -> nn.Module:
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * (size // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def fit(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Train with AdamW and a cosine learning rate, batch 128, fixed seed."""
    torch.manual_seed(0)
    steps = epochs * (len(images) // 128)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for batch in order[: len(order) // 128 * 128].split(128):
            loss = F.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"classifier epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}", file=sys.stderr)
    net.eval()


@torch.no_grad()
def probabilities(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class probabilities [N, 10]."""
    return torch.cat([net(chunk).softmax(1) for chunk in images.split(500)])


def trained(args: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """The classifier, trained now or read from the cache."""
    net = classifier(images.shape[3], images.shape[1])
    cache = Path("runs") / f"classifier-{args.model}{'-smoke' if args.smoke else ''}.pt"
    if cache.exists():
        net.load_state_dict(torch.load(cache, weights_only=True))
        return net.eval()
    fit(net, to_tensor(images), torch.from_numpy(labels), 1 if args.smoke else 6)
    cache.parent.mkdir(exist_ok=True)
    torch.save(net.state_dict(), cache)
    return net


def sample(args: argparse.Namespace) -> np.ndarray:
    """Samples of the model, uint8 [N, H, W, C], resumable."""
    model = load_model(args.model)
    spec = SampleSpec(
        steps=args.steps, num_images=args.samples, batch_size=100, seed=args.seed, scheduler=None, prompts=None,
        guidance_scale=None,
    )  # fmt: skip
    config = {"sha256": model.sha256, "steps": args.steps, "samples": args.samples, "seed": args.seed}
    store = RunFolder(args.out, config).store("samples")
    sample_into(store, model, spec, on_step=lambda b, i, n: print(f"batch {b}: {i}/{n}", end="\r", file=sys.stderr))
    return store.merge(len(spec.batches()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=["fashion-28", "cifar10-32"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.samples, args.steps = 8, 2
    args.out = args.out or Path("runs") / f"check-{args.model}{'-smoke' if args.smoke else ''}"
    images, labels = load(args.model, args.data, "train")
    test_images, test_labels = load(args.model, args.data, "test")
    if args.smoke:
        images, labels, test_images, test_labels = (a[:512] for a in (images, labels, test_images, test_labels))
    net = trained(args, images, labels)
    accuracy = float((probabilities(net, to_tensor(test_images)).argmax(1).numpy() == test_labels).mean())
    samples = sample(args)
    contact_sheet(args.out / "samples.png", samples[:64], 8)
    judged = probabilities(net, to_tensor(samples))
    shares = np.bincount(judged.argmax(1).numpy(), minlength=10) / len(samples)
    result = {
        "model": args.model, "samples": len(samples), "steps": args.steps, "seed": args.seed,
        "classifier_test_accuracy": round(accuracy, 4),
        "mean_top_class_confidence": round(float(judged.max(1).values.mean()), 4),
        "class_shares": [round(float(s), 4) for s in shares],
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    held = accuracy >= ACCURACY and result["mean_top_class_confidence"] >= CONFIDENCE and shares.min() >= SHARE
    bounds = f"accuracy >= {ACCURACY}, confidence >= {CONFIDENCE}, each class >= {SHARE}"
    print(f"bounds ({bounds}): {'held' if held else 'missed'}")
    return 0 if held or args.smoke else 3


if __name__ == "__main__":
    sys.exit(main())
