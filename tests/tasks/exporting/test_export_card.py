"""What a card says of where an encoder comes from: all of it recorded, and nothing of the machine."""

import math

import pytest
import yaml

from ssl_models.encoders import build_encoder
from tasks.exporting import card, origin, timm
from tasks.exporting.form import Loading, Sample
from tasks.process.files import write_json
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.tracking import release

PARAMETERS = {
    "data": {"name": "photos", "source": "/home/someone/photos"},
    "pretrain": {
        "rotation": {"method": "rotation", "flip": 0.25},
        "random": {"method": "random"},
        "others": {"method": "pretrained", "weights": "/home/someone/dino.pth"},
        "labels": {"method": "supervised"},
    },
    "clusterfit": {
        "rotation_cf": {"source": "rotation", "clusters": 128},
        "soft": {"source": "others", "method": "distillation", "outputs": "classes"},
        "longer": {"source": "others", "method": "simclr", "outputs": "weights"},
    },
    "transfer": {"linear": {}, "knn": {}},
    "targets": {},
    "training": {"epochs": 3, "learning_rate": 0.1},
    "seed": 0,
    "machine": {"threads": 1},
}
LOCK = """schema: '2.0'
stages:
  pretrain@rotation:
    cmd: python -m tasks pretrain rotation
    params:
      params.yaml:
        pretrain.rotation:
          method: rotation
          flip: 0.125
        seed: 7
    outs:
    - path: runs/photos/rotation/encoder
      md5: {made}
  transfer@rotation-linear:
    cmd: python -m tasks transfer rotation linear
    deps:
    - path: runs/photos/rotation/encoder
      md5: {measured}
"""


@pytest.fixture
def project(tmp_path):
    """With the records of the run `rotation`."""
    metrics = tmp_path / "metrics" / "photos"
    known = {"train": 12345, "test": 64, "shapes": {"images": [3, 32, 32]}, "classes": [], "labelled": False}
    write_json(metrics / "prepare.json", known | {"skipped": ["secret-name.jpg"]})
    learnt = {"method": "rotation", "reference": "Gidaris et al. 2018", "trained": True, "epochs": 3, "device": "cpu"}
    learnt |= {"samples_seen": 37035, "precision": "float32"}
    write_json(metrics / "rotation" / "training.json", learnt)
    write_json(
        metrics / "others" / "training.json", {"method": "pretrained", "trained": False, "weights": "/a/dino.pth"}
    )
    scores = [("res4", 0.71, 0.6, 0.8), ("pooled", 0.62, 0.5, 0.7)]
    rows = [{"layer": la, "metric": "top1", "value": v, "low": lo, "high": hi} for la, v, lo, hi in scores]
    write_json(metrics / "rotation" / "linear.json", {"protocol": "linear", "scores": rows})
    write_json(tmp_path / ".covey" / "costs" / "photos" / "pretrain@rotation.json", {"training_seconds": 61.0})
    return Project.given(tmp_path, PARAMETERS)


def text(project, run):
    encoder = build_encoder("resnet", depth=10, width=4)
    loading = Loading(("import torch",), ("model = 1",), ("vectors = model",), ("torch", "no_such_package"))
    return card.render(origin.origin(project, run), timm, encoder, Sample("images", (3, 32, 32)), loading, 3e-7)


def test_it_states_data_method_settings_budget_and_scores(project):
    found = text(project, "rotation")
    for told in (
        "# rotation of photos",
        "a vector of 32 numbers",
        "`photos`: 12,345 samples to train on and 64 to measure on, each images (3, 32, 32), no labels; 1 file could",
        "- `rotation`: trained by `rotation`. RotNet: by how many quarter turns was the picture rotated? (Gidaris",
        "Reference: Gidaris et al. 2018.",
        "Its training took 3 epochs, 37,035 samples seen, ",
        "on cpu in float32.",
        "| linear top-1 | 62.0 % | 50.0–70.0 | pooled |\n| linear top-1 | 71.0 % | 60.0–80.0 | res4 |",
        "to within 3e-07",
        "float32 in [0, 1]",
        "red, green, blue",
        "flip: 0.25",
        "learning_rate: 0.1",
    ):
        assert told in found
    assert "Weights of others" not in found
    assert "secret-name" not in found


def test_it_ends_with_the_covey_that_made_it(project, monkeypatch):
    for number, commit, told in (
        ("1.2", "0123456789ab-dirty", "Exported by Covey 1.2, commit 0123456789ab-dirty.\n"),
        ("", "", "Exported by Covey of an unknown version.\n"),
    ):
        monkeypatch.setattr(release, "number", lambda number=number: number)
        monkeypatch.setattr(release, "commit", lambda commit=commit: commit)
        assert text(project, "rotation").endswith(told)


def test_the_lines_for_the_hub_state_no_licence(project):
    front = yaml.safe_load(text(project, "rotation").split("---\n")[1])
    assert front == {
        "library_name": "timm",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["covey", "self-supervised-learning", "rotation"],
    }
    assert "covey" in yaml.safe_load(text(project, "labels").split("---\n")[1])["tags"]
    assert "self-supervised-learning" not in text(project, "labels")


@pytest.mark.parametrize("run", ["rotation", "rotation_cf", "others", "soft", "longer", "random", "labels"])
def test_no_card_holds_a_path_of_the_machine(project, run):
    found = text(project, run)
    assert str(project.root) not in found
    assert "/home" not in found
    assert "someone" not in found


def test_weights_of_others_are_named_through_all_that_learnt_from_them(project):
    for run in ("others", "soft", "longer"):
        assert "Weights of others are in its making: `dino.pth`." in text(project, run)
    assert "It was not trained here: the weights were taken as they are." in text(project, "others")


def test_lineage_is_told_from_the_run_to_its_root(project):
    found = text(project, "rotation_cf")
    own = found.index("- `rotation_cf`: a fresh network, trained by `supervised` on the clusters that `rotation` tells")
    assert own < found.index("- `rotation`: trained by `rotation`.")
    assert "distillation` on the classes that `others` tells apart" in text(project, "soft")
    assert "- `longer`: `others`, trained on by `simclr`." in text(project, "longer")


def test_labels_and_random_weights_are_told(project):
    assert "It has learnt from labels of the data." in text(project, "labels")
    write_json(project.root / "metrics" / "photos" / "random" / "training.json", {"method": "random", "trained": False})
    assert "It was not trained: the weights are random." in text(project, "random")


def test_the_settings_are_those_of_the_training_and_scores_of_an_earlier_one_are_left_out(project):
    (project.root / "dvc.lock").write_text(LOCK.format(made="0a.dir", measured="0a.dir"))
    found = text(project, "rotation")
    assert "flip: 0.125" in found
    assert "seed: 7" in found
    assert "62.0 %" in found
    (project.root / "dvc.lock").write_text(LOCK.format(made="0b.dir", measured="0a.dir"))
    found = text(project, "rotation")
    assert "62.0 %" not in found
    assert "measured before the last training: linear." in found


def test_without_records_it_says_so(project):
    found = text(project, "labels")
    assert "What its training took is not recorded here." in found
    assert "\nNone is recorded.\n" in found


def test_a_record_that_cannot_be_used_is_refused(project):
    (project.root / "metrics" / "photos" / "rotation" / "linear.json").write_text("{")
    with pytest.raises(ParameterError, match="not valid JSON"):
        origin.origin(project, "rotation")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/a/b/w.pth", "w.pth"),
        ("~/w.pth", "w.pth"),
        (r"C:\a\w.pth", "w.pth"),
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ({"a": ["/x/y", 3, None]}, {"a": ["y", 3, None]}),
        (math.pi, math.pi),
    ],
)
def test_of_a_path_its_name_is_kept(given, kept):
    assert origin.without_folders(given) == kept
