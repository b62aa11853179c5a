"""What Covey takes from DVC's inside does what DVC's own commands do: here another DVC is noticed."""

import json
import os
import shutil
import subprocess
from importlib.metadata import version

import psutil
import pytest
from dvc.exceptions import DvcException

from tasks.staleness import dvc_internals, dvc_patches, lock_file, pipeline
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.reproduce import reproduce as bring
from tasks.staleness.status import stale
from tests.tasks import tiny
from tests.tasks.conftest import ROOT


@pytest.fixture
def root(tiny_copy, monkeypatch):
    """The tiny project brought up to date, in which this process stands, as a fork that reproduces a stage does."""
    monkeypatch.chdir(tiny_copy)
    return tiny_copy


def reproduce(root, name, *, force=False):
    """The outcome, and the commands that were handed over."""
    ran = []

    def run(command, environment):
        ran.append(command)
        return subprocess.run(command, shell=True, cwd=root, env=environment, check=False).returncode

    return dvc_internals.reproduce(root, name, force=force, run=run), ran


def left(root):
    names = ("dvc.lock", "copy.txt", "folder/both.txt")
    return {name: (root / name).read_bytes() for name in names if (root / name).exists()}


def test_the_installed_dvc_has_inside_what_is_used():
    assert dvc_internals.usable()
    assert dvc_internals.version() == version("dvc")


def test_another_version_and_another_inside_are_not_used(monkeypatch):
    from dvc.dvcfile import ProjectFile
    from dvc.repo import reproduce as own
    from dvc.stage import run

    asked = dvc_internals.usable.__wrapped__
    for change in (
        lambda patch: patch.setattr(dvc_internals, "version", lambda: "4.0.0"),
        lambda patch: patch.delattr(own, "_reproduce_stage"),
        lambda patch: patch.delattr(ProjectFile, "_dump_lockfile"),
        lambda patch: patch.delattr(run, "_run"),
        lambda patch: patch.setattr(run, "_run", len),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            assert not asked()


def test_a_file_is_cloned_whole_or_not_at_all(tmp_path):
    """DVC's own empties a target that is there: another stage's object of the same content, and its output with it."""
    source, object_, output = (tmp_path / name for name in ("source", "object", "output"))
    source.write_text("same\n")
    object_.write_text("same\n")
    os.link(object_, output)
    for clone in (shutil.copyfile, emptied):
        with pytest.raises(OSError, match=r"exists|not supported"):
            dvc_patches.reflink_whole(clone)(str(source), str(object_))
        assert output.read_text() == object_.read_text() == "same\n"
    dvc_patches.reflink_whole(shutil.copyfile)(str(source), str(tmp_path / "new"))
    assert (tmp_path / "new").read_text() == "same\n"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "object", "output", "new"}


def emptied(_source, target):
    """DVC's own where the file system cannot clone."""
    open(target, "w").close()
    os.unlink(target)
    raise OSError("not supported")


def test_stages_made_one_by_one_are_what_dvc_s_command_leaves(tiny_done, tmp_path, monkeypatch):
    root = tiny.make(tmp_path / "project")
    monkeypatch.chdir(root)
    for name, stage in tiny.STAGES.items():
        assert reproduce(root, name) == ("ran", [stage["cmd"]])
    assert left(root) == left(tiny_done)
    assert tiny.status(root) == {}


def edit_input(root):
    (root / "input.txt").write_text("edited\n")


def edit_parameter(root):
    tiny.set_parameters(root, a={"b": [2]}, c="other")


def edit_code(root):
    (root / "code.json").write_text('{"report": "4567"}\n')


def delete_output(root):
    (root / "folder" / "both.txt").unlink()


def edit_output(root):
    (root / "copy.txt").unlink()
    (root / "copy.txt").write_text("mine\n")


def edit_command(root):
    path = root / "dvc.yaml"
    path.write_text(path.read_text().replace("cat copy.txt params.yaml", "cat params.yaml copy.txt"))


def forget(root):
    (root / "dvc.lock").unlink()


EDITS = [edit_input, edit_parameter, edit_code, delete_output, edit_output, edit_command, forget]


def test_what_another_process_is_writing_has_changed(root):
    """A killed process counts until the kernel has taken it away; the stage then waits for it as it is reproduced."""
    with subprocess.Popen(["sleep", "60"]) as other:
        busy = {"write": {str(root / "copy.txt"): {"pid": other.pid, "cmd": "dvc repro"}}, "read": {}}
        (root / ".dvc/tmp/rwlock").write_text(json.dumps(busy))
        found = dvc_internals.status(root, list(tiny.STAGES))
        other.kill()
    assert [dvc_internals.BUSY] in found.values()
    assert dvc_internals.status(root, list(tiny.STAGES)) == {}


def test_a_killed_process_whose_number_another_has_by_now_blocks_nobody(root):
    """As in a container that starts again: DVC's list names this very process, which is younger than the list."""
    me, user = os.getpid(), {"pid": os.getpid(), "cmd": "dvc repro"}
    path = root / ".dvc/tmp/rwlock"
    path.write_text(json.dumps({"write": {str(root / "copy.txt"): user}, "read": {str(root / "input.txt"): [user]}}))
    before = psutil.Process(me).create_time() - 60
    os.utime(path, (before, before))
    assert dvc_internals.status(root, list(tiny.STAGES)) == {}
    assert not any(json.loads(path.read_text()).values())


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_said_of_stages_is_what_dvc_status_says(root, edit):
    assert dvc_internals.status(root, list(tiny.STAGES)) == {}
    edit(root)
    found = dvc_internals.status(root, list(tiny.STAGES))
    assert found == tiny.status(root) != {}
    assert dvc_internals.status(root, ["report"]) == {name: why for name, why in found.items() if name == "report"}


@pytest.mark.parametrize("edit", [edit_parameter, edit_command])
def test_a_stage_brought_up_to_date_is_as_dvc_repro_leaves_it(root, tmp_path, edit):
    edit(root)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    for name in tiny.STAGES:
        tiny.dvc(other, "repro", "--single-item", name)
        reproduce(root, name)
    assert left(root) == left(other)


def test_only_the_entry_of_the_stage_is_written(root):
    before = (root / "dvc.lock").read_text()
    edit_parameter(root)
    assert reproduce(root, "report") == ("ran", [tiny.STAGES["report"]["cmd"]])
    after = (root / "dvc.lock").read_text()
    assert after != before
    assert after.partition("  report:")[0] == before.partition("  report:")[0]


def test_outcomes_are_told_apart(root):
    command = tiny.STAGES["prepare"]["cmd"]
    assert reproduce(root, "prepare") == ("unchanged", [])
    assert reproduce(root, "prepare", force=True) == ("ran", [command])
    edit_input(root)
    assert reproduce(root, "prepare") == ("ran", [command])
    (root / "input.txt").write_text("input\n")
    assert reproduce(root, "prepare") == ("restored", [])
    assert (root / "copy.txt").read_text() == "input\n"


@pytest.mark.parametrize("edit", [edit_input, edit_parameter, edit_command])
def test_what_must_be_computed_is_not_at_hand_and_what_was_once_is(root, edit):
    name = "report" if edit is edit_command else "prepare"
    files = {path: path.read_bytes() for path in (root / "input.txt", root / "params.yaml", root / "dvc.yaml")}
    assert dvc_internals.at_hand(root, name)
    edit(root)
    assert not dvc_internals.at_hand(root, name)
    assert reproduce(root, name)[0] == "ran"
    for path, content in files.items():
        path.write_bytes(content)
    assert dvc_internals.at_hand(root, name)
    assert reproduce(root, name) == ("restored", [])


def test_a_deleted_output_is_at_hand_as_long_as_the_cache_holds_it(root):
    delete_output(root)
    assert dvc_internals.at_hand(root, "report")
    shutil.rmtree(root / ".dvc" / "cache" / "files")
    assert not dvc_internals.at_hand(root, "report")


def test_a_command_that_fails_is_recorded_nowhere(root):
    before = (root / "dvc.lock").read_bytes()
    edit_input(root)
    with pytest.raises(DvcException, match="exited with 3"):
        dvc_internals.reproduce(root, "prepare", force=False, run=lambda _command, _environment: 3)
    assert (root / "dvc.lock").read_bytes() == before


def test_stages_are_resolved_as_they_stand_in_the_file(root):
    found = dvc_internals.resolve(root)
    assert {name: entry["cmd"] for name, entry in found.items()} == {
        name: stage["cmd"] for name, stage in tiny.STAGES.items()
    }
    assert dvc_internals.resolve(root, ["report"]) == {"report": found["report"]}
    with pytest.raises(KeyError, match=r"dvc\.yaml has no stage absent"):
        dvc_internals.resolve(root, ["absent"])


NOTE = """
from pathlib import Path
from tasks.project.project import Project
from tasks.staleness import declaration, outputs, pipeline

project = Project(Path.cwd())
stage = pipeline.stage(project.root, "prepare")
outputs.claim(project, stage)
declaration.note(project, "prepare", declaration.fingerprint(project.root, stage))
if not Path("edited").exists():
    Path("edited").touch()
    Path(FILE).write_text(TEXT)
"""
"""What a stage does at its end, and an edit after it: DVC has not looked at the inputs yet."""


@pytest.mark.parametrize("edited", [("input.txt", "other\n"), ("params.yaml", "a: {b: [7]}\nc: word\n")])
@pytest.mark.parametrize("way", ["fork", "command"])
def test_an_edit_between_a_stage_s_end_and_its_record_is_not_taken_for_what_it_read(tmp_path, request, edited, way):
    root = tiny.make(tmp_path / "project")
    environment = request.getfixturevalue("fork") if way == "fork" else {}
    (root / "note.py").write_text(NOTE.replace("FILE", repr(edited[0])).replace("TEXT", repr(edited[1])))
    path = root / "dvc.yaml"
    path.write_text(path.read_text().replace("cp input.txt copy.txt", "cp input.txt copy.txt && python note.py"))
    environment = {**environment, "PYTHONPATH": str(ROOT)}
    with pytest.raises(StageFailed) as failed:
        bring(tiny.project(root), "prepare", environment=environment)
    assert "nothing was recorded" in failed.value.tail
    assert not failed.value.final
    assert "prepare" not in lock_file.entry_texts(root / "dvc.lock")
    assert not [path for path in (root / ".dvc/cache/runs").rglob("*") if path.is_file()]
    assert bring(tiny.project(root), "prepare", environment=environment) == "ran"
    assert (root / "copy.txt").read_text() == (root / "input.txt").read_text()
    assert tiny.status(root, "prepare") == {}


def test_a_new_hash_of_code_is_taken_over_without_computing_anew(root):
    edit_code(root)
    before = left(root)
    project = tiny.project(root)
    graph = pipeline.graph(project)
    assert stale(project, graph, list(graph)).keys() == {"report"}
    tiny.dvc(root, "commit", "--force", "report")
    assert stale(project, graph, list(graph)) == {}
    assert {**left(root), "dvc.lock": before["dvc.lock"]} == before
    assert reproduce(root, "report") == ("unchanged", [])
