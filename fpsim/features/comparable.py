"""Which sets may be compared, and what a reader should be told about a comparison."""

from __future__ import annotations

from fpsim.errors import FpsimError
from fpsim.features.images import ImageSet

#: What decides the noise and the trajectory: equal for image-by-image metrics.
_SAME = ("seed", "scheduler", "steps", "prompts", "guidance_scale")


def check_sizes(images: ImageSet, reference: ImageSet) -> None:
    """Refuse images of different sizes or channels.

    Raises:
        FpsimError: they differ.
    """
    ours, theirs = images.images.shape[1:], reference.images.shape[1:]
    if ours != theirs:
        raise FpsimError(
            f"{images.name} holds images of {' x '.join(map(str, ours))}, {reference.name} of "
            f"{' x '.join(map(str, theirs))}: sets of different sizes do not compare"
        )


def check_counts(what: str, images: int, reference: int | None, *, allow: bool) -> None:
    """Refuse different numbers of images where the figure depends on them.

    Raises:
        FpsimError: they differ, and that is not allowed.
    """
    if reference is not None and images != reference and not allow:
        raise FpsimError(
            f"{what} of {images} images against {reference}: it is biased by the numbers; "
            "take equal ones (--limit N), or give --allow-unequal-n"
        )


def pairing_problem(images: ImageSet, reference: ImageSet) -> str | None:
    """Why two sets cannot be compared image by image, or None; unrecorded sets count as from equal noise."""
    if len(images.images) != len(reference.images):
        return f"{images.name} holds {len(images.images)} images and {reference.name} {len(reference.images)}"
    if images.run is None or reference.run is None:
        return None
    ours, theirs = images.run.get("sampling", {}), reference.run.get("sampling", {})
    for key in _SAME:
        mine, other = (f"{key} {sampling.get(key)}" for sampling in (ours, theirs))
        if mine != other:
            return f"{images.name} was sampled with {mine}, {reference.name} with {other}"
    return None


def remarks(images: ImageSet, reference: ImageSet, *, paired: bool, unpaired: bool) -> list[str]:
    """What a reader of the figures should know.

    Args:
        images: the scored set.
        reference: its reference.
        paired: whether image-by-image metrics are among the figures.
        unpaired: whether set metrics are.
    """
    found = []
    unknown = [each.name for each in (images, reference) if each.run is None]
    if paired and unknown:
        found.append(f"no run record beside {' and '.join(unknown)}: that the noise was the same is taken on trust")
    if images.run and reference.run:
        ours, theirs = images.run.get("sampling", {}), reference.run.get("sampling", {})
        if unpaired and ours.get("seed") == theirs.get("seed"):
            found.append("the seed is the same: FID and KID come out too low; see a floor of another seed")
        found += [
            f"{key} differs: {ours.get(key)} against {theirs.get(key)}"
            for key in ("batch_size", "dtype", "device")
            if ours.get(key) != theirs.get(key)
        ]
        models = [each.run.get("model", {}).get("sha256") for each in (images, reference) if each.run]
        if models[0] != models[1]:
            found.append("the two sets come from models with different weights")
    return found
