"""Which runs are worked on: a set, what no set names, and the sources of every refit."""

import pytest

from tasks.selection import scope
from tasks.settings import sets
from tasks.settings.schema import ParameterError

RUNS = {
    "pretrain": {"rotation": {}, "moco": {}, "mine": {}},
    "clusterfit": {
        "rotation_cf": {"source": "rotation"},
        "moco_cf": {"source": "moco"},
        "moco_cf_cf": {"source": "moco_cf"},
    },
    "sets": {"small": ["rotation", "rotation_cf"], "chain": ["moco_cf_cf"]},  # which lists moco and moco_cf too
}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"runs": "small"}, ("rotation", "mine", "rotation_cf")),
        ({"runs": "chain"}, ("moco", "mine", "moco_cf", "moco_cf_cf")),
        ({"runs": "all"}, ("rotation", "moco", "mine", "rotation_cf", "moco_cf", "moco_cf_cf")),
        ({}, ("rotation", "moco", "mine", "rotation_cf", "moco_cf", "moco_cf_cf")),
    ],
)
def test_a_set_brings_the_sources_and_what_no_set_names(selection, expected):
    parameters = RUNS | selection
    sets.check_sets(parameters)
    assert scope.chosen(parameters) == expected
    narrowed = scope.narrowed(parameters)
    assert (*narrowed["pretrain"], *narrowed["clusterfit"]) == expected
    assert "sets" not in narrowed
    assert narrowed.get("runs") == selection.get("runs")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": "smal"}, "runs: unknown set of runs 'smal'. Did you mean 'small'"),
        ({"sets": {"small": ["rotatoin"]}}, r"sets\.small: unknown run 'rotatoin'. Did you mean 'rotation'"),
        ({"sets": {"all": []}}, "sets.all: the name 'all' means every run"),
        ({"sets": {"small": "rotation"}}, "must be a mapping of names to lists"),
        ({"sets": ["rotation"]}, "must be a mapping of names to lists"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(ParameterError, match=words):
        sets.check_sets(RUNS | change)


def test_protocols_are_selected_as_runs_are():
    measured = {"transfer": {"linear": {}, "finetune": {}}, "targets": {"cells": {"protocol": "detection"}}}
    suites = {"suites": {"quick": ["linear"], "long": ["linear", "finetune", "cells"]}}
    parameters = RUNS | measured | suites | {"protocols": "quick"}
    sets.check_sets(parameters)
    assert scope.scope(parameters).protocols == ("linear",)
    assert scope.narrowed(parameters)["transfer"] == {"linear": {}}
    assert scope.narrowed(parameters)["targets"] == {}
    assert "suites" not in scope.narrowed(parameters)
    assert scope.chosen(parameters | {"protocols": "long"}, scope.PROTOCOLS) == ("linear", "finetune", "cells")
    with pytest.raises(ParameterError, match=r"suites\.quick: unknown protocol 'linaer'. Did you mean 'linear'"):
        sets.check_sets(parameters | {"suites": {"quick": ["linaer"]}})
    with pytest.raises(ParameterError, match="protocols: unknown set of protocols 'quik'"):
        sets.check_sets(parameters | {"protocols": "quik"})
