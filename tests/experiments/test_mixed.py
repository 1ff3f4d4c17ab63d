"""The evidence of mixed precision: who is compared with whom, what is kept, and a run from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import mixed_precision  # noqa: E402
from mixed_images import Lab, mean_psnr, psnr  # noqa: E402
from mixed_measures import Measures, ranks  # noqa: E402
from mixed_plot import draw  # noqa: E402
from mixed_rows import Row, ranking, rival, verdicts  # noqa: E402
from mixed_scores import FULL, scored_points, scores_table  # noqa: E402
from mixed_settings import FAMILIES, SMOKE, How, Point, tiers  # noqa: E402
from mixed_tables import pairs_table, points_table  # noqa: E402

from fpsim.methods.importance.store import NumberStore  # noqa: E402


def row(name: str, size: int, *psnr: float, group: str = "uniform", budget: float = 0.0, bins: int = 1) -> Row:
    point = Point(group=group, name=name, budget=budget, bins=bins)
    return Row(point=point, bits=size / 100, bytes=size, psnr=psnr, mean=psnr, counts={"int4": 1})


@pytest.fixture
def found() -> list[Row]:
    """Two measures and some uniform formats."""
    uniform = [row("int4", 410, 27, 27.5), row("int5", 510, 29, 29), row("e2m1", 410, 26, 26), row("e4m3", 810, 35, 35)]
    good = [row("fisher", int(100 * b), 20 + 3 * b, 20 + 3 * b, group="formats", budget=b) for b in (4, 4.5, 6)]
    poor = [row("orm", int(100 * b), 10.0, 11.0, group="formats", budget=b) for b in (4, 4.5, 6)]
    return [*uniform, *good, *poor]


def test_the_rival_is_the_smallest_that_is_not_smaller(found: list[Row]) -> None:
    by = {(each.point.name, each.point.budget): each for each in found}
    names = [
        [getattr(rival(found, by["fisher", budget], integer=integer), "point", None) for integer in (True, False)]
        for budget in (4, 4.5, 6)
    ]
    assert [[point and point.name for point in pair] for pair in names] == [
        ["int4", "e2m1"],
        ["int5", "e4m3"],
        [None, "e4m3"],
    ]
    better = row("e1m2", 410, 30, 30)
    assert rival([*found, better], by["fisher", 4], integer=False) is better


def test_sets_are_scored_once_and_only_finished_ones_are_shown(found: list[Row], tmp_path: Path) -> None:
    names = [(point.name, point.budget) for point in scored_points(found)]
    assert names[:5] == [(FULL.name, 0), ("fisher", 4), ("int4", 0), ("e2m1", 0), ("orm", 4)]
    assert len(set(names)) == len(names) == 11  # e4m3 is a rival twice, int8 is not there
    folder = tmp_path / "scored-8"
    folder.mkdir()
    kid = {"formats-fisher-4-bits": (0.001, 0.002), "uniform-int4": (0.004, 0.003), "uniform-e2m1": (0.0005, 0.003)}
    for name, values in kid.items():
        for seed, value in enumerate(values):
            scores = [{"metric": "kid", "value": value}]
            (folder / f"{name}-{seed}.json").write_text(json.dumps({"scores": scores}), encoding="utf-8")
    lab: Any = SimpleNamespace(folder=tmp_path, how=How(seeds=(0, 1), scored=8), fresh=False)
    title, heading, *rows, first, second = scores_table(lab, found, Path("features.pt"))
    assert title.startswith("2 sets of 8 images")
    assert "FID" not in heading
    assert [each.split()[0] for each in rows] == ["fisher,", "int4", "e2m1"]
    assert "1.50 ± 0.71" in rows[0]
    assert first.endswith("KID smaller by 2.00 ± 1.41, in 2 of 2 sets: nearer")
    assert second.endswith("in 1 of 2 sets: undecided")


def test_the_verdict_says_what_lost_too(found: list[Row]) -> None:
    text = "\n".join(verdicts(found))
    assert "The best measure is fisher; orm is number 2 of 2." in text
    won = "(32.00 dB) against uniform int4 at 4.10 (27.25 dB): 4.75 ± 0.35 dB (mean of images 4.75 ± 0.35),\n"
    assert f"  fisher at 4.00 bits {won}    better in 2 of 2 seeds: lower error" in text
    lost = "(33.50 dB) against uniform e4m3 at 8.10 (35.00 dB): -1.50 ± 0.00 dB (mean of images -1.50 ± 0.00),\n"
    assert f"  fisher at 4.50 bits {lost}    better in 0 of 2 seeds: higher error" in text
    assert "fisher, 6 bits (formats), 600 bytes, 6.00 bits, 38.00 dB, in 2 of 2 seeds" in text


def test_a_measure_without_all_budgets_is_not_ranked(found: list[Row]) -> None:
    extra = row("mse", 400, 90, 90, group="formats", budget=4.0)
    assert [name for name, _ in ranking([*found, extra], "formats")] == ["fisher", "orm"]


def test_tables_and_picture(found: list[Row], tmp_path: Path) -> None:
    lines = list(points_table(found))
    assert len(lines) == 1 + len(found)
    assert [int(line[44:55].replace(",", "")) for line in lines[1:]] == sorted(each.bytes for each in found)
    bins = [row("none", 1, 30, 31, group="bins"), row("none", 1, 33, 32, group="bins", bins=8)]
    last = list(pairs_table(bins))[-1]
    assert "8 timestep bins" in last
    assert " 2.00 ± 1.41 2/2" in last
    draw(found, tmp_path / "x.png", "title")
    assert 5_000 < (tmp_path / "x.png").stat().st_size < 300_000


def test_psnr_of_errors() -> None:
    assert psnr([1.0, 3.0]) == pytest.approx(10 * np.log10(255**2 / 2))
    assert mean_psnr([1.0, 4.0]) == pytest.approx(10 * np.log10(255**2 / 2))
    assert mean_psnr([0.0]) == pytest.approx(80)


def test_points_are_distinct_and_families_hold_both_kinds() -> None:
    for how in (How(), SMOKE):
        points = [point for group in tiers(how) for point in group]
        assert len(points) == len(set(points))
    assert {"int2", "int8", "e2m1", "e4m3"} <= set(FAMILIES["formats"])


def test_ranks_read_harms_or_importance() -> None:
    store = NumberStore(None)
    harm = [[float(i) for _ in FAMILIES["widths"]] for i in range(4)]
    store.found |= {
        "harm sensitivity widths": {"harm": harm, "importance": None},
        "harm mse widths": {"harm": harm[::-1], "importance": None},
        "harm orm widths": {"harm": harm[::-1], "importance": [1, 2, 3, 4]},
    }
    model: Any = SimpleNamespace(denoiser=torch.nn.Linear(2, 2))
    measures = Measures(model, How(), Path(), store)
    assert ranks(measures, ("orm", "mse"), "widths", "int4") == pytest.approx({"orm": 1.0, "mse": -1.0})


class Means(torch.nn.Module):
    """A network for KID."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.mark.filterwarnings("ignore")
def test_a_run_keeps_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.trace(Means(), torch.zeros(1, 3, 16, 16)).save("net.pt")
    monkeypatch.setattr(sys, "argv", "mixed_precision.py --smoke --features net.pt".split())
    mixed_precision.main()
    text = capsys.readouterr().out
    assert "8 of 8 points finished" in text
    assert "orm is number " in text
    scored = text[text.index("KID against") :].splitlines()
    names = [line[:32].strip() for line in scored[3:]]
    assert names[0] == "full precision, other noise"
    assert {"orm, 4.5 bits", "random, 4.5 bits", "e4m3"} <= set(names[1:])
    assert (tmp_path / "runs/mixed_precision/smoke/mixed_precision.png").is_file()
    monkeypatch.setattr(Lab, "images", lambda *_: pytest.fail("sampled again"))
    monkeypatch.setattr(Measures, "_measure", lambda *_: pytest.fail("measured again"))
    mixed_precision.main()
    assert capsys.readouterr().out == text
