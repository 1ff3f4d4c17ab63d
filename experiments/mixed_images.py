"""Images of quantized models against those of full precision, for each seed; what is finished is kept."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from mixed_measures import Chosen, Measures
from mixed_settings import How, Point
from numpy.typing import NDArray

import fpsim
from fpsim.methods.calibration import calibrate
from fpsim.methods.importance.store import NumberStore
from fpsim.model.load import LoadedModel
from fpsim.model.samples import LayerSample
from fpsim.model.split import find_splits
from fpsim.quant import policy_toml
from fpsim.sample.denoise import sample_batch
from fpsim.sample.npz import read_npz, write_npz
from fpsim.sample.spec import SampleSpec

#: Images of the calibration that gives inputs their static scales.
CALIBRATION = 8


class Lab:
    """Samples a model in every quantization and keeps its images' errors.

    Args:
        model: loaded once, not quantized.
        how: sizes.
        folder: where everything is kept.
        store: of the errors.
        fresh: whether to sample what is not there yet.
    """

    def __init__(self, model: LoadedModel, how: How, folder: Path, store: NumberStore, *, fresh: bool = True) -> None:
        self.model, self.how, self.folder, self.store, self.fresh = model, how, folder, store, fresh
        self.measures = Measures(model, how, folder, store)
        self._samples: dict[str, LayerSample] | None = None

    def errors(self, point: Point, seed: int) -> list[float] | None:
        """Mean squared error of each image in squared steps of 8 bits, or None if it is not there and must not be."""
        if point.mixed and not self.fresh and not self._allocated(point, seed):
            return None
        chosen = self.measures.chosen(point, seed)
        key = self._key(point, chosen, seed)
        if not self.fresh and key not in self.store.found:
            return None
        return list(self.store.get(key, lambda: self._errors(point, chosen, seed)))

    def images(self, point: Point | None, seed: int, count: int) -> NDArray[np.uint8]:
        """So many images of a point, or of full precision; not kept."""
        if point is None:
            return self._sample(seed, count)
        split = find_splits(self.model.denoiser, point.split)
        policy = self.measures.chosen(point, seed).policy
        with fpsim.quantize_(self.model.denoiser, policy, self._calibration() if point.acts else None, split=split):
            return self._sample(seed, count)

    def full(self, seed: int) -> NDArray[np.uint8]:
        """The full-precision images of a seed."""
        path = self.folder / f"full-{seed}.npz"
        if not path.is_file():
            write_npz(path, {"arr_0": self.images(None, seed, self.how.images)})
        return np.asarray(read_npz(path)["arr_0"])

    def _allocated(self, point: Point, seed: int) -> bool:
        draw = seed if point.name == "random" else 0
        return f"allocation {point.group} {point.name} {point.budget:g} {draw}" in self.store.found

    def _errors(self, point: Point, chosen: Chosen, seed: int) -> list[float]:
        full = self.full(seed).astype(np.float64)
        print(f"seed {seed}: {point.group}, {point.label}, {chosen.bytes:,} bytes", file=sys.stderr, flush=True)
        images = self.images(point, seed, self.how.images)
        return [float(error) for error in np.square(full - images).mean(axis=(1, 2, 3))]

    def _key(self, point: Point, chosen: Chosen, seed: int) -> str:
        text = policy_toml.dumps(chosen.policy)
        return f"errors {seed} {point.split} {hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def _sample(self, seed: int, count: int) -> NDArray[np.uint8]:
        spec = SampleSpec(steps=self.how.steps, num_images=count, batch_size=self.how.batch, seed=seed)
        return np.concatenate([sample_batch(self.model, spec, batch) for batch in spec.batches()])

    def _calibration(self) -> dict[str, LayerSample]:
        if self._samples is None:
            size = min(CALIBRATION, self.how.images)
            spec = SampleSpec(steps=self.how.steps, num_images=size, batch_size=size, seed=0)
            split = find_splits(self.model.denoiser, "shortcut")
            found = calibrate(self.model, spec, size, self.folder / "calibration", lambda *_: None, split)
            self._samples = dict(found.samples)
        return self._samples


def psnr(errors: list[float]) -> float:
    """PSNR in dB of the mean squared error over images, as the records of runs have it."""
    return float(10 * np.log10(255**2 / np.mean(errors)))


def mean_psnr(errors: list[float]) -> float:
    """The mean of the images' PSNR in dB, an identical image counting as 80."""
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 255**2 / 10**8))))
