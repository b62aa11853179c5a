"""The block `maps`: what it refuses, in words that say what to do."""

from __future__ import annotations

import pytest

from tasks.settings.maps import asked, check_maps, of_any_runs
from tasks.settings.schema import ParameterError

GOOD = {"runs": "winner", "samples": 20000, "neighbours": 10, "clusters": 24}
PARAMETERS = {
    "pretrain": {"rotation": {}, "moco": {}, "simclr": {}},
    "clusterfit": {"rotation_cf": {"source": "rotation"}},
    "sets": {"small": ["simclr", "rotation_cf"], "other": ["moco"]},
    "runs": "small",
    "kinds": {"speech": {"pretrain": {"wav": {}}, "clusterfit": {}}},
}


def given(**changes):
    return PARAMETERS | {"maps": GOOD | changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": "rotation"}, r"'rotation'; it must be winner, all, or a list of runs such as \[rotation\]"),
        ({"runs": []}, "empty list; name a run"),
        ({"runs": ["rotaton"]}, "unknown run 'rotaton'. Did you mean 'rotation'"),
        ({"runs": [3]}, "unknown run 3"),
        ({"runs": True}, "not of type str | list"),
        ({"samples": 19}, "samples is 19; it must be at least 20"),
        ({"samples": 20.5}, "not of type int"),
        ({"neighbours": 0}, "at least 1"),
        ({"neighbours": 51}, "at most 50"),
        ({"clusters": 1}, "at least 2"),
        ({"cluster": 3}, "unknown setting 'cluster'. Did you mean 'clusters'"),
    ],
)
def test_what_cannot_be_mapped_is_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        check_maps(given(**changes))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("winner", None),
        ("all", ["rotation", "simclr", "rotation_cf"]),
        (["rotation_cf", "rotation"], ["rotation", "rotation_cf"]),
        (["moco", "simclr", "wav"], ["simclr", "moco", "wav"]),  # not selected, and of another kind of data
    ],
)
def test_the_runs_asked_for_are_in_order_those_that_are_not_selected_last(runs, expected):
    check_maps(given(runs=runs))
    assert asked(given(runs=runs)) == expected


def test_other_runs_leave_a_list_behind():
    assert of_any_runs(given(runs=["moco"]))["maps"] == GOOD
    assert of_any_runs({}) == {}
