"""What dvc.yaml declares covers what stages import, and a new block in params.yaml adds its stages by itself."""

import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.dvcfile import load_file
from dvc.repo import Repo

from tasks.staleness import code_hash, graph
from tasks.staleness import declaration as declared
from tests.tasks.conftest import make_project

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages():
    return graph.graph(ROOT)


def declared_code(stage: graph.Stage) -> set[str]:
    """The entries of code.json that a stage depends on."""
    return set(declarations()[stage.name].code)


@cache
def declarations() -> dict[str, declared.Declared]:
    """What `declared.read` says of every stage, from one reading of dvc.yaml."""
    with Repo(str(ROOT)) as repo:
        file = load_file(repo, str(ROOT / "dvc.yaml"))
        loaded = file.LOADER(file, file.contents, {})
        return {name: declared.of_stage(loaded[name], ROOT) for name in loaded}


@pytest.mark.parametrize(
    "name", ["prepare", "pretrain@rotation", "transfer_target_clusterfit@rotation_cf-cells_voc_map"]
)
def test_one_stage_is_read_as_all_are(name):
    assert declared.read(ROOT, name) == declarations()[name]


def test_every_stage_declares_its_own_module_and_what_it_looks_up_by_name(stages):
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    for stage in stages.values():
        word, _, names = stage.name.partition("@")
        run, _, protocol = names.partition("-")
        if word == "code":
            assert stage.deps == ("ssl_models", "tasks")
            continue
        needed = {f"stage.{word.partition('_')[0]}"}
        if word in ("pretrain", "clusterfit"):
            block = parameters[word][run]
            needed |= {f"method.{block.get('method', 'supervised')}", f"encoder.{parameters['encoder']['name']}"}
        if word.startswith("extract"):
            needed.add("encoder")
        if protocol:
            needed.add(f"{'target' if word.startswith('transfer_target') else 'protocol'}.{protocol}")
        if word == "prepare_target":
            needed.add(f"reader.{parameters['targets'][run]['data']['reader']}")
        if word == "prepare":
            needed.add(f"reader.{parameters['data']['reader']}")
        assert needed <= declared_code(stage), stage.name
        assert "code" in stage.parents


def test_every_entry_is_there(stages):
    now = code_hash.fingerprints(ROOT)
    for stage in stages.values():
        for key in declared_code(stage):
            kind, _, name = key.partition(".")
            assert now[kind][name] if name else now[kind], key


def test_a_method_is_declared_by_its_own_stages_only(stages):
    methods = {
        run: block["method"] for run, block in yaml.safe_load((ROOT / "params.yaml").read_text())["pretrain"].items()
    }
    readers = {name for name, stage in stages.items() if "method.simclr" in declared_code(stage)}
    assert readers == {f"pretrain@{run}" for run, method in methods.items() if method == "simclr"}


def test_parents_come_first_and_every_way_ends_in_the_report(stages):
    seen: set[str] = set()
    for name, stage in stages.items():
        assert seen.issuperset(stage.parents), name
        seen.add(name)
    assert list(stages)[-1] == "report"
    inner = {parent for stage in stages.values() for parent in stage.parents}
    assert set(stages) - inner == {"report"}


def test_the_kinds_are_the_six(stages):
    kinds = {stage.kind for stage in stages.values()}
    assert kinds == {"prepare", "train", "extract", "cluster", "transfer", "report"}


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
    stages = graph.graph(tmp_path)
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
    expected = declared.read(project, "pretrain@rotation")
    (project / "dvc.lock").write_text(lock)
    assert declared.read(project, "pretrain@rotation") == expected
    assert "method.rotation" in expected.code


def test_a_torn_lock_file_is_named_with_the_way_out(tmp_path):
    project = make_project(tmp_path)
    (project / "dvc.lock").write_text("stages:")
    with pytest.raises(graph.PipelineError, match=r"(?s)dvc\.lock.*git checkout dvc\.lock"):
        graph.stale(project)


def test_a_fingerprint_changes_with_a_file_a_name_and_a_parameter_and_not_with_compiled_code(tmp_path):
    (tmp_path / "params.yaml").write_text("a: {b: 1}\nc: 2\n")
    folder = tmp_path / "folder"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one").write_text("1")
    declaration = declared.Declared(tmp_path, "stage", ("folder", "absent"), ("a.b", "c"), (), ())
    keys = [declaration.key(declaration.fingerprint())]
    (folder / "__pycache__" / "x.pyc").write_text("compiled")
    assert declaration.key(declaration.fingerprint()) == keys[0]
    (folder / "one").write_text("2")
    keys.append(declaration.key(declaration.fingerprint()))
    (folder / "one").rename(folder / "two")
    keys.append(declaration.key(declaration.fingerprint()))
    (tmp_path / "params.yaml").write_text("a: {b: 2}\nc: 2\n")
    keys.append(declaration.key(declaration.fingerprint()))
    assert len(set(keys)) == 4
    assert declaration.fingerprint()["absent"] == "missing"
