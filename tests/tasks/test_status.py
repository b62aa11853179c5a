"""Planning is a pure function, tried on graphs drawn by hand; the real dvc.yaml is read in test_declaration.py."""

import pytest

from tasks.staleness.graph import affected
from tasks.staleness.status import _reasons
from tests.graphs import stage


def graph(**parents):
    """Stages by name with their parents, in topological order."""
    return {name: stage(name, parents=above) for name, above in parents.items()}


DIAMOND = graph(top=[], left=["top"], right=["top"], bottom=["left", "right"], beside=[])


@pytest.mark.parametrize(
    ("changed", "targets", "expected"),
    [
        ([], [], []),
        (["top"], [], ["top", "left", "right", "bottom"]),
        (["left"], [], ["left", "bottom"]),
        (["bottom", "beside"], [], ["bottom", "beside"]),
        (["top"], ["left"], ["top", "left"]),
        (["top", "beside"], ["right"], ["top", "right"]),
        (["beside"], ["bottom"], []),
        (["right"], ["left"], []),
    ],
)
def test_a_plan_is_what_changed_and_what_follows_within_the_targets(changed, targets, expected):
    assert affected(DIAMOND, changed, targets) == expected


def test_reasons_are_flat_and_name_the_parameter():
    changes = [
        {"changed deps": {"params.yaml": {"pretrain.rotation.epochs": "modified"}, "data/world": "modified"}},
        {"changed outs": {"runs/world/rotation/encoder": "deleted"}},
        "changed command",
    ]
    assert _reasons(changes) == [
        "params.yaml pretrain.rotation.epochs modified",
        "data/world modified",
        "runs/world/rotation/encoder deleted",
        "changed command",
    ]
