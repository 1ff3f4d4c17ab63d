"""``fpsim score`` refuses what does not compare: one line, exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_cases import images, make_network, make_run, score

ROW, FULL = "run#int8/int8", "run#full precision"
FEATURES = ("--features", "net.pt", "--resize", "none")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the cases name; only to be read."""
    folder = tmp_path_factory.mktemp("score")
    make_run(folder / "run")
    make_run(folder / "other", seed=7)
    make_run(folder / "longer", steps=9)
    make_network(folder / "net.pt")
    np.savez(folder / "few.npz", arr_0=images(3, count=12))
    np.savez(folder / "some.npz", arr_0=images(3, count=16))
    np.savez(folder / "large.npz", arr_0=images(3, size=16))
    np.savez(folder / "floats.npz", arr_0=images(3) / 255)
    np.savez(folder / "mu.npz", mu=np.zeros(5), sigma=np.eye(5))
    (folder / "text.npz").write_text("text")
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((ROW,), "one reference is needed"),
        ((ROW, FULL, "--reference-statistics", "mu.npz"), "one reference is needed"),
        (("nowhere.npz", FULL), "there is no 'nowhere.npz'"),
        (("run", FULL), "say which of its rows"),
        (("run#e2m1", FULL), "has no row 'e2m1'"),
        (("text.npz", FULL), "no npz file that can be read"),
        (("floats.npz", FULL), "images are uint8"),
        (("large.npz", FULL), "sets of different sizes do not compare"),
        ((ROW, FULL, "--floor", "large.npz"), "sets of different sizes do not compare"),
        ((ROW, FULL, "--metric", "fid"), "name its file: --features FILE"),
        ((ROW, FULL, "--metric", "lpips"), "name its file: --lpips FILE"),
        ((ROW, FULL, "--metric", "msssim"), "no metric 'msssim'"),
        (("other#full precision", FULL, "--metric", "psnr"), "sampled with seed 7"),
        (("longer#full precision", FULL, "--metric", "ssim"), "sampled with steps 9"),
        (("some.npz", FULL, "--metric", "psnr"), "holds 16 images"),
        (("some.npz", FULL, *FEATURES, "--metric", "fid"), "fid of 16 images against 40"),
        ((ROW, FULL, *FEATURES, "--metric", "pr", "--floor", "some.npz"), "the floor of pr of 16 images against 40"),
        (("few.npz", FULL, *FEATURES, "--metric", "fid", "--allow-unequal-n"), "needs more than 12; take more, or kid"),
        (
            ("few.npz", "some.npz", *FEATURES, "--metric", "fid-inf"),
            "features of 12 samples were given: this measure needs at least 30",
        ),
        ((ROW, FULL, "--limit", "41"), "first 41 cannot be taken"),
        ((ROW, FULL, "--features", "none.pt"), "'none.pt' cannot be read"),
        ((ROW, FULL, "--features", "text.npz"), "no TorchScript file"),
        ((ROW, FULL, "--lpips", "text.npz"), "no safetensors file"),
        ((ROW, FULL, "--features", "net.pt", "--resize", "lanczos"), "no resize rule 'lanczos'"),
        ((ROW, *FEATURES, "--reference-statistics", "mu.npz"), "statistics of 5 and of 12 features"),
        ((ROW, *FEATURES, "--reference-statistics", "mu.npz", "--metric", "kid"), "kid needs the reference's images"),
        ((ROW, *FEATURES, "--reference-statistics", "text.npz"), "no npz file that can be read"),
        ((ROW, *FEATURES, "--reference-statistics", "mu.npz", "--metric", "sfid"), "no statistics of spatial features"),
        ((ROW, FULL, "--save-statistics", "s.npz"), "--save-statistics keeps those of B's features"),
        ((ROW, FULL, "--require", "psnr>20"), "'psnr>20' is no threshold"),
        ((ROW, FULL, "--require", "recall>=0.5"), "add it: --metric …,pr"),
        ((ROW, FULL, "--limit", "0"), "--limit"),
    ],
)
def test_one_line_and_exit_code_2(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(place)
    assert score(*words) == 2
    done = capsys.readouterr()
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]


def test_statistics_of_another_network_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    kept = str(tmp_path / "b.npz")
    cache = ("--cache", str(tmp_path))
    assert score(ROW, FULL, *FEATURES, *cache, "--metric", "fid", "--save-statistics", kept) == 0
    capsys.readouterr()
    assert score(ROW, "--features", "net.pt", *cache, "--reference-statistics", kept) == 2
    assert "made with resize none, the features here with tf1-bilinear" in capsys.readouterr().err


def test_unequal_numbers_and_singular_covariances_on_request(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    words = ("few.npz", FULL, *FEATURES, "--cache", str(tmp_path), "--metric", "fid")
    assert score(*words, "--allow-unequal-n", "--allow-singular") == 0
    out = capsys.readouterr().out
    assert "note: --allow-unequal-n --allow-singular: figures may be biased" in out
    assert out.splitlines()[-1].split()[-2:] == ["12", "40"]
