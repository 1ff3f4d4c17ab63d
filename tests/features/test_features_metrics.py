"""The selection of metrics, thresholds, and statistics in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.features import statistics
from fpsim.features.metrics import selection, threshold
from fpsim.features.network import NetworkRecord
from fpsim.measure.frechet import Gaussian

RECORD = NetworkRecord(name="n.pt", sha256="ab" * 32, architecture="torchscript", resize="none")


def names(text: str | None = None, **given: bool) -> list[str]:
    options = {"features": False, "lpips": False, "paired": True, "images": True, **given}
    return [metric.name for metric in selection(text, **options)]


def test_by_default_what_can_be_had() -> None:
    assert names() == ["psnr", "ssim"]
    assert names(lpips=True) == ["psnr", "ssim", "lpips"]
    assert names(features=True) == ["psnr", "ssim", "fid", "kid", "pr"]
    assert names(features=True, paired=False) == ["fid", "kid", "pr"]
    assert names(features=True, images=False, paired=False) == ["fid"]
    with pytest.raises(FpsimError, match="--features FILE"):
        names(paired=False)


def test_named_metrics_in_their_order() -> None:
    assert names("kid,sfid, kid", features=True) == ["kid", "sfid"]
    with pytest.raises(FpsimError, match="no metric 'is'"):
        names("fid,is", features=True)
    with pytest.raises(FpsimError, match="--features FILE"):
        names("sfid")
    with pytest.raises(FpsimError, match="--lpips FILE"):
        names("lpips", features=True)
    with pytest.raises(FpsimError, match="kid needs the reference's images"):
        names("kid", features=True, images=False)


def test_thresholds() -> None:
    found = threshold(" recall >= 0.5")
    assert str(found) == "recall>=0.5"
    assert (found.met(0.5), found.met(0.49), found.met(float("nan"))) == (True, False, False)
    assert threshold("fid-inf<=-1e-3").met(-0.1)
    for text in ("fid<5", "fid<=", "fid<=x", "fidd<=5", "<=5", "fid<=nan", ""):
        with pytest.raises(FpsimError, match="no threshold"):
            threshold(text)


def test_statistics_come_back_and_know_their_network(tmp_path: Path) -> None:
    pooled = Gaussian(mean=np.arange(3.0), covariance=np.eye(3), count=9)
    spatial = Gaussian(mean=np.zeros(2), covariance=np.eye(2), count=9)
    statistics.write(tmp_path / "s.npz", pooled, spatial, RECORD)
    found = statistics.read(tmp_path / "s.npz")
    np.testing.assert_array_equal(found.pooled.mean, pooled.mean)
    assert found.pooled.count == 9
    assert found.spatial is not None
    statistics.check_network(found, RECORD)
    for changed in ({"sha256": "cd" * 32}, {"resize": "tf1-bilinear"}):
        other = NetworkRecord(**{**RECORD.as_dict(), **changed})
        with pytest.raises(FpsimError, match=f"made with {next(iter(changed))}"):
            statistics.check_network(found, other)


def test_statistics_of_other_evaluators(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(2), sigma=np.eye(2))
    found = statistics.read(tmp_path / "s.npz")
    assert (found.pooled.count, found.spatial, found.network) == (None, None, None)
    statistics.check_network(found, RECORD)


def test_files_without_statistics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match="there is no"):
        statistics.read(tmp_path / "none.npz")
    np.savez(tmp_path / "a.npz", mu=np.zeros(2))
    with pytest.raises(FpsimError, match="no arrays mu and sigma"):
        statistics.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", mu=np.zeros(2), sigma=np.eye(3))
    with pytest.raises(FpsimError, match=r"b.npz: .*\[d\] and \[d, d\]"):
        statistics.read(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_text("text")
    with pytest.raises(FpsimError, match="no npz file"):
        statistics.read(tmp_path / "c.npz")
