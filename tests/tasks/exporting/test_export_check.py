"""The check of an export: lines that fail, and vectors that differ, are errors; a folder appears whole."""

import importlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tasks.exporting import check, export, place
from tasks.exporting.form import Loading, Sample
from tasks.settings.schema import ParameterError
from tests.tasks.exporting import trained

SOUND = Sample("sound", (3,))
BATCH = np.arange(6, dtype=np.float32).reshape(2, 3)


def doubled(use="vectors = sound * model", load="model = 2"):
    return Loading((), (load,), (use,), (), arrays=True)


def test_the_difference_is_the_largest_distance(tmp_path):
    vectors = BATCH * 2
    assert check.difference(tmp_path, doubled(), SOUND, BATCH, vectors) == 0
    vectors[1, 2] += 0.0005  # of 10, and a ten-thousandth is allowed
    assert check.difference(tmp_path, doubled(), SOUND, BATCH, vectors) == pytest.approx(0.0005, rel=1e-2)


@pytest.mark.parametrize(
    ("loading", "told"),
    [
        (doubled(use="vectors = sound * 2.001"), "differ from the encoder's by up to 0.005"),
        (doubled(use="vectors = sound * float('nan')"), "differ"),
        (doubled(use="vectors = sound[:, :2]"), r"shape \(2, 2\), the encoder \(2, 3\)"),
        (doubled(load="import nothing_of_this_name"), "cannot be loaded by the lines of its card"),
    ],
)
def test_another_network_is_an_error(tmp_path, loading, told):
    with pytest.raises(RuntimeError, match=told):
        check.difference(tmp_path, loading, SOUND, BATCH, BATCH * 2)


def test_the_lines_run_where_this_project_cannot_be_imported(tmp_path):
    for name in check.OWN:
        importlib.import_module(name)  # here it can
        with pytest.raises(RuntimeError, match=f"No module named '{name}': an export needs no Covey"):
            check.difference(tmp_path, doubled(load=f"import {name}; model = 2"), SOUND, BATCH, BATCH * 2)
    top = tomllib.loads((Path(check.__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {*top["py-modules"], *(name.rstrip("*") for name in top["packages"]["find"]["include"])} == {*check.OWN}


def test_a_module_of_the_export_with_a_like_name_is_imported(tmp_path):
    (tmp_path / "covey_encoder.py").write_text("model = 2\n")
    own = doubled(load="sys.path.append('.'); from covey_encoder import model")
    assert check.difference(tmp_path, own, SOUND, BATCH, BATCH * 2) == 0


def test_an_export_that_fails_its_check_leaves_nothing(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("they differ")

    project = trained.make(tmp_path / "project", "small")
    monkeypatch.setattr(check, "difference", fails)
    with pytest.raises(RuntimeError, match="they differ"):
        export.export(project, "small", "timm", str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def write_and_fail(folder):
    with place.whole_folder(folder) as new:
        (new / "third").touch()
        raise KeyError


def test_an_earlier_export_is_replaced_whole_and_stays_after_an_error(tmp_path):
    folder = tmp_path / "out"
    for text in ("first", "second"):
        with place.whole_folder(folder) as new:
            (new / text).write_text(text)
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "second"]
    with pytest.raises(KeyError):
        write_and_fail(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_replaces_an_earlier_export_and_nothing_else(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    place.refuse(folder, force=False)
    with place.whole_folder(folder) as new:
        (new / "a").touch()
    with pytest.raises(ParameterError, match="it is not empty; --force replaces an earlier export"):
        place.refuse(folder, force=False)
    place.refuse(folder, force=True)
    (folder / "__pycache__").mkdir()  # as after the code of an export was loaded
    place.refuse(folder, force=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(ParameterError, match=r"it holds 'thesis\.tex', which is of no earlier export"):
        place.refuse(folder, force=True)
