"""params.yaml is checked against the code that takes its settings, before anything slow."""

import re
from pathlib import Path

import pytest
import yaml

from tasks.selection import scope
from tasks.settings import params
from tasks.settings.edit import select, select_data, selecting
from tasks.settings.params import ParameterError, load
from tasks.settings.schema import CODE, modules

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """The project's own file with the selection that it is committed with, whatever is selected just now."""
    text = (ROOT / "params.yaml").read_text()
    for block, selected in (("data", "*world"), ("<<", "*of_pictures"), ("runs", "small"), ("protocols", "quick")):
        text = re.sub(rf"(?m)^{block}:[ \t]*[^\s#]*", f"{block}: {selected}", text)
    (tmp_path / "params.yaml").write_text(text)
    source = tmp_path / "ssl_models" / "datasets"
    source.mkdir(parents=True)
    for file in (ROOT / "ssl_models" / "datasets").glob("*.py"):
        (source / file.name).write_text("")
    return tmp_path


def change(project, block, key, value):
    content = yaml.safe_load((project / "params.yaml").read_text())
    content[block][key] = value
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_projects_own_file_is_accepted(project):
    assert load(project)["data"]["name"] in ("world", "cifar10")


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("pretrain", "mine", {"method": "rotatoin"}, "pretrain.mine.method: unknown method 'rotatoin'.*'rotation'"),
        ("pretrain", "mine", {}, "pretrain.mine: 'method' is missing"),
        ("pretrain", "mine", {"method": "rotation", "epoch": 3}, "unknown setting 'epoch'.*Did you mean 'epochs'"),
        (
            "pretrain",
            "mine",
            {"method": "rotation", "epochs": "three"},
            "pretrain.mine.epochs: 'three' is not of type int",
        ),
        ("pretrain", "mine", {"method": "rotation", "epochs": True}, "True is not of type int"),
        ("transfer", "linaer", {}, "unknown protocol 'linaer'.*Did you mean 'linear'.*knn"),
        ("transfer", "knn", {"neighbors": 3}, "transfer.knn: unknown setting 'neighbors'"),
        ("clusterfit", "mine", {"source": "rotaton", "clusters": 4}, "unknown run 'rotaton'.*'rotation'"),
        ("clusterfit", "mine", {"source": "mine", "clusters": 4}, "form a cycle: mine <- mine"),
        ("clusterfit", "mine", {"source": "rotation", "clusters": 0}, "clusters is 0; it must be at least 2"),
        ("clusterfit", "mine", {"source": "rotation"}, "'clusters' is missing"),
        ("clusterfit", "rotation", {"source": "simclr", "clusters": 4}, "'rotation' is a run in both"),
        ("datasets", "mine", {"name": "mine", "reader": "foldr", "source": "x"}, "unknown reader 'foldr'.*'folder'"),
        ("clusterfit", "mine", {"source": "rotation", "outputs": "clases"}, "unknown kind of outputs 'clases'"),
        (
            "clusterfit",
            "mine",
            {"source": "rotation", "clusters": 4, "outputs": "classes"},
            "unknown setting 'clusters'",
        ),
        ("clusterfit", "mine", {"source": "rotation", "clusters": 4, "method": "distil"}, "'distil'.*'distillation'"),
        (
            "clusterfit",
            "mine",
            {"source": "rotation", "clusters": 4, "outputs": "clusters", "components": 8},
            "components: soft outputs need the features without a projection",
        ),
        (
            "clusterfit",
            "mine",
            {"source": "rotation", "clusters": 4, "temperature": 2.0},
            "unknown setting 'temperature'",
        ),
        ("pretrain", "mine", {"method": "rotation", "encoder": {"nrom": "group"}}, "mine.encoder: unknown.*'norm'"),
        ("pretrain", "mine", {"method": "rotation", "encoder": {"name": "split", "stride": 2}}, "unknown.*'stride'"),
        ("pretrain", "mine", {"method": "pirl", "patch_jitter": "tiles"}, "'tiles' is not of type bool"),
        ("pretrain", "mine", {"method": "jigsaw", "channel_shift": 1.5}, "1.5 is not of type int"),
        ("pretrain", "mine", {"method": "jigsaw", "permutations_by": 1}, "1 is not of type str"),
        ("pretrain", "mine", {"method": "rotation", "encoder": "group"}, "'group' is not of type dict"),
        ("encoder", "dept", 18, "encoder: unknown setting 'dept'.*'depth'"),
        ("training", "epochs", None, "training.epochs: None is not of type int"),
        ("training", "monitor", "often", "training.monitor: 'often' is not of type bool"),
        ("training", "monitor", 0, "training.monitor: 0 is not of type bool"),
        ("machine", "threads", 0, "machine.threads is 0; it must be at least 1"),
        ("data", "name", "worl", "'data' must be one of the blocks under 'datasets'.*world"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(project, block, key, value, message):
    change(project, block, key, value)
    with pytest.raises(ParameterError, match=message):
        load(project)


@pytest.mark.parametrize("name", ["a/b", "a b", "a;b", "$(rm x)", "../up", "-force", "ünï", "", "a-b", "a.b", 3])
def test_names_that_would_be_dangerous_as_paths_or_commands_are_refused(project, name):
    change(project, "pretrain", name, {"method": "rotation"})
    with pytest.raises(ParameterError, match="cannot be used; names are used in paths and commands"):
        load(project)


@pytest.mark.parametrize(
    ("block", "settings"),
    [
        ("clusterfit", {"source": "supervised", "method": "distillation", "outputs": "classes"}),
        ("clusterfit", {"source": "rotation", "method": "distillation", "outputs": "clusters", "clusters": 4}),
        ("clusterfit", {"source": "rotation_cf", "clusters": 4, "label_smoothing": 0.1}),
        ("pretrain", {"method": "supervised", "label_noise": 0.25, "encoder": {"norm": "group"}}),
    ],
)
def test_refits_and_runs_of_every_kind_are_accepted(project, block, settings):
    change(project, block, "mine", settings)
    assert load(project)[block]["mine"] == settings


def test_selecting_runs_changes_one_line_and_is_taken_back_when_refused(project):
    before = (project / "params.yaml").read_text()
    select(project, scope.RUNS, "all")
    assert (project / "params.yaml").read_text() == before.replace("runs: small\n", "runs: all\n")
    with selecting(project, None, "small") as name:
        assert name is None
    assert (project / "params.yaml").read_text() == before
    with pytest.raises(ParameterError, match="unknown set of runs 'smal'"):
        select(project, scope.RUNS, "smal")
    with pytest.raises(ParameterError, match="later"), selecting(project, "cifar10", "all"):
        raise ParameterError("found later")
    assert (project / "params.yaml").read_text() == before


def test_an_unknown_block_and_broken_yaml_are_refused(project):
    path = project / "params.yaml"
    text = path.read_text()
    path.write_text(text + "\npretrian: {}\n")
    with pytest.raises(ParameterError, match=r"unknown block 'pretrian'.*'pretrain'"):
        load(project)
    path.write_text(text + "\n  : [\n")
    with pytest.raises(ParameterError, match="not valid YAML"):
        load(project)
    path.unlink()
    with pytest.raises(ParameterError, match=r"there is no params\.yaml"):
        load(project)


def test_a_missing_source_of_the_active_data_is_refused(project):
    (project / "ssl_models" / "datasets" / "cifar10.py").unlink()
    before = (project / "params.yaml").read_text()
    with pytest.raises(ParameterError, match=r"datasets\.cifar10\.source: there is no"):
        select_data(project, "cifar10")
    assert (project / "params.yaml").read_text() == before


def test_selecting_data_changes_one_line_and_keeps_the_comments(project):
    before = (project / "params.yaml").read_text().splitlines()
    select_data(project, "cifar10")
    after = (project / "params.yaml").read_text().splitlines()
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert [line.partition("  #")[0] for line in changed] == ["data: *cifar10"]
    assert "#" in changed[0]
    assert load(project)["data"]["reader"] == "cifar10"


def test_selecting_a_folder_adds_a_block_once(project, tmp_path):
    folder = tmp_path / "My Photos; 2024"
    folder.mkdir()
    assert select_data(project, str(folder)) == "my_photos_2024"
    text = (project / "params.yaml").read_text()
    assert select_data(project, str(folder)) == "my_photos_2024"
    assert (project / "params.yaml").read_text() == text
    block = load(project)["data"]
    assert (block["reader"], Path(project / block["source"])) == ("folder", folder)


def test_a_selection_that_is_refused_later_is_taken_back(project):
    before = (project / "params.yaml").read_text()

    def refuse():
        with selecting(project, "cifar10") as name:
            assert (name, load(project)["data"]["name"]) == ("cifar10", "cifar10")
            raise ParameterError("refused")

    with pytest.raises(ParameterError, match="refused"):
        refuse()
    assert (project / "params.yaml").read_text() == before


def test_the_active_block_itself_is_checked(project):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("data: *world", "data: {<<: *world, trian: 5}"))
    with pytest.raises(ParameterError, match=r"unknown setting 'trian'.*Did you mean 'train'"):
        load(project)


@pytest.mark.parametrize("block", ["machine", "encoder", "training", "extract", "pretrain"])
def test_an_empty_block_is_refused_by_name(project, block):
    content = yaml.safe_load((project / "params.yaml").read_text())
    content[block] = None
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ParameterError, match=f"'{block}' must be a mapping"):
        load(project)


def test_selecting_what_is_not_there_names_what_is(project):
    with pytest.raises(ParameterError, match=r"--data cifra: this is neither a data set .*cifar10.* nor a folder"):
        select_data(project, "cifra")


@pytest.mark.parametrize("method", modules(CODE / "methods", "METHOD = "))
def test_every_block_of_settings_is_split_between_trainer_and_method(method):
    both = params.training_fields().keys() & params.method_fields(method).keys()
    assert not both, f"a method must not take what the trainer takes: {both}"
