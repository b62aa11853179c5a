"""That the world's annotations are true of its pictures, shown by other ways than the ones that they were made by."""

import math

import pytest
import torch
from torch.nn import functional

from ssl_models.datasets import truth, world_scenes
from ssl_models.datasets.render import object_maps, render, render_objects
from ssl_models.datasets.scene import DIALS, FACTORS, Scene, sample_scene
from ssl_models.datasets.shapes import CHANNELS, CLASSES

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


def test_points_lie_on_the_silhouette_s_edge() -> None:
    """The distance to the outline, of a turned, moved, stretched and bent object, is 0 there."""
    scene, fine = scenes(48, seed=2), 512
    distance = object_maps(scene, fine)[:, CHANNELS.index("distance")]
    points = truth.points(scene, fine)
    index = points[..., :2].long().clamp(0, fine - 1)
    found = torch.stack([distance[torch.arange(48), index[:, point, 1], index[:, point, 0]] for point in range(4)], 1)
    within = points[..., 2] > 0
    assert within.float().mean() > 0.9
    assert found[within].abs().max() < 0.015


def test_points_are_the_ends_of_the_upright_object() -> None:
    upright = one_of_each()
    masks, points = truth.masks([upright], SIZE), truth.points(upright, SIZE)
    boxes = truth.boxes([upright], masks)
    ends = torch.stack([points[:, LEFT, 0], points[:, TOP, 1], points[:, RIGHT, 0], points[:, BOTTOM, 1]], 1)
    assert (ends - boxes[:, 2:6]).abs().max() < 1.5


@pytest.mark.parametrize("mirror", [-1.0, 1.0])
def test_left_and_right_are_as_seen(mirror: float) -> None:
    found = places(one_of_each(mirror=mirror))
    assert (found[:, LEFT, 0] < found[:, RIGHT, 0] - 0.1).all()
    assert (found[:, TOP, 1] < found[:, BOTTOM, 1] - 0.1).all()


def test_points_move_with_position_size_and_orientation() -> None:
    scene = scenes(24, seed=4).moved(position_x=0.0, position_y=0.0, orientation=0.0, size=0.6)
    still = places(scene)
    moved = places(scene.moved(position_x=0.07, position_y=-0.05))
    assert torch.allclose(moved, still + torch.tensor([0.07, -0.05]), atol=1e-6)
    assert torch.allclose(places(scene.moved(size=0.9)), 1.5 * still, atol=1e-6)
    turn = 0.7  # counter-clockwise as seen, with y down
    x, y = still.unbind(2)
    expected = torch.stack([x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)], 2)
    assert torch.allclose(places(scene.moved(orientation=turn)), expected, atol=1e-6)
    assert torch.equal(truth.extent(scene.moved(size=0.9), SIZE), torch.full((24,), 0.9 * SIZE))


def test_points_of_a_mirrored_object_are_those_of_the_flipped_picture() -> None:
    scene = scenes(24, seed=5).moved(orientation=0.0, position_x=0.0, mirror=1.0)
    seen, mirrored = places(scene), places(scene.moved(mirror=-1.0))
    flipped = seen * torch.tensor([-1.0, 1.0])
    exchanged = [TOP, LEFT, BOTTOM, RIGHT]
    assert torch.allclose(mirrored, flipped[:, exchanged], atol=1e-6)


def test_points_out_of_the_frame_are_not_visible() -> None:
    points = truth.points(one_of_each(position_x=0.6), SIZE)
    inside = ((points[..., :2] >= 0) & (points[..., :2] < SIZE)).all(2)
    assert torch.equal(points[..., 2] > 0, inside)
    assert inside.any()
    assert not inside.all()


def test_normals_have_length_one_and_the_wall_faces_the_viewer(many) -> None:
    normals, masks = many.train.truth["normals"].float(), many.train.truth["masks"]
    assert normals.shape == (48, 3, SIZE, SIZE)
    assert torch.allclose(normals.norm(dim=1), torch.tensor(1.0), atol=1e-3)
    wall = normals.permute(0, 2, 3, 1)[masks == 0]
    assert torch.equal(wall, torch.tensor([0.0, 0, 1]).expand_as(wall))
    assert (normals[:, 2] > 0).all()


def test_normals_are_those_of_the_relief_without_any_deformation() -> None:
    """The relief keeps its own, which were measured before it was posed: a second way to the same."""
    scene = one_of_each(size=0.9)
    maps = object_maps(scene, SIZE)
    own = maps[:, [CHANNELS.index(f"normal_{axis}") for axis in "xyz"]]
    inside = maps[:, CHANNELS.index("distance")] < -3 / SIZE
    cosine = functional.cosine_similarity(truth.normals([scene], SIZE).float(), own, dim=1)[inside]
    assert cosine.median() > math.cos(math.radians(3))
    assert cosine.quantile(0.05) > math.cos(math.radians(15))


def test_normals_match_the_gradient_of_fine_heights() -> None:
    """Forward differences of heights at eight times the size, averaged; of turned, stretched and bent objects."""
    scene, fine = scenes(12, seed=6), 8 * SIZE
    heights = truth.heights(scene, fine)
    slope_x = functional.pad(heights[:, :, 1:] - heights[:, :, :-1], (0, 1)) * fine
    slope_y = functional.pad(heights[:, 1:] - heights[:, :-1], (0, 0, 0, 1)) * fine
    vectors = functional.normalize(torch.stack([-slope_x, -slope_y, torch.ones_like(slope_x)], 1), dim=1)
    expected = functional.normalize(functional.avg_pool2d(vectors, 8), dim=1)
    inner = functional.max_pool2d((truth.masks([scene], SIZE) == 0).float(), 3, 1, 1) == 0
    cosine = (truth.normals([scene], SIZE).float() * expected).sum(1)[inner]
    assert cosine.median() > math.cos(math.radians(3))
    assert cosine.quantile(0.02) > math.cos(math.radians(20))


def test_a_picture_is_bright_where_normals_face_the_light() -> None:
    """Grey objects without deformation, which the picture's light leaves out: n . l against what is seen."""
    scene = one_of_each(size=0.9, saturation=0.0, light=0.4, brightness=0.5)
    picture = render(scene, SIZE).float().mean(1)
    tilt = math.radians(50)
    light = torch.tensor([math.cos(0.4) * math.sin(tilt), -math.sin(0.4) * math.sin(tilt), math.cos(tilt)])
    facing = (truth.normals([scene], SIZE).float() * light[:, None, None]).sum(1).clamp(min=0)
    inner = functional.max_pool2d((truth.masks([scene], SIZE) == 0).float(), 3, 1, 1) == 0
    for label in range(len(CLASSES)):
        both = torch.stack([picture[label][inner[label]], facing[label][inner[label]]])
        assert torch.corrcoef(both)[0, 1] > 0.7


def test_normals_are_those_of_the_object_in_front(drawn) -> None:
    objects, shown, _ = drawn
    together = truth.normals(objects, SIZE)
    for number, scene in enumerate(objects, 1):
        own = (shown == number)[:, None].expand_as(together)
        assert torch.equal(together[own], truth.normals([scene], SIZE)[own])


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
