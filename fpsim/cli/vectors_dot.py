"""``fpsim vectors --op dot``: vectors of matrix units."""

from __future__ import annotations

from typing import Any

import click

from fpsim.errors import FpsimError

#: Options that only ``--op dot`` has, and those that it has not.
ONLY, NOT = (
    ("arch", "dtype", "instruction", "accumulator"),
    (
        "name",
        "bias",
        "specials",
        "no_subnormals",
        "files",
        "rounding",
        "overflow",
        "nan",
        "random_bits",
        "kind",
    ),
)
_SPELLED = {"name": "format", "kind": "input", "files": "formats-file"}


def check_options(options: dict[str, Any]) -> None:
    """Refuse options that the operation does not have, and missing ones.

    Raises:
        FpsimError: names the option.
    """
    dot = options["op"] == "dot"
    context = click.get_current_context()
    for key in NOT if dot else ONLY:
        if context.get_parameter_source(key) is not click.core.ParameterSource.DEFAULT:
            option = _SPELLED.get(key, key.replace("_", "-"))
            raise FpsimError(f"--{option} belongs to other operations than '{options['op']}'; drop it")
    if not dot and options["name"] is None:
        raise FpsimError(f"--op {options['op']} needs a number format; give --format, such as e4m3")
    if dot and (options["arch"] is None or options["dtype"] is None):
        raise FpsimError("--op dot needs --arch and --dtype, such as --arch hopper --dtype e4m3")


def dot_text(options: dict[str, Any], writer: str) -> tuple[str, int]:
    """Return the file's text and how many vectors it holds.

    Args:
        options: the verb's.
        writer: the name of the function that writes them.
    """
    from tqdm import tqdm

    from fpsim.tensorcore import vector_files
    from fpsim.tensorcore.vectors import DotRequest, dot_vectors

    given = click.get_current_context().get_parameter_source("count")
    request = DotRequest(
        arch=options["arch"],
        dtype=options["dtype"],
        instruction=options["instruction"],
        accumulator=options["accumulator"],
        count=100 if given is click.core.ParameterSource.DEFAULT else options["count"],
        seed=options["seed"],
    )
    found = list(tqdm(dot_vectors(request), unit="vector", disable=None, leave=False))
    return getattr(vector_files, writer)(request, found), len(found)
