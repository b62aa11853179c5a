"""What dvc.yaml declares covers what stages import, and a new block in params.yaml adds its stages by itself."""

import ast
import shutil
from pathlib import Path

import pytest
import yaml

from tasks import declared, pipeline
from tests.tasks.conftest import make_project

ROOT = Path(__file__).parents[2]
PLUMBING = {
    f"tasks/{name}.py"
    for name in (
        *("declared", "faults", "journal", "labels", "lifeline", "mlflow_store", "params", "process"),
        *("registry", "runs", "schema", "stage", "store", "tracking"),
    )
}
"""What carries, checks and records, and does not shape an output: a change there makes nothing stale."""


def imported(path: str) -> set[str]:
    """The first-party files that a file imports, at the top or inside functions; not those for type checkers only."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse((ROOT / path).read_text()))
    candidates = {f"{name.replace('.', '/')}{end}" for name in found for end in (".py", "/__init__.py")}
    return {name for name in candidates if (ROOT / name).is_file() and (ROOT / name).read_text().strip()}


def reached(roots: set[str]) -> set[str]:
    """All that `roots` import, and what that imports, plumbing left out."""
    done: set[str] = set()
    todo = set(roots)
    while todo:
        path = todo.pop()
        done.add(path)
        todo |= imported(path) - done - PLUMBING
    return done


def entry_points(stage: pipeline.Stage, parameters: dict) -> set[str]:
    """The module of a stage's command, and those it looks up by a name from params.yaml."""
    word, _, names = stage.name.partition("@")
    run, _, protocol = names.partition("-")
    roots = {f"tasks/{word.partition('_')[0]}.py"}
    if word in ("pretrain", "clusterfit"):
        method = parameters["pretrain"][run]["method"] if word == "pretrain" else "supervised"
        roots.add(f"ssl_models/methods/{method}.py")
    if word in ("pretrain", "clusterfit") or word.startswith("extract"):
        roots.add(f"ssl_models/encoders/{parameters['encoder']['name']}.py")
    if protocol:
        roots.add(f"ssl_models/protocols/{protocol}.py")
    if word == "prepare":
        roots.add(f"ssl_models/datasets/{parameters['data']['reader']}.py")
    return roots


@pytest.fixture(scope="module")
def stages():
    return pipeline.graph(ROOT)


def test_every_stage_declares_the_code_it_imports(stages):
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    missing = {}
    for stage in stages.values():
        needed = reached(entry_points(stage, parameters))
        if absent := sorted(path for path in needed if path not in stage.deps):
            missing[stage.name] = absent
    assert not missing


def test_a_method_is_declared_by_its_own_stages_only(stages):
    readers = {name for name, stage in stages.items() if "ssl_models/methods/simclr.py" in stage.deps}
    assert readers == {"pretrain@simclr"}


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
    stages = pipeline.graph(tmp_path)
    assert stages["pretrain@fresh"].parents == ("prepare",)
    assert set(stages["cluster@fresh_cf"].parents) == {"prepare", "extract@fresh"}
    assert set(stages["cluster@fresh_cf_cf"].parents) == {"prepare", "extract_clusterfit@fresh_cf"}
    assert "transfer_clusterfit@fresh_cf_cf-linear" in stages["report"].parents


@pytest.mark.parametrize("lock", ["", "stages:", "schema: '2.0'\nstages:\n  prep", "{"])
def test_a_lock_file_that_is_just_being_written_does_not_disturb_a_stage(tmp_path, lock):
    project = make_project(tmp_path)
    expected = declared.read(project, "pretrain@rotation")
    (project / "dvc.lock").write_text(lock)
    assert declared.read(project, "pretrain@rotation") == expected
    assert "ssl_models/methods/rotation.py" in expected.paths


def test_a_torn_lock_file_is_named_with_the_way_out(tmp_path):
    project = make_project(tmp_path)
    (project / "dvc.lock").write_text("stages:")
    with pytest.raises(pipeline.PipelineError, match=r"(?s)dvc\.lock.*git checkout dvc\.lock"):
        pipeline.stale(project)


def test_a_fingerprint_changes_with_a_file_a_name_and_a_parameter_and_not_with_compiled_code(tmp_path):
    (tmp_path / "params.yaml").write_text("a: {b: 1}\nc: 2\n")
    folder = tmp_path / "folder"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one").write_text("1")
    declaration = declared.Declared(tmp_path, "stage", ("folder", "absent"), ("a.b", "c"), ())
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
