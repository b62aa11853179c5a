"""The regression alarm: what counts as worse than published, and what is not compared at all."""

from __future__ import annotations

import copy
import math
import subprocess
from pathlib import Path

import pytest
import yaml

from tasks.project.project import Project
from tasks.reporting import regressions

HEADS = "data,run,source,protocol,layer,metric,value,low,high,seed"
RUN_HEADS = "data,run,device,precision,threads"
PARAMETERS = {
    "seed": 0,
    "machine": {"threads": 1},
    "encoder": {"depth": 18},
    "training": {"epochs": 8, "batch_size": 256},
    "extract": {"size": 512},
    "datasets": {"world": {"train": 8192}, "cifar10": {"size": 32}},
    "data": {"name": "world"},
    "pretrain": {"rotation": {"method": "rotation"}, "jigsaw": {"method": "jigsaw"}},
    "clusterfit": {"rotation_cf": {"source": "rotation", "clusters": 128}},
    "transfer": {"linear": {}, "knn": {}},
    "targets": {},
}


def scores(*entries: tuple[str, str, str, float], half: float = 0.02) -> str:
    """A scores.csv of (run, protocol, layer, value), each ± half."""
    lines = [
        f"world,{run},{'rotation' if run == 'rotation_cf' else ''},{protocol},{layer},top1,{v},{v - half},{v + half},0"
        for run, protocol, layer, v in entries
    ]
    return "\n".join([HEADS, *lines]) + "\n"


def compared(before: str, after: str, *, then=PARAMETERS, now=PARAMETERS, ran_before="", ran_after=""):
    published = regressions.Published("1a2b3c4d5e", regressions.read(before, ran_before)[0], then)
    return regressions.compare(published, now, regressions.read(after, ran_after)[0])


def changed(block: str, **values):
    content = copy.deepcopy(PARAMETERS)
    content[block] |= values
    return content


def test_worse_by_more_than_the_interval_of_the_difference_is_a_regression():
    limit = math.hypot(0.02, 0.02)
    before = scores(("rotation", "linear", "res5", 0.8))
    just_within = compared(before, scores(("rotation", "linear", "res5", 0.8 - limit + 1e-6)))
    beyond = compared(before, scores(("rotation", "linear", "res5", 0.8 - limit - 1e-6)))
    better = compared(before, scores(("rotation", "linear", "res5", 0.99)))
    assert [len(each.worse) for each in (just_within, beyond, better)] == [0, 1, 0]
    assert [each.compared for each in (just_within, beyond, better)] == [1, 1, 1]


def test_a_regression_says_what_was_and_what_is():
    found = compared(scores(("rotation", "linear", "res5", 0.84)), scores(("rotation", "linear", "res5", 0.701)))
    assert found.worse[0].text == ("rotation, linear top-1: 70.1\u00a0% (68.1–72.1) after 84.0\u00a0% (82.0–86.0)")
    assert found.published == "results/world.csv of 1a2b3c4"
    assert found.note == ""


def test_each_protocol_is_compared_at_its_best_layer():
    before = scores(
        ("rotation", "linear", "res4", 0.8), ("rotation", "linear", "res5", 0.6), ("rotation", "knn", "", 0.5)
    )
    after = scores(
        ("rotation", "linear", "res4", 0.5), ("rotation", "linear", "res5", 0.8), ("rotation", "knn", "", 0.3)
    )
    found = compared(before, after)
    assert found.compared == 2
    assert [(each.measure.protocol, each.after.value) for each in found.worse] == [("knn", 0.3)]


def test_what_is_new_or_gone_is_passed_over():
    before = scores(("rotation", "linear", "res5", 0.8), ("rotation", "knn", "", 0.8))
    after = scores(("jigsaw", "linear", "res5", 0.1), ("rotation", "linear", "res5", 0.8))
    found = compared(before, after)
    assert (found.compared, found.kept_out, found.worse) == (1, 0, ())


def test_a_number_without_an_interval_is_passed_over():
    bare = f"{HEADS}\nworld,rotation,,linear,res5,top1,0.1,,,0\n"
    assert compared(scores(("rotation", "linear", "res5", 0.8)), bare).compared == 0


@pytest.mark.parametrize(
    ("then", "name", "kept_out"),
    [
        (changed("training", epochs=2), "training.epochs", 3),
        (changed("encoder", depth=10), "encoder.depth", 3),
        (changed("datasets", world={"train": 100}), "datasets.world.train", 3),
        (PARAMETERS | {"seed": 1}, "seed", 3),
        (changed("pretrain", rotation={"method": "rotation", "epochs": 2}), "rotation.epochs", 2),
        (changed("clusterfit", rotation_cf={"source": "rotation", "clusters": 16}), "rotation_cf.clusters", 1),
        (changed("transfer", linear={"epochs": 3}), "transfer.linear.epochs", 3),
        (changed("transfer", knn={"neighbours": 3}), "", 0),
        (changed("datasets", cifar10={"size": 64}), "", 0),
        (PARAMETERS | {"data": {"name": "cifar10"}}, "", 0),
        (PARAMETERS | {"schedules": {}}, "", 0),
    ],
)
def test_what_was_made_with_other_settings_is_counted_and_not_compared(then, name, kept_out):
    values = [(run, "linear", "res5", 0.8) for run in ("rotation", "rotation_cf", "jigsaw")]
    fallen = [(run, "linear", "res5", 0.2) for run in ("rotation", "rotation_cf", "jigsaw")]
    found = compared(scores(*values), scores(*fallen), then=then)
    assert (found.kept_out, found.compared, len(found.worse)) == (kept_out, 3 - kept_out, 3 - kept_out)
    assert (name in found.note) if kept_out else not found.note


def test_another_kind_of_machine_is_another_experiment():
    before, after = scores(("rotation", "linear", "res5", 0.8)), scores(("rotation", "linear", "res5", 0.2))
    cpu, gpu = (f"{RUN_HEADS}\nworld,rotation,{device},bf16,1\n" for device in ("cpu", "cuda"))
    assert compared(before, after, ran_before=cpu, ran_after=cpu).worse
    elsewhere = compared(before, after, ran_before=cpu, ran_after=gpu)
    assert not elsewhere.worse
    assert "(device)" in elsewhere.note
    assert compared(before, after, ran_after=gpu).worse  # where it was published is not known


@pytest.fixture
def project(tmp_path) -> Path:
    """A project whose published scores are three commits deep, with other parameters in the last one."""
    (tmp_path / "results").mkdir()
    git(tmp_path, "init", "-q")
    (tmp_path / "results" / "world.csv").write_text(scores(("rotation", "linear", "res5", 0.8)))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    commit(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed("training", epochs=99)))
    commit(tmp_path)
    return tmp_path


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")


def test_published_is_the_last_commit_with_the_parameters_of_its_making(project):
    (project / "results" / "world.csv").write_text(scores(("rotation", "linear", "res5", 0.1)))  # not committed
    (project / "results" / "scores.csv").write_text(scores(("rotation", "linear", "res5", 0.5)))
    (found,) = regressions.of_results(Project.given(project, PARAMETERS))
    assert [(each.before.value, each.after.value) for each in found.worse] == [(0.8, 0.5)]


def test_a_folder_inside_a_repository_is_a_project_too(project):
    inner = project / "inner"
    inner.mkdir()
    (project / "results").rename(inner / "results")
    (inner / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    commit(project)
    published = regressions.last_published(Project(inner), "world")
    assert published is not None
    assert published.parameters["training"]["epochs"] == 8


def test_where_nothing_is_published_nothing_is_said(project, tmp_path_factory):
    assert regressions.last_published(Project(project), "cifar10") is None
    assert regressions.of_results(Project.given(project, PARAMETERS)) == []  # there is no results/scores.csv
    bare = tmp_path_factory.mktemp("bare")
    (bare / "results").mkdir()
    (bare / "results" / "scores.csv").write_text(scores(("rotation", "linear", "res5", 0.5)))
    assert regressions.of_results(Project.given(bare, PARAMETERS)) == []


def test_published_scores_of_another_form_are_passed_over(project):
    (project / "results" / "world.csv").write_text("run,accuracy\nrotation,0.8\n")
    commit(project)
    assert regressions.last_published(Project(project), "world") is None


def test_the_report_shows_the_alarm_at_its_top(project):
    from tasks.reporting import page
    from tasks.reporting.imprint import Imprint

    found = regressions.read(scores(("rotation", "linear", "res5", 0.5)), "")
    own = Imprint(("world",), "now")
    text = page.render(Project(project), PARAMETERS, found, own)
    assert "1 of 1 numbers on world is worse than published" in text
    assert text.index('class="box alarm"') < text.index("<nav>")
    assert "worse than published" not in page.render(Project(project), changed("training", epochs=9), found, own)
