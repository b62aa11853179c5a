"""Depth: the world's fourth channel, and the heights and normals that it is made of."""

import math

import torch

from ssl_models.datasets import world
from ssl_models.datasets._world.render import NEAREST, nearness
from ssl_models.datasets._world.shapes import CHANNELS, CLASSES, HIGHEST, REACH, RESOLUTION, relief_maps
from ssl_models.modalities.inputs import inputs
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.photometric import colour_jitter
from tests.ssl_models.test_world import mask, one_of_each, scenes

torch.set_num_threads(1)


def test_depth_is_a_fourth_channel_and_changes_nothing_else() -> None:
    settings = {"seed": 3, "train": 26, "test": 13, "size": 20, "texture": 1.0}
    flat, deep = world.load(**settings), world.load(**settings, depth=True)
    assert (world.channels(**settings), world.channels(**settings, depth=True)) == (3, 4)
    assert world.count(**settings, depth=True) == (26, 13)
    for plain, split in ((flat.train, deep.train), (flat.test, deep.test)):
        assert split.images.shape == (len(plain), 4, 20, 20)
        assert split.images.dtype == torch.uint8
        assert torch.equal(split.images[:, :3], plain.images)
        assert all(torch.equal(split.factors[name], values) for name, values in plain.factors.items())
        assert (split.images[:, 3].flatten(1).amax(1) > 0).all()


def test_nearness_is_over_nothing_where_the_object_is_not() -> None:
    scene = scenes(60, seed=2)
    near, shown = nearness(scene, 48)[:, 0], mask(scene)
    assert near.dtype == torch.uint8
    assert (near[shown < 0.48] == 0).all()
    assert (near[shown > 0.52] > 0).all()
    assert int(near.max()) > 150


def test_nearness_knows_neither_light_nor_colours_nor_background_nor_the_chunk() -> None:
    scene = scenes(12, seed=2, texture=1.0)
    other = scene.moved(light=1.0, hue=2.0, saturation=0.1, brightness=0.2, background_hue=1.0, gradient=0.3)
    assert torch.equal(nearness(scene, 32), nearness(other, 32))
    assert torch.equal(nearness(scene, 32), nearness(scene, 32, chunk=5))


def test_nearness_turns_with_the_object_and_grows_with_it() -> None:
    turned = nearness(one_of_each(orientation=0.2 + math.pi / 2), 32)
    upright = nearness(one_of_each(orientation=0.2), 32)
    differs = (torch.rot90(upright, 1, (2, 3)).int() - turned.int()).abs() > 1
    assert differs.float().mean() < 0.002  # a pixel of which just about half is covered may go either way
    small, large = (nearness(one_of_each(size=size), 96).flatten(1).amax(1).float() - 1 for size in (0.4, 0.8))
    assert torch.allclose(large / small, torch.tensor(2.0), rtol=0.05)


def test_nearness_is_linear_in_the_height_and_the_highest_scene_fits() -> None:
    height = relief_maps()[CHANNELS.index("height")].view(len(CLASSES), RESOLUTION, RESOLUTION)
    assert -0.001 < height.min() <= height.max() <= HIGHEST
    near = nearness(one_of_each(size=0.95), 96).flatten(1).amax(1).float()
    expected = 1 + 254 * height.flatten(1).amax(1) * (0.95 / 2) / NEAREST
    assert torch.allclose(near, expected, atol=3)


def test_the_normals_are_those_of_the_heights() -> None:
    maps = relief_maps().view(len(CHANNELS), len(CLASSES), RESOLUTION, RESOLUTION)
    _, normal_x, normal_y, normal_z, _, height = maps
    down, across = torch.gradient(height, spacing=2 * REACH / RESOLUTION, dim=(1, 2))
    assert torch.allclose(normal_x / normal_z, -across, atol=1e-4)
    assert torch.allclose(normal_y / normal_z, -down, atol=1e-4)


def test_views_of_four_channels_move_them_together_and_turn_no_hue() -> None:
    pictures = inputs(world.load(seed=0, train=8, test=1, depth=True).train.images)
    doubled = torch.cat([pictures, pictures[:, 3:]], 1)
    view = random_crop_flip(doubled, torch.Generator().manual_seed(0), smallest=0.3)
    torch.testing.assert_close(view[:, 3], view[:, 4])
    assert not torch.equal(view[:, 3], doubled[:, 3])
    red = torch.tensor([0.8, 0.1, 0.1, 0.5])[None, :, None, None].expand(8, -1, 4, 4).contiguous()
    jittered = colour_jitter(red, torch.Generator().manual_seed(0), strength=0.5, hue=0.5, grey=1.0)
    torch.testing.assert_close(jittered[:, 1], jittered[:, 2])
    assert (jittered[:, 0] > jittered[:, 3]).all()
    assert (jittered[:, 3] > jittered[:, 1]).all()
