"""``python -m fpsim``."""

import sys

from fpsim.cli.main import run

sys.exit(run())
