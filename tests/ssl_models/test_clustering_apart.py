"""K-means in another process finds what it finds in this one, and says what went wrong there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ssl_models.clustering import cluster
from ssl_models.clustering_apart import ROOT, cluster_apart, require_faiss


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, while the working directory is none of the project's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def test_the_result_is_that_of_clustering_here_and_no_file_is_left(features: np.ndarray, elsewhere: Path) -> None:
    settings = {"clusters": 7, "iterations": 4, "seed": 3, "threads": 1}
    assignments, centroids = cluster_apart(features, **settings)
    expected = cluster(features, **settings)
    assert assignments.dtype == np.int64
    assert assignments.tobytes() == expected.assignments.tobytes()
    assert centroids.tobytes() == expected.centroids.tobytes()
    assert list(elsewhere.iterdir()) == []


def test_an_error_is_told_by_its_last_line_and_no_file_is_left(features: np.ndarray, elsewhere: Path) -> None:
    with pytest.raises(RuntimeError) as told:
        cluster_apart(features, clusters=61, seed=0)
    assert str(told.value) == (
        "k-means failed: ValueError: clusters = 61 is more than the 60 samples; choose at most 60"
    )
    assert list(elsewhere.iterdir()) == []


def test_features_that_are_all_alike_are_told_as_a_collapse() -> None:
    with pytest.raises(RuntimeError, match=r"^k-means failed: .*all 9 samples have the same features.*has collapsed$"):
        cluster_apart(np.ones((9, 4), np.float32), clusters=2, seed=0)


def test_a_process_that_says_nothing_is_told_by_its_status(
    features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match=r"^k-means failed: it ended with 1$"):
        cluster_apart(features, clusters=2, seed=0)


def test_the_process_does_not_load_torch() -> None:
    code = "import faiss, sys, ssl_models.clustering, ssl_models.clustering_apart; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_faiss_that_is_not_installed_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    require_faiss("deepcluster")
    monkeypatch.setattr("ssl_models.clustering_apart.find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"^deepcluster clusters by faiss, which is not installed: pip install faiss-cpu$"
    ):
        require_faiss("deepcluster")
