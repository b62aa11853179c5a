"""Sweeps: what a file may say, what is refused before anything runs, and what a point depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import points
from tasks.sweeps import sweep as sweeps
from tests.tasks.conftest import ROOT, make_project

GOOD: dict[str, Any] = {
    "base": {"training.epochs": 2},
    "grid": {"clusterfit.rotation_cf.clusters": [4, 6]},
    "seeds": [0, 1],
    "targets": ["rotation-knn", "rotation_cf-knn"],
    "metric": {"run": "rotation_cf", "protocol": "knn"},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def build(root: Path, **changes: Any) -> sweeps.Sweep:
    return sweeps.build(Project(root), "try", {**GOOD, **changes})


def test_every_combination_is_a_point_with_every_seed(small: Path) -> None:
    found = points.points(Project(small), build(small))
    assert [(point.settings["clusterfit.rotation_cf.clusters"], point.seed) for point in found] == [
        (4, 0),
        (4, 1),
        (6, 0),
        (6, 1),
    ]
    assert [str(point) for point in found][2] == "clusters 6, seed 0"
    assert found[3].overrides == ("clusterfit.rotation_cf.clusters=6", "seed=1")
    assert found[0].targets == ("transfer@rotation-knn", "transfer_clusterfit@rotation_cf-knn")
    assert len({point.name for point in found}) == 4


def test_points_share_the_stages_that_their_settings_do_not_reach(small: Path) -> None:
    few, _, many, _ = points.points(Project(small), build(small))
    same = {name for name in few.stages if few.stages[name] == many.stages[name]}
    assert same == {"prepare", "pretrain@rotation", "extract@rotation", "transfer@rotation-knn"}


def test_a_base_that_no_target_needs_changes_no_point(small: Path) -> None:
    """The identity is of what goes in, not of the file's text."""
    plain = points.points(Project(small), build(small))
    other = points.points(
        Project(small), build(small, base={"training.epochs": 2, "pretrain.mine": {"method": "simclr"}})
    )
    assert [point.key for point in plain] == [point.key for point in other]
    longer = points.points(Project(small), build(small, base={"training.epochs": 3}))
    assert not {point.key for point in plain} & {point.key for point in longer}


def test_code_that_a_point_imports_is_part_of_it(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    before = points.points(Project(root), build(root))[0]
    path = root / "ssl_models/methods/simclr.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    assert points.points(Project(root), build(root))[0].key == before.key
    path = root / "ssl_models/methods/rotation.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    after = points.points(Project(root), build(root))[0]
    assert after.stages["prepare"] == before.stages["prepare"]
    assert after.stages["pretrain@rotation"] != before.stages["pretrain@rotation"]


def test_data_may_be_named_in_a_grid(small: Path) -> None:
    content = yaml.safe_load((small / "params.yaml").read_text())
    wild = {**content["datasets"]["world"], "name": "wild", "clutter": 1.0}
    sweep = build(small, base={"datasets.wild": wild}, grid={"data": ["world", "wild"]})
    tame, _, other, _ = points.points(Project(small), sweep)
    assert tame.overrides == ()
    assert set(other.overrides) == {"++data.clutter=1.0", 'data.name="wild"'}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"clusterfit.rotation_cf.cluster": [4]}}, "unknown setting 'cluster'. Did you mean 'clusters'"),
        ({"grid": {"clusterfit.rotaton_cf.clusters": [4]}}, "unknown setting 'rotaton_cf'. Did you mean 'rotation_cf'"),
        ({"grid": {"clusterfit.rotation_cf.clusters": []}}, "must be a list of at least one value"),
        ({"grid": {"clusterfit.rotation_cf.clusters": 4}}, "must be a list of at least one value"),
        ({"grid": {"clusterfit.rotation_cf.clusters": [4, 4]}}, "a point twice"),
        ({"grid": {"clusterfit.rotation_cf.clusters": ["many"]}}, "'many' is not of type int"),
        ({"grid": {"learning_rate": [1]}}, "unknown setting 'learning_rate'"),
        ({"grid": {"data": ["wurld"]}}, "unknown data set 'wurld'. Did you mean 'world'"),
        ({"grid": {"data": ["world"]}, "base": {"data.train": 64}}, r"per data set: datasets\.NAME\.train"),
        ({"seeds": []}, "a list of whole numbers from 0"),
        ({"seeds": [0, 0]}, "a point twice"),
        ({"seeds": [-1]}, "whole numbers from 0"),
        ({"targets": []}, "at least one RUN or RUN-PROTOCOL"),
        ({"targets": ["rotatoin-knn"]}, "unknown run 'rotatoin'. Did you mean 'rotation'"),
        ({"targets": ["rotation-knnn"]}, "unknown protocol 'knnn'. Did you mean 'knn'"),
        ({"metric": {"run": "rotation", "protocol": "linear"}}, "unknown target 'rotation-linear'"),
        ({"metrics": {}}, "unknown setting 'metrics'. Did you mean 'metric'"),
        ({"search": {"trials": 3}}, "both a grid and a search"),
        ({"base": {"training.epoch": 2}}, "unknown setting 'epoch'"),
        ({"seeds": [2**32]}, "whole numbers from 0 to 4,294,967,295"),
        ({"seeds": [True]}, "whole numbers from 0"),
        ({"seeds": [[0]]}, "whole numbers from 0"),
        ({"seeds": list(range(100_000))}, "make 200,000 points, and the most is 10,000"),
        ({"grid": {"clusterfit.rotation_cf.clusters": list(range(2, 100_002))}}, "and the most is 10,000"),
        ({"grid": {5: [1]}}, "grid.5 is"),
        ({"grid": {"seed": [1]}}, "the list of seeds stands beside the grid"),
        ({"grid": {"training.learning_rate": [0.1, -0.1]}}, "the point learning_rate -0.1, seed 0: .*above 0"),
        ({"grid": {"training.epochs": [True]}}, "True is not of type int"),
        ({"grid": {"data.train": [10**12]}}, "datasets.world.train is .*at most 100,000,000"),
        ({"grid": {"data": [["world"]]}}, "'data' must be one of the blocks"),
        ({"grid": {"training": [5]}}, "'training' must be a mapping"),
        ({"base": {"training": 5}}, "base: .*'training' must be a mapping"),
        ({"base": {"pretrain.mine": 5}}, "base: pretrain.mine must be a mapping"),
        ({"base": {"clusterfit.rotation_cf.source": "rotation_cf"}}, "base: .*form a cycle"),
        ({"base": {"clusterfit.rotation_cf.source": ["rotation"]}}, "source: .* is not of type str"),
        ({"base": {"clusterfit.rotation_cf": {}}}, "'source' is missing"),
        ({"base": {"training.epochs": 0}}, "base: training.epochs is 0"),
    ],
)
def test_bad_grids_are_refused_before_anything_runs(small: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build(small, **changes)


def test_a_grid_that_no_target_depends_on_is_refused(small: Path) -> None:
    content = {key: value for key, value in GOOD.items() if key != "metric"}
    with pytest.raises(
        ParameterError, match=r"no target needs clusterfit\.rotation_cf, so clusterfit\.rotation_cf\.clu"
    ):
        sweeps.build(Project(small), "try", content | {"targets": ["rotation-knn"]})
    sweep = sweeps.build(
        Project(small), "try", content | {"targets": ["rotation"], "grid": {"extract.size": [64, 128]}}
    )
    with pytest.raises(ParameterError, match="make the same; no target depends on what differs"):
        points.points(Project(small), sweep)


def test_a_sweep_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "clusters.yaml").write_text("seeds: [0\n")
    with pytest.raises(ParameterError, match=r"unknown sweep 'cluster'. Did you mean 'clusters'"):
        sweeps.load(Project(tmp_path), "cluster")
    with pytest.raises(ParameterError, match=r"sweeps/clusters.yaml is not valid YAML"):
        sweeps.load(Project(tmp_path), "clusters")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml")))
def test_the_sweeps_that_come_along_can_be_run(name: str) -> None:
    assert points.points(Project(ROOT), sweeps.load(Project(ROOT), name))


def test_a_file_s_own_folder_is_read(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    (root / "sweeps").mkdir()
    (root / "sweeps/try.yaml").write_text(yaml.safe_dump(GOOD))
    assert sweeps.known(Project(root)) == ["try"]
    assert sweeps.load(Project(root), "try") == build(root)
