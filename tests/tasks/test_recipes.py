"""Recipes of data sets: what trainings take of them, what they are refused for, and what they make stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssl_models.data import DataSpec
from tasks.project.project import Project
from tasks.settings import recipes
from tasks.settings.params import check_parameters
from tasks.settings.schema import ParameterError
from tasks.staleness import code_hash
from tasks.training.building import build_method
from tests.tasks.conftest import make_project


def with_recipe(project: Path, recipe: Any) -> dict[str, Any]:
    """The project's parameters, with a recipe of the selected data set."""
    plain = Project(project).parameters
    data = {**plain["data"], "recipe": recipe}
    runs = {"simclr": {"method": "simclr"}, "own": {"method": "simclr", "hue": 0.2}, "rotation": {"method": "rotation"}}
    return {**plain, "data": data, "datasets": {**plain["datasets"], data["name"]: data}, "pretrain": runs}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def test_a_training_takes_what_its_method_knows_and_its_block_does_not_say(project: Path) -> None:
    parameters = with_recipe(project, {"hue": 0.4, "strength": 0.3})
    found = recipes.of_runs(parameters)
    assert found["simclr"] == {"hue": 0.4, "strength": 0.3}
    assert found["own"] == {"strength": 0.3}
    assert found["rotation"] == {}


def test_a_recipe_of_contrastive_views_does_not_jitter_refits(project: Path) -> None:
    parameters = with_recipe(project, {"hue": 0.4, "strength": 0.3})
    shared: dict[str, Any] = {"source": "simclr", "clusters": 8}
    refits = {"supervised": shared, "distillation": {**shared, "method": "distillation", "outputs": "clusters"}}
    assert not any(recipes.of_runs({**parameters, "clusterfit": refits})[name] for name in refits)
    jittered = {name: {**block, "jitter_strength": 0.5, "jitter_hue": 0.2} for name, block in refits.items()}
    check_parameters({**parameters, "clusterfit": jittered}, project)


def test_the_method_is_built_with_the_recipe(project: Path) -> None:
    parameters = with_recipe(project, {"hue": 0.4})
    data = DataSpec(64, {"images": (3, 32, 32)})
    hues = []
    for run in ("simclr", "own"):
        method, _ = build_method(parameters, "simclr", parameters["pretrain"][run], data, 0, root=project)
        hues.append(method.multi_crop.first.hue)  # type: ignore[union-attr]
    assert hues == [0.4, 0.2]


def test_a_changed_recipe_changes_what_the_runs_that_take_of_it_depend_on(project: Path) -> None:
    before = code_hash.fingerprints(project, with_recipe(project, {"hue": 0.4}))
    after = code_hash.fingerprints(project, with_recipe(project, {"hue": 0.5}))
    assert {run for run in before["recipes"] if before["recipes"][run] != after["recipes"][run]} == {"simclr"}
    assert before["pretrain"] == after["pretrain"]


def test_data_without_a_recipe_give_nothing(project: Path) -> None:
    assert set(map(len, recipes.of_runs(Project(project).parameters).values())) == {0}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"hues": 0.1}, r"recipe: unknown setting 'hues'\. Did you mean 'hue'"),
        ({"hue": "red"}, r"recipe\.hue: 'red' is not of type float"),
        ([0.1], r"recipe: \[0\.1\] is not of type dict"),
    ],
)
def test_a_recipe_of_anything_else_is_refused(project: Path, recipe: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_parameters(with_recipe(project, recipe), project)
