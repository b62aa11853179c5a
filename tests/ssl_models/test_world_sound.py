"""The clips of world_sound: what they hold, and that the picture does not tell which of its objects sounds."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kruskal
from sklearn.linear_model import LogisticRegression

from ssl_models.datasets import world_sound
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._world import truth
from ssl_models.datasets._world.render import render_objects
from ssl_models.datasets._world.scene import DIALS as SEEN
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_sound.notes import DIALS, FACTORS
from ssl_models.datasets._world_sound.pictures import Pictures, annotations, draw, sample_pictures

torch.set_num_threads(1)


def drawn(samples: int, objects: int = 2, seed: int = 0) -> Pictures:
    return sample_pictures(samples, objects, torch.Generator().manual_seed(seed), SEEN)


@pytest.fixture(scope="module")
def clips() -> Dataset:
    return world_sound.load(seed=0, train=240, test=24, size=32)


def test_load_gives_what_count_and_describe_say() -> None:
    settings = {"train": 13, "test": 5, "size": 40, "noise": 0.5}
    data = world_sound.load(seed=3, **settings)
    assert world_sound.count(**settings) == (len(data.train), len(data.test)) == (13, 5)
    shapes, known = world_sound.describe(**settings)
    assert known == data.known == {"rate": 8000, "fps": 1.0}
    assert {part: tuple(values.shape[1:]) for part, values in data.train.parts.items()} == shapes
    assert shapes == {"frames": (1, 3, 40, 40), "sound": (8000,), "length": (1,), "source": (1,)}
    types = {part: values.dtype for part, values in data.train.parts.items()}
    assert types == {"frames": torch.uint8, "sound": torch.int16, "length": torch.int32, "source": torch.int32}
    assert data.train.parts["source"][:, 0].tolist() == list(range(13))
    assert data.train.parts["length"].unique().tolist() == [8000]
    assert data.classes == data.label_sets["sounding"] == CLASSES
    assert data.label_sets["silent"] == (*CLASSES, "none")
    assert set(data.train.factors) == {*FACTORS, "objects"}
    assert all(values.shape == (13,) and values.dtype == torch.float32 for values in data.train.factors.values())
    assert set(data.test.truth) == {"labels.sounding", "labels.silent", "boxes", "present", "source_box"}
    assert torch.equal(data.train.labels, data.train.truth["labels.sounding"])


def test_defaults_are_the_dials_and_a_set_of_five_thousand() -> None:
    assert {name: world_sound.load.__kwdefaults__[name] for name in DIALS} == DIALS
    assert world_sound.count() == (4096, 1024)
    assert world_sound.describe()[0]["frames"] == (1, 3, 64, 64)
    assert world_sound.KIND == "audiovisual"


def test_same_seed_same_bytes_and_other_seeds_and_splits_differ() -> None:
    first, again, other = (world_sound.load(seed=seed, train=14, test=14, size=32) for seed in (1, 1, 2))
    for split, same in ((first.train, again.train), (first.test, again.test)):
        assert all(torch.equal(split.parts[part], same.parts[part]) for part in split.parts)
        assert all(torch.equal(split.truth[kind], same.truth[kind]) for kind in split.truth)
    splits = (first.train, first.test, other.train, other.test)
    for part in ("sound", "frames"):
        assert len(torch.cat([split.parts[part].flatten(1) for split in splits]).unique(dim=0)) == 4 * 14


def test_a_longer_draw_begins_as_a_shorter_one(clips: Dataset) -> None:
    few = world_sound.load(seed=0, train=21, test=1, size=32).train
    assert all(torch.equal(few.parts[part], clips.train.parts[part][:21]) for part in few.parts)
    boxes = clips.train.truth["boxes"]
    assert torch.equal(few.truth["boxes"], boxes[boxes[:, 0] < 21])
    assert torch.equal(few.truth["source_box"], clips.train.truth["source_box"][:21])


@pytest.mark.parametrize("objects", [1, 2, 4])
def test_leaving_out_what_a_picture_does_not_have_changes_nothing(objects: int) -> None:
    pictures = drawn(24, objects)
    assert torch.equal(draw(pictures, 32), render_objects(pictures.objects, 32))
    masks = truth.masks(pictures.objects, 32)
    expected = truth.boxes(pictures.objects, masks)
    found = annotations(pictures, 32)
    assert torch.equal(found["boxes"], expected)
    assert torch.equal(found["present"], truth.present(expected, 24, len(CLASSES)))
    assert expected[:, 0].long().bincount().tolist() == pictures.many.tolist()


def test_the_source_box_is_that_of_the_class_that_sounds(clips: Dataset) -> None:
    split = clips.train
    boxes, source_box = split.truth["boxes"], split.truth["source_box"]
    for sample in range(len(split)):
        own = boxes[boxes[:, 0] == sample]
        rows = own[own[:, 1] == split.labels[sample]]
        assert len(rows) == 1
        assert torch.equal(rows[0, 2:6], source_box[sample])
        others = own[own[:, 1] != split.labels[sample], 1].tolist()
        assert others == ([] if len(own) == 1 else [float(split.truth["labels.silent"][sample])])
        assert len(own) == split.factors["objects"][sample]


def test_only_with_two_objects_one_is_the_silent_one() -> None:
    for objects in (1, 3):
        data = world_sound.load(seed=0, train=2, test=2, size=32, objects=objects)
        assert set(data.label_sets) == {"sounding"}
        assert not [kind for kind in data.train.truth if kind == "labels.silent"]


def test_the_one_that_sounds_is_drawn_first_as_often_as_last_and_stands_everywhere_as_often() -> None:
    pictures = drawn(6000)
    two = pictures.many == 2
    assert chisquare([two.sum(), (~two).sum()]).pvalue > 1e-4
    assert chisquare(pictures.sounding[two].bincount(minlength=2)).pvalue > 1e-4
    assert set(pictures.sounding[~two].tolist()) == {0}
    across, down = (
        torch.stack([scene.factors[name] for scene in pictures.objects], 1).gather(1, pictures.sounding[:, None])[:, 0]
        for name in ("position_x", "position_y")
    )
    cells = 2 * (across > 0).long() + (down > 0).long()
    assert chisquare(cells.bincount(minlength=4)).pvalue > 1e-4


def test_classes_of_a_picture_differ_and_are_balanced() -> None:
    pictures = drawn(6000, 3)
    table = pictures.of_places().sort(1).values
    assert (table.diff(dim=1) > 0).all()
    assert all(len(set(block.tolist())) == 12 for block in pictures.labels.split(12))
    two = drawn(6000)
    pairs = 12 * two.labels + two.silent
    counts = pairs[two.many == 2].bincount(minlength=144)
    assert (counts.view(12, 12).diagonal() == 0).all()
    assert chisquare(counts[counts > 0]).pvalue > 1e-4
    assert int((counts > 0).sum()) == 132
    assert (two.silent[two.many == 1] == 12).all()


@pytest.mark.parametrize("name", ["size", "hue", "saturation", "brightness", "orientation", "stretch", "bend"])
def test_no_factor_of_an_object_goes_with_its_sounding(name: str) -> None:
    pictures = drawn(6000)
    two = pictures.many == 2
    values = torch.stack([scene.factors[name] for scene in pictures.objects], 1)[two]
    sounds = torch.arange(2) == pictures.sounding[two, None]
    assert kruskal(values[sounds], values[~sounds]).pvalue > 1e-4


def test_the_pictures_do_not_tell_which_object_sounds() -> None:
    """A classifier on the boxes and the pixels within: colour, size, place, what is hidden, which row comes first.

    Of each picture of two objects the features of the one less those of the other, in random order, as in a choice
    between two. Chance is one half.
    """
    pictures = drawn(1600, seed=5)
    frames, boxes = draw(pictures, 32).float() / 255, annotations(pictures, 32)["boxes"]
    rows = [boxes[boxes[:, 0] == sample] for sample in (pictures.many == 2).nonzero()[:, 0]]
    draws = np.random.default_rng(0)
    features, answers = [], []
    for own in rows:
        described = []
        for box in own:
            sample, _, left, top, right, bottom, _ = (int(value) for value in box)
            inside = frames[sample, :, top:bottom, left:right].flatten(1)
            shape = [left, top, right, bottom, (right - left) * (bottom - top), (right - left) / (bottom - top)]
            described.append(torch.cat([inside.mean(1), inside.std(1), torch.tensor(shape) / 32]))
        first = int(draws.integers(2))
        features.append((described[first] - described[1 - first]).numpy())
        answers.append(bool(own[first, 1] == pictures.labels[int(own[0, 0])]))
    half = len(rows) // 2
    model = LogisticRegression(max_iter=500).fit(features[:half], answers[:half])
    share, error = model.score(features[half:], answers[half:]), math.sqrt(0.25 / (len(rows) - half))
    assert abs(share - 0.5) < 3.5 * error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": 0}, "world_sound train is 0; it must be at least 1"),
        ({"test": -1}, "world_sound test is -1; it must be at least 1"),
        ({"seed": -1}, "world_sound seed is -1; it must not be negative"),
        ({"size": 31}, "world_sound size is 31 pixels; it must be at least 32"),
        ({"objects": 0}, "world_sound objects is 0; it must be 1 to 4"),
        ({"objects": 5}, "world_sound objects is 5; it must be 1 to 4"),
        ({"background": 1.1}, "world_sound background is 1.1; it must be between 0 and 1"),
        ({"pitch": 1.5}, "world_sound dial pitch is 1.5; it must be between 0"),
        ({"vibrato": -0.1}, "world_sound dial vibrato is -0.1; it must be between 0"),
        ({"noise": math.nan}, "world_sound dial noise is nan; it must be between 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    for refuse in (world_sound.count, world_sound.describe):
        with pytest.raises(ValueError, match=message):
            refuse(**settings)
    with pytest.raises(ValueError, match=message):
        world_sound.load(**{"seed": 0, **settings})


def test_an_unknown_dial_is_refused() -> None:
    with pytest.raises(ValueError, match="world_sound dial 'timbre' is unknown; choose from"):
        world_sound.count(timbre=0.5)
