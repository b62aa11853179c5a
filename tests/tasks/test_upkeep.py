"""What `covey gc` keeps and frees, on a real small DVC project whose stages copy files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.project.project import Project
from tasks.staleness import dvc_internals, pipeline, run_cache
from tasks.upkeep import disk, holdings, old_runs
from tasks.upkeep.holdings import Choice, Holdings

STAGES = {
    "prepare": {
        "cmd": "mkdir -p data/${data.name} && cp params.yaml data/${data.name}/all.txt",
        "params": ["data"],
        "outs": ["data/${data.name}"],
    },
    "report": {
        "cmd": "mkdir -p metrics/${data.name} && sort data/${data.name}/all.txt > metrics/${data.name}/sum.txt",
        "deps": ["data/${data.name}"],
        "params": ["seed"],
        "outs": ["metrics/${data.name}/sum.txt"],
    },
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (root / "code.json").write_text("{}")
    monkeypatch.chdir(root)
    return root


def project(root: Path, data: str, level: int) -> Project:
    """With this data set selected, at this level of detail, which makes another content."""
    blocks = {
        name: {"name": name, "reader": "world", "source": "", "level": 1, "text": name * 5000} for name in ("a", "b")
    }
    blocks[data]["level"] = level
    empty = {name: {} for name in ("pretrain", "clusterfit", "transfer", "targets", "encoder")}
    content = {"seed": 0, "datasets": blocks, "data": blocks[data], "machine": {"threads": 1}, **empty}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    return Project.given(root, content)


def run(root: Path) -> list[str]:
    """Brings both stages up to date; the outcomes."""

    def carried_out(words: str, environment: dict[str, str]) -> int:
        return subprocess.run(words, shell=True, cwd=root, env=environment, check=False).returncode

    return [dvc_internals.reproduce(root, name, force=False, run=carried_out) for name in STAGES]


def gc(project: Project, **choice: Any) -> Holdings:
    stages = list(pipeline.under(project.root, project.parameters))
    found = holdings.look(project, stages, Choice(**choice))
    holdings.remove(project, found, lambda _: None)
    return found


def going(found: Holdings) -> dict[str, int]:
    """Title -> files of DVC's cache that go, of those parts that lose any."""
    return {item.title.removeprefix("DVC's cache: "): len(item.going) for item in found.items if item.going}


@pytest.fixture
def worked(root: Path) -> Path:
    """Data set a at level 1, then at 2; then b; then a at level 2 again, which was restored."""
    for data, level in (("a", 1), ("a", 2), ("b", 1)):
        project(root, data, level)
        assert run(root) == ["ran", "ran"]
    project(root, "a", 2)
    assert run(root) == ["restored", "restored"]
    return root


def test_gc_frees_superseded_results_and_keeps_those_of_now_and_of_other_data_sets(worked):
    own = project(worked, "a", 2)
    found = gc(own)
    assert going(found) == {"earlier results that nothing needs": 3}  # a folder's object, its file, the sum
    assert found.freed > 0
    assert run(worked) == ["unchanged", "unchanged"]
    project(worked, "b", 1)
    assert run(worked) == ["restored", "restored"]
    assert going(gc(own)) == {}


def test_what_was_freed_is_made_again_and_no_entry_of_the_run_cache_is_broken(worked):
    gc(project(worked, "a", 2))
    cache = dvc_internals.cache_folder(worked)
    assert len(list(run_cache.entries(cache))) == 4
    assert not run_cache.drop_broken(cache)
    assert all(any(folder.iterdir()) for folder in run_cache.folder(cache).glob("*/*"))  # DVC fails at an empty one
    project(worked, "a", 1)
    assert run(worked) == ["ran", "ran"]
    project(worked, "a", 2)
    assert run(worked) == ["restored", "restored"]
    project(worked, "a", 1)
    assert run(worked) == ["restored", "restored"]


def test_other_data_sets_go_if_the_user_says_so(worked):
    found = gc(project(worked, "a", 2), other_data=True)
    assert going(found) == {"earlier results that nothing needs": 3, "results of b": 3}
    assert (worked / "data" / "b" / "all.txt").exists()  # the workspace is nobody's to free
    assert run(worked) == ["unchanged", "unchanged"]


def test_a_kill_between_the_entries_and_the_objects_leaves_what_the_next_gc_frees(worked):
    own = project(worked, "a", 2)
    cache = dvc_internals.cache_folder(worked)
    first = holdings.look(own, ["prepare", "report"], Choice())
    run_cache.drop_broken(cache, set(first.going))
    assert going(gc(own)) == {"earlier results that nothing needs": 3}
    assert run(worked) == ["unchanged", "unchanged"]


def test_what_is_young_stays(worked):
    own = project(worked, "a", 2)
    assert going(gc(own, older_than=1.0)) == {}
    old = 3 * disk.DAY
    for path in dvc_internals.cache_folder(worked).glob("*/*"):
        os.utime(path, (path.stat().st_mtime - old,) * 2)
    assert going(gc(own, older_than=1.0)) == {"earlier results that nothing needs": 3}


def test_a_cache_outside_of_the_project_is_left_alone(root, tmp_path):
    (root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {tmp_path / 'shared'}\n")
    for level in (1, 2):
        project(root, "a", level)
        run(root)
    found = gc(project(root, "a", 2))
    assert going(found) == {}
    assert "may be another's" in found.note


def test_experiments_are_kept_until_the_user_lets_them_go(worked):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    (worked / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    subprocess.run([*git, "init", "-q"], check=True)
    project(worked, "a", 1)
    run(worked)  # the lock of level 1 is that of an experiment
    subprocess.run([*git, "add", "dvc.lock"], check=True)
    subprocess.run([*git, "commit", "-qm", "point"], check=True)
    subprocess.run([*git, "update-ref", "refs/exps/12/34/point", "HEAD"], check=True)
    own = project(worked, "a", 2)
    run(worked)
    subprocess.run([*git, "add", "dvc.lock"], check=True)
    subprocess.run([*git, "commit", "-qm", "now"], check=True)
    assert going(gc(own)) == {}
    assert going(gc(own, experiments=True)) == {"results of sweeps and studies": 3}
    assert run(worked) == ["unchanged", "unchanged"]


def test_work_folders(root):
    own = project(root, "a", 1)
    done, young, old, gone = (own.work(stage, key * 16) for stage, key in zip(
        ("pretrain@x", "pretrain@x", "pretrain@x", "pretrain@no_more"), "abcd", strict=True))  # fmt: skip
    for folder in (done, young, old, gone):
        folder.mkdir(parents=True)
        (folder / "checkpoint").write_bytes(b"x" * 5000)
    (done / "done").touch()
    past = (old / "checkpoint").stat().st_mtime - 31 * disk.DAY
    for path in (old / "checkpoint", old):
        os.utime(path, (past, past))
    found = holdings.look(own, ["pretrain@x"], Choice())
    assert set(found.going) == {done, old, gone}
    holdings.remove(own, found, lambda _: None)
    assert [folder.exists() for folder in (done, young, old, gone)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("days", "asked", "goes"), [(31, 7.0, True), (31, 32.0, False), (8, 7.0, False), (8, 0.0, False)]
)
def test_what_is_kept_for_thirty_days_is_kept_so_long_whatever_else_is_asked(root, days, asked, goes):
    """`--older-than` frees no more than plain `covey gc`: 8 days are fewer than 30, 31 are fewer than 32."""
    own = project(root, "a", 1)
    places = (own.work("pretrain@x", "a" * 16), own.state / "sweeps" / "work" / "point" / "stage")
    log = own.state / "logs" / "pretrain@no_more.log"
    for path in (*(folder / "checkpoint" for folder in places), log):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5000)
        for each in (path, path.parent):
            past = each.stat().st_mtime - days * disk.DAY
            os.utime(each, (past, past))
    found = holdings.look(own, ["pretrain@x"], Choice(older_than=asked))
    assert set(found.going) == ({*places, log} if goes else set())


def test_tables_of_covey_atlas_are_freed(root):
    own = project(root, "a", 1)
    folder = own.state / "atlas" / "a"
    folder.mkdir(parents=True)
    for name in ("simclr.pooled.parquet", "simclr.pooled.json"):
        (folder / name).write_bytes(b"x" * 5000)
    found = {item.title: item for item in holdings.look(own, [], Choice()).items}
    assert set(found["tables of covey atlas"].going) == set(folder.iterdir())
    assert found["records of runs, and all else in .covey"].held == 0
    assert set(holdings.look(own, [], Choice(older_than=1.0)).going) == set()


@pytest.fixture
def with_old_runs(worked: Path) -> Path:
    """The run `x`, a run of another kind of data, and two that params.yaml has not: one in DVC's cache, one not."""
    for path in (
        "runs/a/x/encoder",
        "runs/a/words/encoder",
        "runs/a/gone/encoder",
        "metrics/b/cached",
        "metrics/a/pictures",
    ):
        (worked / path).mkdir(parents=True)
        (worked / path / "file").write_bytes(b"x" * 5000)
    text = (worked / "dvc.lock").read_text()
    digest = run_cache.in_lock(text)["data/a"]
    output = f"    - path: metrics/b/cached\n      hash: md5\n      md5: {digest}\n"
    (worked / "dvc.lock").write_text(f"{text}  pretrain@cached:\n    cmd: x\n    outs:\n{output}")
    return worked


def of_runs(root: Path) -> Project:
    found = project(root, "a", 2).parameters
    kinds = {"text": {"pretrain": {"words": {}}}, "speech": {"clusterfit": None}}
    return Project.given(root, {**found, "pretrain": {"x": {}}, "kinds": kinds})


def test_old_runs_are_listed_with_what_would_be_lost_and_stay(with_old_runs):
    found = gc(of_runs(with_old_runs))
    item = next(item for item in found.items if item.title == "old runs in the workspace")
    assert item.going == ()
    assert item.held == disk.used([with_old_runs / "runs/a/gone", with_old_runs / "metrics/b/cached"])
    assert found.note == (
        "Old runs, which params.yaml no longer has: cached on b, gone on a. "
        "Not all of gone on a is in DVC's cache: what is removed of it is lost and must be computed again. "
        "DVC's cache has cached on b too. "
        "`covey gc --old-runs` removes their folders; the next run makes maps and report anew."
    )
    assert (with_old_runs / "runs/a/gone/encoder/file").exists()


def test_old_runs_go_if_the_user_says_so_and_nothing_else_of_the_workspace(with_old_runs):
    assert set(holdings.look(of_runs(with_old_runs), [], Choice(old_runs=True, older_than=1.0)).going) == set()
    gc(of_runs(with_old_runs), old_runs=True)
    left = ("runs/a/x", "runs/a/words", "metrics/a/pictures", "metrics/a/sum.txt", "data/a")
    assert all((with_old_runs / path).exists() for path in left)
    assert not (with_old_runs / "runs/a/gone").exists()
    assert not (with_old_runs / "metrics/b/cached").exists()


def test_what_leaves_the_cache_with_an_old_run_is_lost(with_old_runs):
    """Its object is there, but the same `covey gc` frees it."""
    own = of_runs(with_old_runs)
    cache, old = dvc_internals.cache_folder(with_old_runs), [with_old_runs / "metrics/b/cached"]
    digest = run_cache.of_lock(with_old_runs)["metrics/b/cached"]
    assert "DVC's cache has cached on b" in old_runs.said(own, cache, old, ())
    assert "Not all of cached on b" in old_runs.said(own, cache, old, [cache / digest[:2] / digest[2:]])


def test_links_count_once_and_a_file_with_a_link_elsewhere_frees_nothing(tmp_path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    one.write_bytes(b"x" * 10_000)
    os.link(one, two)
    three.write_bytes(b"y" * 10_000)
    blocks = one.stat().st_blocks * 512
    assert disk.used([one, two, three]) == 2 * blocks
    assert disk.freed([one, three]) == blocks
    assert disk.freed([one, two]) == blocks
    assert disk.used([tmp_path]) == disk.used([tmp_path, one])


def test_restorable_looks_no_further_than_what_is_known(worked):
    own = project(worked, "b", 1)
    cache = dvc_internals.cache_folder(worked)
    stages = pipeline.under(worked, own.parameters)
    found = run_cache.restorable(cache, stages, list(stages), own.parameters, {}, {})
    assert list(found) == ["prepare", "report"]
    digest = found["prepare"]["data/b"]
    listed = json.loads((cache / digest[:2] / digest[2:]).read_text())
    (cache / listed[0]["md5"][:2] / listed[0]["md5"][2:]).unlink()  # a folder without its file
    assert run_cache.restorable(cache, stages, list(stages), own.parameters, {}, {}) == {}
    other = {**own.parameters, "data": {**own.parameters["data"], "level": 9}}
    assert run_cache.restorable(cache, stages, list(stages), other, {}, {}) == {}
