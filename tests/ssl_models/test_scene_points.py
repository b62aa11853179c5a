"""That the points and normals of the world's objects are true of its pictures."""

import math

import pytest
import torch
from torch.nn import functional

from ssl_models.datasets._world import truth
from ssl_models.datasets._world.render import object_maps, render
from ssl_models.datasets._world.shapes import CHANNELS, CLASSES
from tests.ssl_models.test_world_scenes import (  # noqa: F401
    BOTTOM,
    LEFT,
    RIGHT,
    SIZE,
    TOP,
    covered,
    drawn,
    many,
    one_of_each,
    places,
    scenes,
    single,
)


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


def test_normals_have_length_one_and_the_wall_faces_the_viewer(many) -> None:  # noqa: F811
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


def test_normals_are_those_of_the_object_in_front(drawn) -> None:  # noqa: F811
    objects, shown, _ = drawn
    together = truth.normals(objects, SIZE)
    for number, scene in enumerate(objects, 1):
        own = (shown == number)[:, None].expand_as(together)
        assert torch.equal(together[own], truth.normals([scene], SIZE)[own])
