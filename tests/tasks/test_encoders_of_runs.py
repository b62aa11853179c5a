"""An encoder a run, and the weights that it starts from: what is resolved, what goes stale, what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ssl_models import weights
from ssl_models.encoders import build_encoder
from ssl_models.weights import reading
from tasks.checks.dry_run import check_points, check_stages
from tasks.project.project import Project
from tasks.settings import params
from tasks.settings.encoders import encoder_of, encoders, weight_files
from tasks.settings.schema import ParameterError
from tasks.staleness import code_hash, pipeline
from tasks.staleness.declaration import value

ROOT = Path(__file__).parents[2]
COMMON = {"name": "resnet", "depth": 10, "width": 4, "stem_stride": 2}
WORLD = {"name": "small", "reader": "world", "source": "ssl_models/datasets/world.py", "train": 300, "test": 20}


def parameters(pretrain: dict[str, Any], clusterfit: dict[str, Any] | None = None) -> dict[str, Any]:
    """This project's params.yaml on a small world, with these runs alone."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["training"]["batch_size"] = 64
    return content | {
        "data": WORLD,
        "datasets": content["datasets"] | {"small": WORLD},
        "encoder": dict(COMMON),
        "pretrain": pretrain,
        "clusterfit": clusterfit or {},
        "targets": {},
        **{"sets": {}, "suites": {}, "runs": "all", "protocols": "all"},
    }


@pytest.fixture
def root(tmp_path):
    """A folder with a world's source and files of weights of encoders of width 4 and 8."""
    source = tmp_path / WORLD["source"]
    source.parent.mkdir(parents=True)
    source.write_text("")
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    for width in (4, 8):
        torch.manual_seed(width)
        torch.save(build_encoder("resnet", depth=10, width=width).state_dict(), tmp_path / f"wide{width}.pth")
    return tmp_path


def test_an_encoder_of_the_same_name_is_changed_and_one_of_another_stands_alone():
    found = encoders(
        parameters(
            {
                "plain": {"method": "rotation"},
                "wide": {"method": "rotation", "encoder": {"width": 8}},
                "named": {"method": "rotation", "encoder": {"name": "resnet", "depth": 18}},
                "other": {"method": "rotation", "encoder": {"name": "split", "width": 6}},
            },
            {
                "refit": {"source": "wide", "clusters": 4},
                "more": {"source": "wide", "method": "simclr", "outputs": "weights"},
                "yet_more": {"source": "more", "method": "rotation", "outputs": "weights"},
            },
        )
    )
    assert found == {
        "plain": COMMON,
        "wide": COMMON | {"width": 8},
        "named": COMMON | {"depth": 18},
        "other": {"name": "split", "width": 6},
        "refit": COMMON,
        "more": COMMON | {"width": 8},
        "yet_more": COMMON | {"width": 8},
    }


@pytest.mark.parametrize("refits", [{"a": {"source": "a", "outputs": "weights"}}, {"a": {"outputs": "weights"}}, {}, 3])
def test_what_no_params_yaml_may_hold_ends_in_the_common_encoder(refits):
    block = {"source": "a", "outputs": "weights"}
    assert encoder_of({"encoder": COMMON, "pretrain": None, "clusterfit": refits}, block) == COMMON


def stale(root: Path, before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The stages of which something in params.yaml or code.json is another, by what dvc.yaml says they depend on.

    But for those that read the settings of all runs.
    """
    (root / "params.yaml").write_text(yaml.safe_dump(before))
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stages = pipeline.resolved(root)
    codes = [code_hash.fingerprints(ROOT, content) for content in (before, after)]
    return {
        name
        for name, stage in stages.items()
        if any(value(before, key) != value(after, key) for key in stage.parameters)
        or any(value(codes[0], key) != value(codes[1], key) for key in stage.code)
    } - {"code", "atlas", "report"}


RUNS = {
    "plain": {"method": "rotation"},
    "own": {"method": "rotation", "encoder": {"name": "split", "depth": 10, "width": 4}},
}
REFITS = {
    "own_cf": {"source": "own", "clusters": 4},
    "own_split": {"source": "plain", "clusters": 4, "encoder": {"name": "split", "width": 4}},
}


def test_the_common_encoder_makes_those_stale_that_have_it_and_no_others(root):
    before, after = (parameters(RUNS, REFITS) for _ in range(2))
    after["encoder"] = COMMON | {"width": 6}
    assert stale(root, before, after) == {"pretrain@plain", "clusterfit@own_cf"}


def test_a_run_s_own_encoder_makes_its_training_stale_and_no_other(root):
    changed = RUNS | {"own": {"method": "rotation", "encoder": {"name": "split", "depth": 10, "width": 6}}}
    assert stale(root, parameters(RUNS, REFITS), parameters(changed, REFITS)) == {"pretrain@own"}


def test_the_code_of_a_run_s_own_encoder_is_in_its_hashes_and_that_of_the_common_one_is_not():
    runs = RUNS | {"own": {"method": "rotation", "encoder": {"name": "bag"}}}
    found = dict(code_hash._stages(code_hash.Sources(ROOT), parameters(runs)))
    for key in (("pretrain", "own"), ("extract", "own"), ("transfer", "own", "finetune")):
        files = found[key]()
        assert "ssl_models/encoders/bag.py" in files
        assert "ssl_models/encoders/resnet.py" not in files


def test_weights_are_hashed_by_content_and_only_where_a_run_takes_a_file(root):
    runs = {
        "plain": {"method": "rotation"},
        "begun": {"method": "rotation", "initialise": "wide4.pth"},
        "named": {"method": "pretrained", "weights": "DEFAULT"},
        "whole": {"method": "pretrained", "weights": str(root / "wide4.pth")},
    }
    content = parameters(runs)
    assert weight_files(root, content) == {"plain": None, "named": None} | dict.fromkeys(
        ("begun", "whole"), root / "wide4.pth"
    )
    keys = [f"weights.{run}" for run in runs]
    first = code_hash.fingerprints(root, content, keys)["weights"]
    (root / "wide4.pth").write_bytes(b"other")
    second = code_hash.fingerprints(root, content, keys)["weights"]
    assert first["begun"] == first["whole"] != second["begun"]
    assert {run for run in runs if first[run] is None} == {"plain", "named"}


ON = {"source": "rotation", "method": "simclr", "outputs": "weights"}


@pytest.mark.parametrize(
    ("pretrain", "clusterfit", "message"),
    [
        ({"method": "simclr", "initialise": "rotation"}, {}, r"mine: \{source: rotation, method: simclr, outputs: wei"),
        (
            {"method": "simclr", "initialise": "wide5.pth"},
            {},
            r"pretrain\.mine\.initialise: there is no 'wide5\.pth' in",
        ),
        ({"method": "pretrained", "weights": ""}, {}, "must be a file, or the name of published weights"),
        ({"method": "pretrained", "weights": "a/" * 3000}, {}, "is no path: File name too long"),
        ({"method": "pretrained", "initialise": "wide4.pth", "weights": "X"}, {}, "initialise and weights both give"),
        ({"method": "simclr", "initialise": "runs/small/rotation/encoder"}, {}, "is written by a run of this data set"),
        ({"method": "simclr", "initialise": 3}, {}, "3 is not of type str"),
        ({"method": "simclr", "encoder": {"name": "resnt"}}, {}, "unknown encoder 'resnt'.*'resnet'"),
        ({"method": "simclr"}, ON | {"clusters": 4}, "unknown setting 'clusters'"),
        ({"method": "simclr"}, ON | {"initialise": "wide4.pth"}, "initialise and outputs both give"),
        ({"method": "simclr"}, {"source": "mine", "outputs": "weights"}, "'method' is missing; it names what goes on"),
        ({"method": "simclr"}, {"source": "mine", "clusters": 4, "method": "pretrained"}, "learns from no source"),
    ],
)
def test_what_cannot_start_a_run_is_refused_by_name(root, pretrain, clusterfit, message):
    refits = {"refit": clusterfit} if clusterfit else {}
    content = parameters({"rotation": {"method": "rotation"}, "mine": pretrain}, refits)
    with pytest.raises(ParameterError, match=message):
        params.check_parameters(content, root)


@pytest.mark.parametrize(
    ("pretrain", "clusterfit", "message"),
    [
        ({"method": "simclr", "initialise": "wide8.pth"}, {}, r"pretrain\.mine: weights .*wide8.*another network"),
        ({"method": "pretrained", "weights": "wide8.pth"}, {}, r"conv1\.0\.weight is \(8, 3, 3, 3\) there and \(4"),
        ({"method": "pretrained"}, {}, "nobody publishes weights of the encoder 'resnet'"),
        (
            {"method": "random", "initialise": "wide4.pth"},
            {},
            "the method 'random' trains nothing; .*method: pretrained",
        ),
        ({"method": "split_brain", "initialise": "wide4.pth"}, {}, "makes a network of its own"),
        (
            {"method": "rotation"},
            {"source": "mine", "method": "simclr", "outputs": "weights", "encoder": {"width": 8}},
            r"clusterfit\.refit: weights of the run 'mine': these are weights of another network",
        ),
        (
            {"method": "rotation"},
            {"source": "mine", "method": "distillation", "outputs": "weights"},
            "teacher's logits",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_the_first_stage(root, pretrain, clusterfit, message):
    content = parameters({"mine": pretrain}, {"refit": clusterfit} if clusterfit else {})
    params.check_parameters(content, root)
    names = ["prepare", "pretrain@mine", *(["cluster@refit", "clusterfit@refit"] if clusterfit else [])]
    with pytest.raises(ParameterError, match=message):
        check_stages(Project.given(root, content), names)


def test_a_look_reads_the_same_weights_once_for_an_encoder_however_many_runs_take_them(root, monkeypatch):
    begun = {"method": "simclr", "initialise": "wide4.pth"}
    refit = {"source": "begun", "method": "rotation", "outputs": "weights"}
    wide = {"method": "pretrained", "weights": "wide8.pth", "encoder": {"width": 8}}
    content = parameters(
        {"begun": begun, "again": begun | {"method": "rotation"}, "wide": wide},
        {"first": refit, "second": refit | {"source": "first"}, "classes": {"source": "wide", "clusters": 4}},
    )
    read = []
    monkeypatch.setattr(weights, "read", lambda path: read.append(path.name) or reading.read(path))
    stages = [f"pretrain@{run}" for run in content["pretrain"]] + [f"clusterfit@{run}" for run in content["clusterfit"]]
    check_stages(Project.given(root, content), ["prepare", *stages])
    assert read == ["wide4.pth", "wide8.pth"]
    check_points(Project.given(root, content), [(name, content, ["prepare", *stages]) for name in ("one", "two")])
    assert read == ["wide4.pth", "wide8.pth"] * 2


def test_weights_that_fit_and_refits_into_another_encoder_pass(root):
    content = parameters(
        {
            "taken": {"method": "pretrained", "weights": "wide8.pth", "encoder": {"width": 8}},
            "begun": {"method": "simclr", "initialise": "./wide4.pth"},
        },
        {
            "taken_cf": {"source": "taken", "clusters": 4, "components": 64},
            "on": {"source": "taken", "method": "rotation", "outputs": "weights"},
        },
    )
    params.check_parameters(content, root)
    stages = [f"{word}@{run}" for word in ("cluster", "clusterfit") for run in content["clusterfit"]]
    check_stages(Project.given(root, content), ["prepare", "pretrain@taken", "pretrain@begun", *stages])
    content["encoder"]["width"] = 16  # the source's features stay 64 numbers wide
    content["clusterfit"]["taken_cf"]["components"] = 65
    with pytest.raises(ParameterError, match="components"):
        check_stages(Project.given(root, content), ["prepare", "cluster@taken_cf"])
