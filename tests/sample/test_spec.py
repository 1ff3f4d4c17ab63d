"""What a sampling specification accepts, and how it is cut into batches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim.errors import FpsimError
from fpsim.sample.spec import SampleSpec

GOOD: dict[str, Any] = {"steps": 2, "num_images": 4, "batch_size": 2, "seed": 0}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"num_images": 0}, "num_images is 0: give an integer of at least 1"),
        ({"steps": 0}, "steps is 0: give an integer of at least 1"),
        ({"batch_size": 0}, "batch_size is 0: give an integer of at least 1"),
        ({"seed": -1}, "seed is -1: give an integer of at least 0"),
        ({"steps": 2.5}, "steps is 2.5: give an integer"),
        ({"steps": True}, "steps is True: give an integer"),
        ({"num_images": 2**32 + 1}, "at most 2^32 images"),
        ({"prompts": ()}, "at least one prompt"),
        ({"prompts": "red dog"}, "give a tuple"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
    ],
)
def test_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(FpsimError) as caught:
        SampleSpec(**{**GOOD, **change})
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(count=st.integers(1, 500), size=st.integers(1, 600))
def test_batches_are_fixed_chunks(count: int, size: int) -> None:
    batches = SampleSpec(**{**GOOD, "num_images": count, "batch_size": size}).batches()
    assert [index for batch in batches for index in batch] == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


def test_prompts_go_round_by_image_index() -> None:
    spec = SampleSpec(**GOOD, prompts=("a", "b", "c"))
    assert spec.prompts_of(range(2, 7)) == ["c", "a", "b", "c", "a"]
    assert SampleSpec(**GOOD).prompts_of(range(3)) == []


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("text-to-image", {}, "needs prompts"),
        ("unconditional", {"prompts": ("a",)}, "is unconditional and takes no prompts"),
        ("latent-unconditional", {"prompts": ("a",)}, "is latent-unconditional and takes no prompts"),
        ("unconditional", {"guidance_scale": 2.0}, "has no guidance"),
    ],
)
def test_prompts_must_fit_the_model(kind: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(FpsimError, match=text):
        SampleSpec(**GOOD, **options).check_kind(kind)


def test_prompts_that_fit() -> None:
    SampleSpec(**GOOD).check_kind("unconditional")
    SampleSpec(**GOOD, prompts=("",), guidance_scale=0.0).check_kind("text-to-image")
