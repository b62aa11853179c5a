"""The colour jitter of mild views, which refits may have: what it changes, by how much, and the frames of a clip."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.method import method_class
from ssl_models.modalities.image import MildViews
from ssl_models.modalities.inputs import inputs
from ssl_models.views.drawing import Share
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.photometric import RGB_TO_YIQ, colour_jitter

torch.set_num_threads(1)

CLUSTERFIT = {"jitter_strength": 0.5, "jitter_hue": 0.2}
REFITS = ("supervised", "distillation")


def pictures(batch: int = 4, channels: int = 3) -> Tensor:
    return torch.randint(60, 196, (batch, channels, 8, 8), dtype=torch.uint8, generator=Generator().manual_seed(1))


def plain(samples: Tensor, seed: int = 0, **jitter: float) -> Tensor:
    """Neither cropped nor flipped."""
    return MildViews(1.0, 0.0, None, **jitter)(samples, Generator().manual_seed(seed))


def yiq(colours: Tensor) -> Tensor:
    """(B, 3, H, W) -> (3, B): grey, and two axes of colour, of each sample's first pixel."""
    return torch.tensor(RGB_TO_YIQ) @ colours[:, :, 0, 0].T


def test_without_jitter_nothing_is_drawn_or_changed_beyond_crop_and_flip() -> None:
    ours, theirs = Generator().manual_seed(3), Generator().manual_seed(3)
    found = MildViews()(pictures(), ours)
    assert torch.equal(found, random_crop_flip(inputs(pictures()), theirs, smallest=0.5, flip=0.5))
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_a_view_is_cropped_and_then_jittered() -> None:
    found = MildViews(0.4, 0.5, (6, 6), **CLUSTERFIT)(pictures(), Generator().manual_seed(3))
    generator = Generator().manual_seed(3)
    crop = random_crop_flip(inputs(pictures()), generator, smallest=0.4, flip=0.5, size=(6, 6))
    assert torch.equal(found, colour_jitter(crop, generator, strength=0.5, hue=0.2, probability=1.0))


def test_the_light_of_every_picture_changes_by_at_most_two_fifths() -> None:
    """Of one grey, contrast, saturation and hue change nothing: what is left is the brightness, from U(0.6, 1.4)."""
    grey = torch.full((4000, 3, 2, 2), 102, dtype=torch.uint8)
    factors = plain(grey, **CLUSTERFIT)[:, 0, 0, 0] / 0.4
    assert 0.599 < float(factors.min()) < 0.605
    assert 1.395 < float(factors.max()) < 1.401
    assert float(factors.mean()) == pytest.approx(1, abs=0.02)
    assert float(factors.std()) == pytest.approx(0.8 / math.sqrt(12), abs=0.01)
    assert int((factors == 1).sum()) < 4  # a jitter that one picture in five is spared leaves 800


def test_the_hue_turns_by_at_most_a_fifth_of_the_circle_and_keeps_grey_and_colourfulness() -> None:
    samples = torch.tensor([140, 110, 100], dtype=torch.uint8).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    before, after = yiq(inputs(samples)), yiq(plain(samples, jitter_hue=0.2))
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(after[1:].norm(dim=0), before[1:].norm(dim=0), rtol=0, atol=1e-4)
    turned = torch.atan2(*after[1:].flip(0)) - torch.atan2(*before[1:].flip(0))
    share = (turned + math.pi).remainder(2 * math.pi).sub(math.pi) / (2 * math.pi)
    assert -0.201 < float(share.min()) < -0.198
    assert 0.198 < float(share.max()) < 0.201
    assert int((share.abs() < 1e-5).sum()) < 8


def test_a_hue_is_kept_where_only_a_strength_is_given() -> None:
    samples = torch.tensor([140, 110, 100], dtype=torch.uint8).view(1, 3, 1, 1).expand(50, 3, 2, 2)
    before, after = yiq(inputs(samples)), yiq(plain(samples, jitter_strength=0.5))
    cross = before[1] * after[2] - before[2] * after[1]
    torch.testing.assert_close(cross, torch.zeros(50), rtol=0, atol=1e-4)
    assert float((after - before).abs().amax()) > 0.02


def test_the_frames_of_a_clip_are_one_picture_to_the_jitter() -> None:
    clips = pictures(6).view(2, 3, 3, 8, 8)
    found = plain(clips, 5, **CLUSTERFIT)
    assert found.shape == (2, 3, 3, 8, 8)
    tall = torch.cat(list(inputs(clips).unbind(1)), dim=2)  # (2, 3, 24, 8)
    generator = Generator().manual_seed(5)
    cropped = random_crop_flip(inputs(clips).flatten(1, 2), generator, smallest=1.0, flip=0.0)  # draws, and no change
    torch.testing.assert_close(cropped.view(clips.shape), inputs(clips), rtol=0, atol=1e-5)
    expected = colour_jitter(tall, generator, strength=0.5, hue=0.2, probability=1.0)
    torch.testing.assert_close(torch.cat(list(found.unbind(1)), dim=2), expected, rtol=0, atol=1e-4)


def test_several_processes_jitter_a_batch_as_one_does() -> None:
    view = MildViews(**CLUSTERFIT)
    parts = [view(pictures()[2 * number :][:2], Share("cpu", number, 2).manual_seed(0)) for number in (0, 1)]
    torch.testing.assert_close(torch.cat(parts), view(pictures(), Generator().manual_seed(0)), rtol=0, atol=1e-6)


def test_pictures_without_colours_change_in_brightness_and_contrast() -> None:
    found = plain(pictures(channels=1), **CLUSTERFIT)
    assert found.shape == (4, 1, 8, 8)
    assert float((found - inputs(pictures(channels=1))).abs().amax()) > 0.05


@pytest.mark.parametrize("name", REFITS)
def test_a_refit_s_views_have_the_jitter_that_is_asked_for_and_none_by_default(name: str) -> None:
    data = DataSpec(4, {"images": (3, 8, 8)}, torch.arange(4) % 2, 2, torch.zeros(4, 2))
    for jitter in ({}, CLUSTERFIT):
        refit = method_class(name)(ResNet(depth=10, width=4), data, **jitter)  # type: ignore[call-arg]
        (found,) = refit.views(pictures(), Generator().manual_seed(2))
        assert torch.equal(found, MildViews(**jitter)(pictures(), Generator().manual_seed(2)))
    defaults = inspect.signature(method_class(name)).parameters
    assert [defaults[setting].default for setting in CLUSTERFIT] == [0, 0]


@pytest.mark.parametrize(
    ("jitter", "message"),
    [
        ({"jitter_strength": -0.1}, r"jitter_strength is -0\.1; it must lie in \[0, 1\.25\]"),
        ({"jitter_strength": 1.3}, r"jitter_strength is 1\.3; it must lie in \[0, 1\.25\]"),
        ({"jitter_hue": 0.6}, r"jitter_hue is 0\.6; it must lie in \[0, 0\.5\], a fraction of the circle"),
        ({"jitter_hue": math.nan}, "jitter_hue is nan"),
    ],
)
def test_a_jitter_out_of_range_is_refused(jitter: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MildViews(**jitter)
