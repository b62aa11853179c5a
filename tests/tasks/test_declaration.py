"""What dvc.yaml declares covers what stages import, and a new block in params.yaml adds its stages by itself."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tasks.project.project import Project
from tasks.settings.stage_kinds import KINDS
from tasks.staleness import code_hash, declaration, pipeline
from tasks.staleness.dvc_errors import PipelineError
from tasks.staleness.status import stale
from tests.graphs import stage as drawn
from tests.tasks.conftest import edit, make_project

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages():
    return pipeline.resolved(ROOT)


@pytest.mark.parametrize(
    "name", ["prepare", "pretrain@rotation", "transfer_target_clusterfit@rotation_cf-cells_voc_map"]
)
def test_one_stage_is_read_as_all_are(stages, name):
    assert replace(pipeline.stage(ROOT, name), parents=stages[name].parents) == stages[name]


def test_what_is_remembered_of_the_graph_is_what_was_resolved(stages, tmp_path):
    project = make_project(tmp_path)
    first = pipeline.graph(Project(project))
    assert (project / ".covey" / "graph.json").exists()
    assert pipeline.graph(Project(project)) == first == pipeline.resolved(project)
    edit(project, pretrain={"simclr": {"method": "simclr"}})
    assert "pretrain@simclr" in pipeline.graph(Project(project))
    assert "pretrain@simclr" in stages


def test_every_stage_depends_on_the_hash_of_its_own_code(stages):
    now = code_hash.fingerprints(ROOT)
    for stage in stages.values():
        command, _, names = stage.name.partition("@")
        if command == "code":
            assert stage.paths == stage.code == ()
            continue
        own = ".".join([command, *filter(None, names.split("-"))])
        besides = {key.partition(".")[0] for key in stage.code if key != own}
        training = {"encoders", "recipes", "weights"} if command in ("pretrain", "clusterfit") else set()
        assert besides == ({"sources"} if command.startswith("prepare") else training)
        assert ("sources" in besides) == bool(stage.source)
        assert re.fullmatch("[0-9a-f]{16}", declaration.value(now, own))
        assert "code" in stage.parents


def test_parents_come_first_and_every_way_ends_in_the_report(stages):
    seen: set[str] = set()
    for name, stage in stages.items():
        assert seen.issuperset(stage.parents), name
        seen.add(name)
    assert list(stages)[-1] == "report"
    inner = {parent for stage in stages.values() for parent in stage.parents}
    assert set(stages) - inner == {"report"}


def test_the_stages_are_of_every_kind(stages):
    assert {stage.kind for stage in stages.values()} == set(KINDS)


def test_the_map_waits_for_all_that_is_measured_and_the_report_for_the_map(stages):
    ends = {name for name in stages if name.startswith(("transfer", "extract"))}
    assert ends <= set(stages["atlas"].parents)
    assert "atlas" in stages["report"].parents


def test_a_new_block_adds_its_stages(tmp_path):
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    content = yaml.safe_load((tmp_path / "params.yaml").read_text())
    content["pretrain"]["fresh"] = {"method": "rotation", "epochs": 1}
    content["clusterfit"] |= {"fresh_cf": {"source": "fresh", "clusters": 3}}
    content["clusterfit"] |= {"fresh_cf_cf": {"source": "fresh_cf", "clusters": 3}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    stages = pipeline.graph(Project(tmp_path))
    assert stages["pretrain@fresh"].parents == ("code", "prepare")
    assert set(stages["cluster@fresh_cf"].parents) == {"code", "prepare", "pretrain@fresh", "extract@fresh"}
    assert set(stages["cluster@fresh_cf_cf"].parents) == {
        "code",
        "prepare",
        "clusterfit@fresh_cf",
        "extract_clusterfit@fresh_cf",
    }
    assert "transfer_clusterfit@fresh_cf_cf-linear" in stages["report"].parents


@pytest.mark.parametrize("lock", ["", "stages:", "schema: '2.0'\nstages:\n  prep", "{"])
def test_a_lock_file_that_is_just_being_written_does_not_disturb_a_stage(tmp_path, lock):
    project = make_project(tmp_path)
    expected = pipeline.stage(project, "pretrain@rotation")
    (project / "dvc.lock").write_text(lock)
    pipeline._one.cache_clear()
    assert pipeline.stage(project, "pretrain@rotation") == expected
    assert expected.code == ("encoders.rotation", "pretrain.rotation", "recipes.rotation", "weights.rotation")


def test_a_torn_lock_file_is_named_with_the_way_out(tmp_path):
    project = Project(make_project(tmp_path))
    (project.root / "dvc.lock").write_text("stages:")
    graph = pipeline.graph(project)
    with pytest.raises(PipelineError, match=r"(?s)dvc\.lock.*git checkout dvc\.lock"):
        stale(project, graph, list(graph))


def test_a_fingerprint_changes_with_a_file_a_name_and_a_parameter_and_not_with_compiled_code(tmp_path):
    (tmp_path / "params.yaml").write_text("a: {b: 1}\nc: 2\n")
    folder = tmp_path / "folder"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one").write_text("1")
    stage = replace(drawn("stage"), paths=("folder", "absent"), parameters=("a.b", "c"))

    def key():
        return declaration.key_of("stage", declaration.fingerprint(tmp_path, stage))

    keys = [key()]
    (folder / "__pycache__" / "x.pyc").write_text("compiled")
    assert key() == keys[0]
    (folder / "one").write_text("2")
    keys.append(key())
    (folder / "one").rename(folder / "two")
    keys.append(key())
    (tmp_path / "params.yaml").write_text("a: {b: 2}\nc: 2\n")
    keys.append(key())
    assert len(set(keys)) == 4
    assert declaration.fingerprint(tmp_path, stage)["absent"] == "missing"


def append(path, text):
    path.write_text(path.read_text() + text)


def test_code_is_in_a_fingerprint_and_must_be_what_code_json_says(tmp_path):
    root = make_project(tmp_path)
    methods = root / "ssl_models" / "methods"
    stage = pipeline.stage(root, "clusterfit@rotation_cf")
    first = declaration.fingerprint(root, stage)
    append(methods / "supervised.py", "\n# because\n")
    append(methods / "rotation.py", "\nMORE = 1\n")
    assert declaration.fingerprint(root, stage) == first
    append(methods / "supervised.py", "\nMORE = 1\n")
    with pytest.raises(declaration.CodeChangedError, match=r"the code of clusterfit rotation_cf changed"):
        declaration.fingerprint(root, stage)
    code_hash.write(root)
    second = declaration.fingerprint(root, stage)
    assert {name for name in first if first[name] != second[name]} == {"code:clusterfit.rotation_cf"}


def test_code_json_follows_the_code_before_dvc_is_asked(tmp_path, monkeypatch):
    root = make_project(tmp_path)
    graph = pipeline.graph(Project(root))
    brought = []

    def bring(project):
        brought.append(project)
        code_hash.write(project.root)

    def stages():
        return stale(Project(root), graph, ["pretrain@rotation", "cluster@rotation_cf"], bring_code=bring)

    first = stages()
    assert brought == []
    method = root / "ssl_models" / "methods" / "rotation.py"
    append(method, "\n# because\n")
    assert stages() == first
    assert brought == []
    append(method, "\nMORE = 1\n")
    assert stages().keys() == first.keys()
    assert brought == [Project(root)]
    assert code_hash.read(root) == code_hash.fingerprints(root)
    monkeypatch.setattr(code_hash, "fingerprints", None)  # nothing is hashed where no source has been touched
    assert stages().keys() == first.keys()
    (root / "code.json").unlink()
    monkeypatch.undo()
    stages()
    assert len(brought) == 2
