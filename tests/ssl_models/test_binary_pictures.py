"""Pictures of another reader become vectors of 0 and 1, exactly, and all else that is known of them stays."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from ssl_models.datasets import binary_pictures, folder, world
from ssl_models.datasets._binary_pictures.binarising import binarised, overlaps
from tests.ssl_models.pictures import encoded

torch.set_num_threads(1)
WORLD = {"reader": "world", "size": 16, "train": 40, "test": 20}


def load(of=WORLD, **settings):
    return binary_pictures.load(**({"seed": 0, "source": "", "of": of} | settings))


def images(count, size, seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture
def photos(tmp_path):
    """16 pictures of 24 x 24 of two classes, a table of labels, a broken picture and a film."""
    place = tmp_path / "photos"
    for name in ("a", "b"):
        (place / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng([number, ord(name)]).integers(256, size=(24, 24, 3), dtype=np.uint8)
            (place / name / f"{number}.png").write_bytes(encoded(pixels))
    (place / "a" / "broken.png").write_bytes(b"no picture")
    (place / "a" / "film.mov").write_bytes(b"film")
    return place


def test_overlaps_by_hand():
    assert overlaps(3, 2).tolist() == [[2, 1, 0], [0, 1, 2]]
    assert overlaps(4, 2).tolist() == [[2, 2, 0, 0], [0, 0, 2, 2]]
    assert torch.equal(overlaps(5, 5), 5 * torch.eye(5))


@pytest.mark.parametrize("threshold", [None, 0.45])
@pytest.mark.parametrize(("size", "side"), [(6, 3), (7, 3), (5, 5), (8, 3)])
def test_bits_are_those_of_a_loop_over_cells_and_pixels(size, side, threshold):
    pictures = images(4, size)
    for picture, found in zip(pictures.tolist(), binarised(pictures, side, threshold), strict=True):
        weights = (Fraction(299, 1000), Fraction(587, 1000), Fraction(114, 1000))
        cells = []
        for down in range(side):
            for across in range(side):
                total = Fraction(0)
                for row in range(size):
                    for column in range(size):
                        share = Fraction(1)
                        for cell, pixel in ((down, row), (across, column)):
                            begin, end = Fraction(cell * size, side), Fraction((cell + 1) * size, side)
                            share *= max(Fraction(0), min(end, pixel + 1) - max(begin, pixel))
                        grey = sum(weight * picture[c][row][column] for c, weight in enumerate(weights))
                        total += share * grey
                cells.append(total / Fraction(size, side) ** 2)
        middle = sum(cells) / len(cells) if threshold is None else Fraction(threshold) * 255
        assert found.tolist() == [float(cell > middle) for cell in cells]


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_grey_has_the_weights_of_rec_601(channel, weight):
    picture = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    picture[:, channel] = 255
    assert binarised(picture, 2, weight - 0.001).all()
    assert not binarised(picture, 2, weight + 0.001).any()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (1, 77, 201), (254, 3, 99)])
def test_a_picture_of_one_colour_has_no_brighter_cell_whatever_the_sizes(colour):
    picture = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1)
    for size, side in ((7, 3), (11, 5), (32, 8), (97, 13)):
        assert not binarised(picture.expand(1, 3, size, size), side, None).any()


def test_the_own_mean_makes_up_for_brightness_and_turns_with_a_negative():
    dark = images(20, 12) // 2
    bits = binarised(dark, 4, None)
    assert torch.equal(binarised(dark + 100, 4, None), bits)
    assert torch.equal(binarised(255 - dark, 4, None), 1 - bits)
    assert not torch.equal(binarised(dark + 100, 4, 0.4), binarised(dark, 4, 0.4))


def test_a_fourth_channel_is_passed_over_and_pieces_are_as_the_whole(monkeypatch):
    pictures = images(9, 10, channels=4)
    whole = binarised(pictures[:, :3], 4, None)
    monkeypatch.setattr("ssl_models.datasets._binary_pictures.binarising.NUMBERS", 250)
    assert torch.equal(binarised(pictures, 4, None), whole)
    assert binarised(pictures[:0], 4, None).shape == (0, 16)


def test_what_is_loaded_is_the_other_readers_pictures_with_their_labels_and_factors():
    pictures = world.load(seed=5, size=16, train=40, test=20)
    data = load(seed=5, side=4)
    for split, shown in ((data.train, pictures.train), (data.test, pictures.test)):
        assert torch.equal(split.parts["vectors"], binarised(shown.images, 4, None))
        assert torch.equal(split.labels, shown.labels)
        assert split.factors.keys() == shown.factors.keys()
        assert torch.equal(split.factors["light"], shown.factors["light"])
    assert data.classes == pictures.classes
    assert data.train.parts["vectors"].dtype == torch.float32


def test_what_is_known_is_of_the_training_split():
    data = load(side=4)
    vectors = data.train.parts["vectors"].numpy()
    assert data.known["binary"] is True
    assert data.known["grid"] == [4, 4]
    assert data.known["mean"] == pytest.approx(vectors.mean(0))
    assert data.known["deviation"] == pytest.approx(vectors.std(0), abs=1e-6)
    shapes, known = binary_pictures.describe(seed=0, source="", of=WORLD, side=4)
    assert shapes == {"vectors": (16,)}
    assert known.keys() == data.known.keys()
    assert (known["grid"], len(known["mean"])) == ([4, 4], 16)


def test_of_pictures_that_are_stored_larger_the_middle_is_used(photos):
    settings = {"size": 16, "store": 1.5}
    pictures = folder.load(seed=0, source=str(photos), **settings)
    data = load({"reader": "folder", **settings}, source=str(photos), side=4)
    assert pictures.train.images.shape[2:] == (24, 24)
    assert torch.equal(data.train.parts["vectors"], binarised(pictures.train.images[:, :, 4:20, 4:20], 4, None))
    assert data.size is None


def test_origin_and_what_was_left_out_are_handed_on_and_annotations_but_label_sets_are_not(photos, tmp_path):
    table = tmp_path / "labels.csv"
    rows = [f"{path.relative_to(photos).as_posix()},{path.parent.name},{path.stem}" for path in photos.rglob("*.png")]
    table.write_text("\n".join(["file,class,number", *sorted(rows)]))
    settings = {"size": 16, "labels": str(table)}
    pictures = folder.load(seed=0, source=str(photos), **settings)
    data = load({"reader": "folder", **settings}, source=str(photos), side=4)
    assert data.train.origin is not None
    assert data.train.origin.files == pictures.train.origin.files
    assert torch.equal(data.train.origin.sizes, pictures.train.origin.sizes)
    assert data.label_sets == pictures.label_sets != {}
    assert data.train.truth.keys() == {f"labels.{name}" for name in data.label_sets}
    assert all(torch.equal(own, pictures.test.truth[name]) for name, own in data.test.truth.items())
    assert (data.skipped, data.left_out, data.notes) == (pictures.skipped, pictures.left_out, pictures.notes)
    assert data.skipped
    scenes = load({"reader": "world_scenes", "size": 32, "train": 4, "test": 2})
    assert not scenes.train.truth


def test_the_other_reader_may_write_its_pictures_into_the_room_and_nothing_stays(photos, tmp_path):
    room = tmp_path / "data" / "binary"
    of = {"reader": "folder", "size": 16}
    assert torch.equal(
        load(of, source=str(photos), room=room).train.parts["vectors"],
        load(of, source=str(photos)).train.parts["vectors"],
    )
    load(room=room)
    assert list(room.iterdir()) == []


def test_the_count_is_the_other_readers(photos):
    assert binary_pictures.count(source="", of=WORLD) == (40, 20)
    of = {"reader": "folder", "size": 16, "test_fraction": 0.5}
    assert binary_pictures.count(source=str(photos), of=of) == folder.count(source=str(photos), test_fraction=0.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"of": {"size": 16}}, r"of is {'size': 16}; it must name a reader and its settings, such as {reader: cifar10"),
        ({"of": "world"}, "of is 'world'; it must name a reader"),
        ({"of": {"reader": "binary_pictures"}}, "of.reader is 'binary_pictures' itself; name the reader of"),
        ({"of": {"reader": "wrold"}}, "of.reader is 'wrold', and there is no such reader"),
        ({"of": {"reader": "_common"}}, "of.reader is '_common', and there is no such reader"),
        ({"of": {"reader": "../world"}}, "of.reader is '../world', and there is no such reader"),
        ({"of": {"reader": "world_text"}}, "of.reader is 'world_text', whose data are text; name a reader of pictures"),
        ({"of": {"reader": "world_strokes"}}, "of.reader is 'world_strokes', whose data are strokes"),
        ({"of": WORLD | {"sise": 16}}, "of has 'sise', and the reader 'world' has no such setting; it has .*size"),
        ({"of": WORLD | {"source": "x"}}, "of has 'source', which is the same for both readers"),
        ({"of": WORLD | {"seed": 3}}, "of has 'seed', which is the same for both readers"),
        ({"of": WORLD | {"train": 0}}, "world train is 0; it must be at least 1 sample"),
        ({"side": 1}, "side is 1; it must be at least 2 cells"),
        ({"side": 17}, "side is 17 cells, and the pictures have 16 pixels a side"),
        ({"of": {"reader": "world"}, "side": 33}, "side is 33 cells, and the pictures have 32 pixels a side"),
        ({"threshold": 1.5}, r"threshold is 1.5; it must lie in \[0, 1\]"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings, words):
    for ask in (binary_pictures.load, binary_pictures.count):
        with pytest.raises(ValueError, match=words):
            ask(**({"seed": 0, "source": "", "of": WORLD} | settings))
