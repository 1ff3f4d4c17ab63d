"""fpsim beside the libraries that also simulate number formats: ``make bench-peers``.

    python tests/bench/bench_peers.py [--quick] [--size 24] [--rounds 5] [--peers torch,gfloat] [--folder .venv-peers]

float32 numbers of N(0, 1), value to value, encoded and decoded, on one thread and on all, then on a CUDA device if
there is one. All calls on arrays of a size are timed in turn, round after round, and show their medians. Calls that
need more than 20 ns an element get a smaller array, which their row states, and are compared with a copy and with
fpsim at that size.

    x copy        ratio to copying as many bytes as the call has to move (8 an element, 5 with codes) into a ready array
    x fpsim       ratio to fpsim with a ready array
    max, over     the largest value that the call leaves as it is, and what it makes of twice that
    unlike fpsim  results with other bits than fpsim's, over the whole array, by cause; in fpsim's own rows, than those
                  of its NumPy twin
    compiled      by torch.compile

Idle OpenMP threads sleep (OMP_WAIT_POLICY=passive): there are several runtimes in the process, and otherwise they spin
in each other's way.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PEERS = ("torch", "ml_dtypes", "gfloat", "brevitas", "torchao", "pychop", "apytypes", "qtorch")
FOLDER = Path(__file__).resolve().parents[2] / ".venv-peers"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2^20 numbers and three rounds: does it run at all?")
    parser.add_argument("--size", type=int, default=24, help="power of two of the array's size, 12 to 30")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS), help="some of the default; an empty word for none")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the peers are installed")
    args = parser.parse_args()
    args.peers = [name for name in args.peers.split(",") if name]
    if unknown := sorted(set(args.peers) - set(PEERS)):
        parser.error(f"no adapter for {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if not 12 <= args.size <= 30 or args.rounds < 1:
        parser.error("--size takes 12 to 30 and --rounds at least 1")
    return args


def main() -> None:
    """Measure and print."""
    args = arguments()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the runtimes are loaded, which is in peers.run
    from peers.run import run

    run(args.peers, args.folder, *((20, 3) if args.quick else (args.size, args.rounds)))


if __name__ == "__main__":
    main()
