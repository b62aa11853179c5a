"""docs/photographs.ipynb runs from a folder to a map, a verdict and an export, as its reader would run it."""

import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.tasks.conftest import ROOT, make_project

NOTEBOOK = ROOT / "docs" / "photographs.ipynb"
SIZE = 16


def photographs(folder: Path) -> Path:
    """120 pictures in six folders, a fifth of them to measure on; those of a folder look alike."""
    draws = np.random.default_rng(0)
    for place in range(6):
        colour = draws.integers(40, 215, 3)
        (folder / f"trip {place}").mkdir(parents=True)
        for number in range(20):
            noise = draws.integers(-30, 30, (20, 24, 3))
            Image.fromarray((colour + noise).astype(np.uint8)).save(folder / f"trip {place}" / f"{number}.jpg")
    return folder


def outputs(notebook) -> list[str]:
    """What each cell of code has printed or shown as text."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            found.append("".join(texts))
    return found


def test_no_output_of_anybody_is_committed():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.long
def test_the_notebook_runs_from_a_folder_to_an_export(tmp_path, monkeypatch):
    project = make_project(
        tmp_path / "project",
        training={"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
        pretrain={"random": {"method": "random"}, "rotation": {"method": "rotation"}},
        transfer={"knn": {"neighbours": 5}, "label_free": {}},
    )
    settings = {
        "COVEY_PROJECT": project,
        "COVEY_PHOTOS": photographs(tmp_path / "photos"),
        "COVEY_SIZE": SIZE,
        "COVEY_EXPORT": tmp_path / "model",
        "PYTHONPATH": ROOT,
        "MPLBACKEND": "agg",
        "JUPYTER_PLATFORM_DIRS": 1,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    told = outputs(notebook)
    assert "120 pictures" in told[1]
    assert "There are no labels" in told[2]
    assert f"Report: {project / 'results' / 'report.html'}" in told[2]
    assert "rotation" in told[3]
    assert "\n120 pictures: split, file" in told[4]
    assert "trip" in told[6]
    assert "120 pictures," in told[7]
    assert (tmp_path / "model" / "README.md").read_text().strip() in told[8]
    assert f"torch.Size([2, {4 * 8}])" in told[9]
    assert os.path.getsize(project / "results" / "report.html") > 10_000
