"""Near and far patches: each patch finds the one near it among far ones of its picture, of others, or of both."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.near_far_patches import NearFarPatches
from tests.ssl_models.pictures import located

torch.set_num_threads(1)

PLAIN = {"flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
"""Patches show the picture's own pixels."""

SMALL = {"patch": 0.375, "near": 0.33, "far": 1.0}
"""Patches of 12 px of 32, near ones within 4 px, far ones without a pixel in common."""

COUNTS = {"image": 2, "batch": 12, "both": 14}
"""Negatives of a patch in a batch of 4 pictures."""


def method(side: int = 32, channels: int = 3, **settings: Any) -> NearFarPatches:
    torch.manual_seed(0)
    settings = {"hidden": 32, "projection": 16} | settings
    return NearFarPatches(
        ResNet(depth=10, width=4, channels=channels), DataSpec(20, {"images": (channels, side, side)}), **settings
    )


def made(near_far: NearFarPatches, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return near_far.views(images, torch.Generator().manual_seed(seed))


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_patches_come_in_near_pairs_far_from_each_other_a_picture_after_the_other() -> None:
    patches = made(method(**PLAIN, **SMALL), located(200))[0]
    assert patches.shape == (800, 3, 16, 16)
    assert torch.equal((patches[:, 2].mean((1, 2)) * 255).round(), torch.arange(200.0).repeat_interleave(4))
    corner = (patches[:, :2].flatten(2).amin(2) * 255).round().view(200, 4, 2)  # (B, 4, 2): top and left
    for first, second in ((0, 1), (2, 3)):
        assert (corner[:, first] - corner[:, second]).abs().max() == 4  # a third of 12 px
    for first, second in ((0, 2), (0, 3), (1, 2), (1, 3)):
        assert (corner[:, first] - corner[:, second]).abs().amax(1).min() == 12  # no pixel in common
    assert len(corner.flatten(1).unique(dim=0)) > 190


def test_far_patches_share_no_pixel_and_near_ones_most() -> None:
    patches = (made(method(**PLAIN, **SMALL), located(100))[0] * 255).round().long().view(100, 4, 3, 256)
    pixels = [[set((32 * p[0] + p[1]).tolist()) for p in picture] for picture in patches]
    assert all(len(patch) == 144 for picture in pixels for patch in picture)
    assert all(not picture[a] & picture[b] for picture in pixels for a in (0, 1) for b in (2, 3))
    assert all(len(picture[a] & picture[a + 1]) >= 64 for picture in pixels for a in (0, 2))  # 8 x 8 of 12 x 12


def test_patches_as_wide_as_a_tile_are_pixels_as_they_are() -> None:
    patches = made(method(**PLAIN), located(100))[0] * 255  # 16 px of 32, which are not scaled
    corner = patches[:, :2, 0, 0].round()
    offset = torch.arange(16.0)
    torch.testing.assert_close(patches[:, 0, :, 3], corner[:, :1] + offset, rtol=0, atol=1e-3)
    torch.testing.assert_close(patches[:, 1, 3], corner[:, 1:] + offset, rtol=0, atol=1e-3)
    places = corner.view(100, 4, 2)
    assert (places[:, ::2] - places[:, 1::2]).abs().max() == 2
    apart = (places[:, :2, None] - places[:, None, 2:]).abs().amax(3)
    assert apart.min() == 12


def test_each_patch_is_flipped_and_coloured_by_itself() -> None:
    patches = made(method(**PLAIN | {"flip": 0.5}), located(300))[0]
    flipped = (patches[:, 1, 0, 0] > patches[:, 1, 0, -1]).view(300, 4)
    assert float(flipped.float().mean()) == pytest.approx(0.5, abs=0.06)
    assert len(flipped.unique(dim=0)) == 16
    grey = torch.full((50, 3, 32, 32), 100, dtype=torch.uint8)
    light = made(method(hue=0.0, grey=0.0), grey)[0].mean((1, 2, 3))
    assert len(light.unique()) > 100  # of 200; a fifth are left as they are


@pytest.mark.parametrize("negatives", ["image", "batch", "both"])
def test_the_loss_is_info_nce_of_each_patch_against_its_negatives(images: Tensor, negatives: str) -> None:
    near_far = method(negatives=negatives, temperature=0.3).eval()
    views = made(near_far, images)
    scored = near_far.loss(*views, index=torch.arange(4))
    terms = scored.terms
    z = functional.normalize(near_far.head(near_far.encoder(views[0])), dim=1)
    losses, hits = [], []
    for i in range(16):
        picture, partner = i // 4, i + 1 if i % 2 == 0 else i - 1
        far = [j for j in range(4 * picture, 4 * picture + 4) if j not in (i, partner)]
        others = [j for j in range(16) if j // 4 != picture]
        compared = {"image": far, "batch": others, "both": far + others}[negatives]
        assert len(compared) == COUNTS[negatives]
        own = (z[i] @ z[partner] / 0.3).exp()
        rest = torch.stack([(z[i] @ z[j] / 0.3).exp() for j in compared])
        losses.append(-(own / (own + rest.sum())).log())
        hits.append(float(own > rest.max()))
    torch.testing.assert_close(terms["loss"], torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(hits) / 16)
    assert not terms["accuracy"].requires_grad
    assert scored.chance == pytest.approx(math.log(COUNTS[negatives] + 1))


class Constant(torch.nn.Module):
    """A head that gives each patch the vector it is told."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def forward(self, features: Tensor) -> Tensor:  # noqa: ARG002
        return self.vectors


@pytest.mark.parametrize("negatives", ["image", "batch", "both"])
def test_equal_vectors_cost_chance(images: Tensor, negatives: str) -> None:
    near_far = method(negatives=negatives)
    near_far.head = Constant(torch.ones(16, 8))
    scored = near_far.loss(*made(near_far, images), index=torch.arange(4))
    assert float(scored.terms["loss"]) == pytest.approx(scored.chance, rel=1e-5)
    assert float(scored.terms["accuracy"]) == 0


def test_which_negatives_there_are_decides_what_is_told_apart(images: Tensor) -> None:
    """Values by hand at temperature 0.5: a patch with its like costs log(1 + n exp(-2)), n strangers at cosine 0."""
    picture = torch.eye(4).repeat_interleave(4, dim=0)  # the same vector for all four patches of a picture
    pair = torch.eye(8).repeat_interleave(2, dim=0)  # for each near pair its own
    stranger, like = math.exp(-2), 1.0
    expected = {
        ("image", "picture"): math.log(1 + 2 * like),
        ("image", "pair"): math.log(1 + 2 * stranger),
        ("batch", "picture"): math.log(1 + 12 * stranger),
        ("batch", "pair"): math.log(1 + 12 * stranger),
        ("both", "picture"): math.log(1 + 2 * like + 12 * stranger),
        ("both", "pair"): math.log(1 + 14 * stranger),
    }
    for (negatives, known), loss in expected.items():
        near_far = method(negatives=negatives, temperature=0.5)
        near_far.head = Constant(picture if known == "picture" else pair)
        terms = near_far.loss(*made(near_far, images), index=torch.arange(4)).terms
        assert float(terms["loss"]) == pytest.approx(loss, rel=1e-5), (negatives, known)


def test_the_chance_of_far_patches_of_one_picture_is_known_before_a_batch_and_the_others_are_not() -> None:
    assert method(negatives="image").chance == pytest.approx(math.log(3))
    assert method(negatives="batch").chance is None
    assert method(negatives="both").chance is None


@pytest.mark.parametrize("negatives", ["image", "batch", "both"])
def test_every_patch_gets_a_finite_gradient(images: Tensor, negatives: str) -> None:
    near_far = method(negatives=negatives, temperature=0.05)
    patches = made(near_far, images)[0].requires_grad_()
    near_far.loss(patches, index=torch.arange(4)).terms["loss"].backward()
    assert patches.grad is not None
    assert patches.grad.isfinite().all()
    assert (patches.grad.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negatives": "bank"}, "negatives is 'bank'; choose one of image, batch, both"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"patch": 0.1}, "patch is 0.1"),
        ({"near": 0.01}, "near is 0.01; it must be at least a pixel"),
        ({"near": 0.75}, "near is 0.75; .* under far, which is 0.75"),
        ({"far": 1.5}, "far is 1.5; .* do not fit near_far_patches's pictures of 32 x 32"),
        ({"tile": 0}, "tile is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": 0}, "projection is 0"),
        ({"strength": 2.0}, "colour strength is 2.0"),
        ({"hue": 0.7}, "hue is 0.7"),
        ({"flip": -1.0}, "flip is -1.0"),
        ({"grey": 1.1}, "grey is 1.1"),
        ({"side": 9}, "patch is 0.5; of pictures of 9 x 9 that is 4 px"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
