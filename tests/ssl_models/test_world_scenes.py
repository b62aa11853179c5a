"""That the world's annotations are true of its pictures, shown by other ways than the ones that they were made by."""

import math

import pytest
import torch

from ssl_models.datasets import world_scenes
from ssl_models.datasets._world import truth
from ssl_models.datasets._world.render import render, render_objects
from ssl_models.datasets._world.scene import DIALS, FACTORS, Scene, sample_scene
from ssl_models.datasets._world.shapes import CLASSES

torch.set_num_threads(1)
SIZE = 64
TOP, RIGHT, BOTTOM, LEFT = (truth.POINTS.index(name) for name in ("top", "right", "bottom", "left"))


def scenes(samples: int, seed: int = 0) -> Scene:
    return sample_scene(samples, torch.Generator().manual_seed(seed), DIALS)


def one_of_each(**values: float) -> Scene:
    """An object of every class, all factors at their centres unless given."""
    fixed = sample_scene(len(CLASSES), torch.Generator().manual_seed(0), dict.fromkeys(DIALS, 0.0)).moved(**values)
    return Scene(torch.arange(len(CLASSES)), fixed.factors, fixed.blobs, fixed.waves)


def places(scene: Scene) -> torch.Tensor:
    """(B, P, 2) from the frame's centre, of its side."""
    return truth.points(scene, SIZE)[..., :2] / SIZE - 0.5


def covered(scene: Scene) -> torch.Tensor:
    """(B, H, W) share of each pixel that is the object's: what no white of the background shines through."""
    white, black = (
        render(scene.moved(background_saturation=0.0, background_brightness=brightness), SIZE).float()
        for brightness in (1.0, 0.0)
    )
    return 1 - (white - black).mean(1) / 255


@pytest.fixture(scope="module")
def many():
    return world_scenes.load(seed=3, train=48, test=16, objects=4)


@pytest.fixture(scope="module")
def single():
    return world_scenes.load(seed=3, train=40, test=20)


@pytest.fixture(scope="module")
def drawn():
    """The scenes of 36 pictures of up to 4 objects, their masks and boxes."""
    objects = world_scenes.place(36, 4, torch.Generator().manual_seed(1), DIALS)
    shown = truth.masks(objects, SIZE)
    return objects, shown, truth.boxes(objects, shown)


def test_a_box_encloses_its_mask_tightly(many) -> None:
    boxes, masks = many.train.truth["boxes"], many.train.truth["masks"]
    assert boxes[:, 0].diff().min() >= 0
    for sample in range(len(masks)):
        own = boxes[boxes[:, 0] == sample]
        seen = [number for number in range(1, 5) if (masks[sample] == number).any()]
        assert len(own) == len(seen)
        for box, number in zip(own, seen, strict=True):
            rows, columns = (masks[sample] == number).nonzero(as_tuple=True)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box[2:6].tolist() == [float(edge) for edge in edges]


def test_the_masks_numbers_are_those_of_the_sample_s_boxes(many) -> None:
    """So split.py says: from 1, in the order of the sample's boxes, without a gap."""
    boxes, masks = many.train.truth["boxes"], many.train.truth["masks"]
    for sample in range(len(masks)):
        assert masks[sample].unique().tolist() == list(range(int((boxes[:, 0] == sample).sum()) + 1))


def test_masks_are_what_drawing_the_object_changes() -> None:
    """Where more than half of a pixel changes; exactly half may be rounded either way."""
    scene = scenes(36)
    share = covered(scene)
    doubtful = (share - 0.5).abs() < 0.01
    assert doubtful.float().mean() < 0.01
    assert torch.equal((truth.masks([scene], SIZE) > 0)[~doubtful], (share > 0.5)[~doubtful])
    changed = (render(scene, SIZE).int() - render(scene, SIZE, with_object=False).int()).abs().amax(1)
    assert (changed[share == 0] <= 1).all()  # a share of less than a level of grey


def test_later_objects_lie_over_earlier_ones(drawn) -> None:
    """Leaving the last object out of the picture changes nothing where it is not, and all where it is alone."""
    objects, shown, _ = drawn
    changed = (render_objects(objects, SIZE).int() - render_objects(objects[:-1], SIZE).int()).abs().amax(1)
    share = covered(objects[-1])
    assert (changed[share == 0] <= 1).all()
    assert (changed[share == 1] > 0).float().mean() > 0.98  # but for equal colours
    assert (shown[share > 0.51] == len(objects)).all()
    alone = [truth.masks([scene], SIZE) > 0 for scene in objects]
    expected = torch.zeros_like(shown)
    for number, own in enumerate(alone, 1):
        expected[own] = number
    assert torch.equal(shown, expected)


def test_hidden_objects_are_difficult() -> None:
    """The same place for two: what the second leaves of the first decides."""
    back, front = one_of_each(size=0.5), one_of_each(size=0.5)
    masks = truth.masks([back, front], SIZE)
    boxes = truth.boxes([back, front], masks)
    assert (boxes[:, 6] == 0).all()
    assert len(boxes) == len(CLASSES)  # of what is wholly hidden there is no box
    for shift in (0.05, 0.1, 0.3):
        aside = front.moved(position_x=shift)
        masks = truth.masks([back, aside], SIZE)
        boxes = truth.boxes([back, aside], masks)
        share = (masks == 1).flatten(1).sum(1) / (truth.masks([back], SIZE) > 0).flatten(1).sum(1)
        for label in range(len(CLASSES)):
            own = boxes[boxes[:, 0] == label]
            assert len(own) == 2
            assert own[:, 6].tolist() == [float(share[label] < truth.SMALLEST_PART), 0]


def test_present_agrees_with_boxes(many) -> None:
    for split in (many.train, many.test):
        boxes, present = split.truth["boxes"], split.truth["present"]
        assert present.shape == (len(split), len(CLASSES))
        for sample in range(len(split)):
            own = boxes[boxes[:, 0] == sample]
            for label in range(len(CLASSES)):
                difficult = own[own[:, 1] == label, 6]
                expected = 0 if not len(difficult) else 1 if (difficult == 0).any() else -1
                assert present[sample, label] == expected


def test_present_has_all_three_answers() -> None:
    """Of class 2 a plain and a difficult one, in either order; of class 1 only a difficult one."""
    boxes = torch.zeros(4, 7)
    boxes[:, 1] = torch.tensor([2, 2, 1, 2])
    boxes[:, 6] = torch.tensor([1, 0, 1, 1])
    assert truth.present(boxes, 2, 4).tolist() == [[0, -1, 1, 0], [0, 0, 0, 0]]


def test_every_number_of_objects_is_as_frequent() -> None:
    objects = world_scenes.place(2000, 4, torch.Generator().manual_seed(0), DIALS)
    there = torch.stack([scene.factors["position_x"] < 2 for scene in objects]).sum(0)
    counts = there.bincount(minlength=5)
    assert counts[0] == 0
    assert (counts[1:] - 500).abs().max() < 4.5 * math.sqrt(2000 * 0.25 * 0.75)
    assert torch.equal(objects[0].factors["light"], objects[3].factors["light"])


def same(first, second, samples: int) -> bool:
    kinds = set(first.truth) | set(second.truth)
    kept = {kind: [split.truth[kind] for split in (first, second)] for kind in kinds - {"boxes"}}
    boxes = [split.truth["boxes"][split.truth["boxes"][:, 0] < samples] for split in (first, second)]
    equal = [torch.equal(one[:samples], other[:samples]) for one, other in kept.values()]
    return torch.equal(first.images[:samples], second.images[:samples]) and torch.equal(*boxes) and all(equal)


@pytest.mark.parametrize("objects", [1, 3])
def test_same_seed_same_bytes_and_other_seeds_and_splits_differ(objects: int) -> None:
    first, again, other = (
        world_scenes.load(seed=seed, train=12, test=12, size=32, objects=objects) for seed in (1, 1, 2)
    )
    assert same(first.train, again.train, 12)
    assert same(first.test, again.test, 12)
    assert not (first.train.images == first.test.images).flatten(1).all(1).any()
    assert not (first.train.images == other.train.images).flatten(1).all(1).any()


def test_a_longer_draw_begins_as_a_shorter_one(single) -> None:
    assert same(world_scenes.load(seed=3, train=20, test=10).train, single.train, 20)


def test_neither_chunk_nor_company_changes_a_truth(drawn) -> None:
    objects, shown, _ = drawn
    few = [scene[10:17] for scene in objects]
    assert torch.equal(truth.masks(few, SIZE, chunk=3), shown[10:17])
    assert torch.equal(truth.normals(few, SIZE, chunk=2), truth.normals(objects, SIZE)[10:17])


@pytest.mark.parametrize("objects", [1, 2, 4])
def test_load_gives_what_count_says_and_labels_only_with_one_object(objects: int) -> None:
    data = world_scenes.load(seed=0, train=9, test=5, size=32, objects=objects)
    assert world_scenes.count(train=9, test=5, size=32, objects=objects) == (len(data.train), len(data.test)) == (9, 5)
    assert data.classes == CLASSES
    kinds = {"boxes", "present", "masks", "normals"}
    for split in (data.train, data.test):
        assert split.images.shape[1:] == (3, 32, 32)
        assert split.images.dtype == torch.uint8
        assert (split.labels is None) == (objects > 1)
        assert set(split.truth) == (kinds | {"points", "extent"} if objects == 1 else kinds)
        assert set(split.factors) == ({"class", *FACTORS} if objects == 1 else set())
        assert {kind: split.truth[kind].dtype for kind in kinds} == {
            "boxes": torch.float32,
            "present": torch.int8,
            "masks": torch.uint8,
            "normals": torch.float16,
        }
    assert data.points == (truth.POINTS if objects == 1 else ())


def test_a_single_object_s_label_is_its_box_s(single) -> None:
    boxes = single.train.truth["boxes"]
    assert torch.equal(boxes[:, 1].long(), single.train.labels[boxes[:, 0].long()])
    assert (boxes[:, 6] == 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": 0}, "world_scenes train is 0; it must be at least 1"),
        ({"test": -1}, "world_scenes test is -1; it must be at least 1"),
        ({"size": 31}, "world_scenes size is 31 pixels; it must be at least 32"),
        ({"objects": 0}, "world_scenes objects is 0; it must be 1 to 4"),
        ({"objects": 5}, "world_scenes objects is 5; it must be 1 to 4"),
        ({"background": 1.1}, r"world_scenes background is 1.1; it must be between 0 and 1"),
        ({"background": math.nan}, r"world_scenes background is nan; it must be between"),
        ({"seed": -1}, "world_scenes seed is -1; it must not be negative"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world_scenes.load(**{"seed": 0, **settings})
    with pytest.raises(ValueError, match=message):
        world_scenes.count(**settings)
