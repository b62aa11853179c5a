"""A look at the settings of stages before any starts: how large the data will be, and what a method makes of it."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest
import yaml
from PIL import Image

from ssl_models.previews import preview
from tasks.artifacts.pictures import sheet
from tasks.checks import dry_run
from tasks.checks.dry_run import check_stages, measure
from tasks.checks.protocols import check_protocol
from tasks.process import faults
from tasks.process.files import write_json
from tasks.project.project import Project
from tasks.settings.params import check_parameters
from tasks.settings.schema import ParameterError

ROOT = Path(__file__).parents[2]


def parameters(**data: Any) -> dict[str, Any]:
    """params.yaml of this project, working on a small world."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    world = {"name": "small", "reader": "world", "source": "ssl_models/datasets/world.py", "train": 300, "test": 20}
    content["training"]["batch_size"] = 64
    return content | {"data": world | data}


def told(project: Project, *, fresh: bool) -> tuple[int, tuple[int, ...]]:
    data = measure(project, fresh)
    return data.samples, data.shape


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({}, (3, 32, 32)), ({"depth": False}, (3, 32, 32)), ({"depth": True, "size": 48}, (4, 48, 48))],
)
def test_the_shape_of_a_world_to_come_is_told_by_its_settings(tmp_path, settings, shape):
    assert told(Project.given(tmp_path, parameters(**settings)), fresh=True) == (300, shape)


def test_a_reader_that_says_nothing_of_channels_gives_three(tmp_path):
    for name in ("train", "test"):
        for label in ("one", "two"):
            folder = tmp_path / "images" / name / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "picture.png")
    block = {"name": "mine", "reader": "folder", "source": "images", "size": 24}
    assert told(Project.given(tmp_path, {"data": block, "seed": 0}), fresh=True) == (2, (3, 24, 24))


def test_data_that_are_prepared_say_it_themselves_unless_they_are_to_be_made_anew(tmp_path):
    project = Project.given(tmp_path, parameters(depth=True))
    folder = project.places.dataset
    folder.mkdir(parents=True)
    write_json(folder / "dataset.json", {"train": 7, "shapes": {"images": [3, 20, 20]}})
    assert told(project, fresh=False) == (7, (3, 20, 20))
    assert told(project, fresh=True) == (300, (4, 32, 32))


def test_a_dial_out_of_range_is_refused_with_the_name_of_the_data(tmp_path):
    with pytest.raises(ParameterError, match=r"datasets\.small: world dial light is 2"):
        measure(Project.given(tmp_path, parameters(light=2)), fresh=True)


def test_a_method_that_lacks_samples_stops_no_other(tmp_path):
    """As its stage says: clips of four frames are too few for one method."""
    found = parameters()
    found |= found["kinds"]["video"] | {"data": found["datasets"]["video"]}
    project = Project.given(tmp_path, found)
    project.places.dataset.mkdir(parents=True)
    shapes = {"frames": [4, 3, 32, 32], "tracks": [1, 4, 4], "source": [1]}
    write_json(project.places.dataset / "dataset.json", {"train": 100, "test": 20, "shapes": shapes})
    check_stages(project, ["pretrain@shuffle_and_learn", "cluster@shuffle_and_learn_cf", "pretrain@tracked_patches"])


@pytest.mark.parametrize(
    ("samples", "block", "told"),
    [
        (
            40,
            {},
            "; write batch_size: 32 into kinds.video.training, or a smaller hop into datasets.clips for more clips",
        ),
        (40, {"batch_size": 64}, "; write batch_size: 32 into this block, or a smaller hop into datasets.clips for"),
        (0, {}, "; write a smaller hop into datasets.clips for more clips"),
    ],
)
def test_a_batch_that_is_larger_than_the_data_is_told_with_what_to_change(tmp_path, samples, block, told):
    found = parameters()
    clips = {"name": "clips", "reader": "video_folder", "source": str(tmp_path)}
    found |= found["kinds"]["video"] | {"data": clips, "pretrain": {"mine": {"method": "video_neighbours", **block}}}
    project = Project.given(tmp_path, found)
    project.places.dataset.mkdir(parents=True)
    shapes = {"frames": [10, 3, 32, 32], "source": [1]}
    write_json(project.places.dataset / "dataset.json", {"train": samples, "test": 20, "shapes": shapes})
    said = f"pretrain.mine: batch_size 64 is over the {samples} training samples there are{told}"
    with pytest.raises(ParameterError, match=re.escape(said)):
        check_stages(project, ["pretrain@mine"])


def test_a_method_that_needs_depth_is_refused_where_there_is_none(tmp_path):
    found = parameters()
    found["pretrain"]["mine"] = {"method": "split_brain", "space": "depth"}
    with pytest.raises(ParameterError, match=r"pretrain\.mine: .*needs pictures of 4 channels.*and these have 3"):
        check_stages(Project.given(tmp_path, found), ["prepare", "pretrain@mine"])
    deep = parameters(depth=True)
    deep["pretrain"] |= {"mine": found["pretrain"]["mine"], "colours": {"method": "split_brain"}}
    check_stages(Project.given(tmp_path, deep), ["prepare", "pretrain@mine", "pretrain@simclr"])
    with pytest.raises(ParameterError, match=r"pretrain\.colours: .*needs pictures of 3 channels"):
        check_stages(Project.given(tmp_path, deep), ["prepare", "pretrain@colours"])


def test_each_point_of_a_sweep_is_looked_at_with_its_own_name(tmp_path):
    good, bad = parameters(), parameters()
    bad["training"]["optimizer"] = "adamm"
    project = Project.given(tmp_path, good)
    dry_run.check_points(project, [("sweep a, first", good, ["pretrain@rotation", "transfer@rotation-knn"])])
    with pytest.raises(ParameterError, match=r"^sweep a, second: pretrain\.rotation: optimizer 'adamm' is unknown"):
        dry_run.check_points(
            project, [("sweep a, first", good, []), ("sweep a, second", bad, ["prepare", "pretrain@rotation"])]
        )


@pytest.mark.parametrize("run", ["pretrain.rotation", "clusterfit.rotation_cf"])
def test_every_training_may_have_a_schedule_of_its_own_which_is_looked_at(tmp_path, run):
    word, name = run.split(".")
    found = parameters()
    found["training"]["schedule"] = "constant"
    found[word][name] |= {"schedule": "steps", "milestones": [0.3, 0.6, 0.9], "decay": 0.2}
    check_parameters(found | {"data": found["datasets"]["world"]}, ROOT)
    check_stages(Project.given(tmp_path, found), ["prepare", f"{word}@{name}"])
    found[word][name]["milestones"] = [0.6, 0.3]
    with pytest.raises(ParameterError, match=rf"{run}: milestones is \[0.6, 0.3\]; they must be rising shares"):
        check_stages(Project.given(tmp_path, found), ["prepare", f"{word}@{name}"])


def test_a_network_that_the_memory_does_not_hold_is_refused(tmp_path, monkeypatch):
    def build(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] . can't allocate memory")

    monkeypatch.setattr("tasks.training.building.build_method", build)
    with pytest.raises(ParameterError, match=r"pretrain\.rotation: a network of these settings does not fit"):
        check_stages(Project.given(tmp_path, parameters()), ["prepare", "pretrain@rotation"])


def test_a_sheet_of_pictures_with_depth_shows_their_colours():
    pictures = numpy.random.default_rng(0).integers(0, 255, (2, 4, 5, 6), dtype=numpy.uint8)
    shown = sheet([[preview({"images": pictures}, row, {}) for row in (0, 1)]], columns=2)
    assert shown.shape == (5, 13, 3)
    assert (shown == sheet([[preview({"images": pictures[:, :3]}, row, {}) for row in (0, 1)]], columns=2)).all()
    assert (shown[:, :6] == pictures[0, :3].transpose(1, 2, 0)).all()


PROTOCOLS = [path.stem for path in (ROOT / "ssl_models/protocols").glob("*.py") if "def evaluate(" in path.read_text()]


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_can_be_looked_at_beforehand(name):
    """With its defaults it starts; a setting out of range is refused without any data."""
    module = import_module(f"ssl_models.protocols.{name}")
    check_protocol(name, {}, None)
    numbers = [key for key, value in (module.evaluate.__kwdefaults__ or {}).items() if type(value) in (int, float)]
    for key in numbers[:1]:
        with pytest.raises(ValueError, match=key):
            check_protocol(name, {key: -1}, None)


BROKEN = """from ssl_models.methods.rotation import Rotation


class Mine(Rotation):
    def __init__(self, encoder, data):
        super().__init__(encoder, data)
        self.width = undefined
"""


def test_a_mistake_in_a_method_is_told_by_file_and_line_before_the_start(tmp_path, monkeypatch):
    path = tmp_path / "ssl_models" / "methods" / "mine.py"
    path.parent.mkdir(parents=True)
    path.write_text(BROKEN)
    names: dict[str, Any] = {}
    exec(compile(BROKEN, path, "exec"), names)
    monkeypatch.setattr("tasks.training.building.method_class", lambda _: names["Mine"])
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    project = Project.given(ROOT, parameters())
    with pytest.raises(ParameterError) as caught:
        check_stages(project, ["prepare", "pretrain@rotation"])
    head, frame, line = str(caught.value).splitlines()
    place = "ssl_models/methods/mine.py, line 7, in __init__"
    assert head == f"pretrain.rotation: {place}: NameError: name 'undefined' is not defined"
    assert (frame, line) == (f"    {place}", "        self.width = undefined")
    monkeypatch.setenv("COVEY_TRACEBACK", "1")
    with pytest.raises(NameError):
        check_stages(project, ["prepare", "pretrain@rotation"])
