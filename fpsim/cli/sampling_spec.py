"""From the sampling options of a verb to what is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number.user_files import read_text
from fpsim.sample.spec import SampleSpec


def read_spec(options: Mapping[str, Any], images: int) -> SampleSpec:
    """Return the sampling run of the options of :func:`fpsim.cli.sampling_options.sampling_options`.

    Args:
        options: click's values by name.
        images: how many images.

    Raises:
        FpsimError: an option is wrong, or the prompts file cannot be read or holds no prompt.
    """
    prompts = None
    if options["prompts"] is not None:
        lines = read_text(options["prompts"], "prompts file").splitlines()
        prompts = tuple(line.strip() for line in lines if line.strip())
        if not prompts:
            raise FpsimError(f"prompts file {options['prompts']!r} holds no prompt; give one a line")
    return SampleSpec(
        steps=options["steps"],
        num_images=images,
        batch_size=options["batch_size"],
        seed=options["seed"],
        scheduler=options["scheduler"],
        prompts=prompts,
        guidance_scale=options["guidance_scale"],
    )
