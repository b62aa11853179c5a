"""Samples of any kind: what stored numbers mean, clips of frames, mild views, and what an encoder reads."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsParts
from ssl_models.extraction import MOTION, POOLED, extract_features, feature_layers
from ssl_models.modalities import image, mild_views, parts_of, sound, words
from ssl_models.modalities.inputs import inputs
from ssl_models.modalities.pooling import pool
from ssl_models.views.geometric import random_crop_flip
from tests.ssl_models import kinds
from tests.ssl_models.pictures import located

CPU = torch.device("cpu")


# ---- what stored numbers mean


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (torch.tensor([0, 51, 255], dtype=torch.uint8), torch.tensor([0, 0.2, 1])),
        (torch.tensor([-32768, 0, 16384, 32767], dtype=torch.int16), torch.tensor([-1, 0, 0.5, 32767 / 32768])),
        (torch.tensor([0, 7, 2**31 - 1], dtype=torch.int32), torch.tensor([0, 7, 2**31 - 1])),
        (torch.tensor([-3.5, 1e9]), torch.tensor([-3.5, 1e9])),
    ],
)
def test_the_type_of_a_number_is_its_meaning(stored: Tensor, meant: Tensor) -> None:
    before = stored.clone()
    found = inputs(stored)
    assert found.dtype == meant.dtype
    torch.testing.assert_close(found, meant)
    assert torch.equal(stored, before)


@pytest.mark.parametrize("kind", [torch.int64, torch.float64, torch.float16, torch.int8, torch.bool])
def test_other_types_mean_nothing(kind: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"type {kind} have no meaning; use uint8, int16, int32 or float32"):
        inputs(torch.zeros(2, dtype=kind))


def test_a_layer_of_any_axes_is_pooled_to_about_a_size() -> None:
    row, line, map_ = torch.rand(2, 5), torch.rand(2, 4, 10), torch.rand(2, 4, 6, 6)
    assert pool(row, 2) is row
    halves = torch.stack([line[..., :5].mean(2), line[..., 5:].mean(2)], 2)
    torch.testing.assert_close(pool(line, 8), halves.flatten(1))
    assert pool(line, 10**6).shape == (2, 40)
    assert pool(map_, 16).shape == (2, 16)


# ---- clips of frames


def clips(samples: int = 3, frames: int = 4) -> Tensor:
    return torch.randint(0, 256, (samples, frames, 3, 16, 16), dtype=torch.uint8)


def network() -> ResNet:
    return ResNet(depth=10, width=4).eval()


def extracted(encoder: Encoder, samples: dict[str, Tensor]) -> dict[str, Tensor]:
    found = list(extract_features(encoder, samples, CPU, batch_size=2, size=64))
    return {layer: torch.cat([batch[layer] for batch in found]).float() for layer in found[0]}


@torch.inference_mode()
def test_the_representation_of_a_clip_is_the_mean_of_its_frames() -> None:
    encoder, given = network(), inputs(clips())
    frames = torch.stack([encoder(given[:, t]) for t in range(4)])
    torch.testing.assert_close(encoder(given), frames.mean(0))


@torch.inference_mode()
def test_frames_are_folded_into_the_batch_and_pictures_are_not() -> None:
    encoder, given = network(), inputs(clips())
    (flat,), several = encoder.folded(given)
    assert several == 4
    assert torch.equal(flat, given.flatten(0, 1))
    (same,), one = encoder.folded(given[:, 0])
    assert (one, same.data_ptr()) == (1, given.data_ptr())


def test_features_of_a_clip_are_the_mean_over_frames_and_motion_their_deviation() -> None:
    encoder, stored = network(), clips()
    found = extracted(encoder, {"frames": stored})
    single = [extracted(encoder, {"images": stored[:, t]}) for t in range(4)]
    assert list(found) == ["conv1", "res2", "res3", "res4", "res5", MOTION, POOLED]
    assert feature_layers(encoder, {"frames": stored}) == tuple(found)
    for layer in ("conv1", "res5", POOLED):
        expected = torch.stack([each[layer] for each in single]).mean(0)
        torch.testing.assert_close(found[layer], expected, rtol=2e-3, atol=2e-3)
    deviation = torch.stack([each[POOLED] for each in single]).std(0, unbiased=False)
    torch.testing.assert_close(found[MOTION], deviation, rtol=1e-2, atol=2e-3)
    assert found[MOTION].max() > 0


def test_a_clip_of_one_frame_is_the_picture() -> None:
    encoder, stored = network(), clips(frames=1)
    clip, picture = extracted(encoder, {"frames": stored}), extracted(encoder, {"images": stored[:, 0]})
    assert list(clip) == list(picture)
    assert all(torch.equal(clip[layer], picture[layer]) for layer in picture)


def test_a_still_clip_has_the_features_of_its_picture_and_no_motion() -> None:
    encoder, stored = network(), clips(frames=1)
    still = extracted(encoder, {"frames": stored.expand(-1, 3, -1, -1, -1)})
    picture = extracted(encoder, {"images": stored[:, 0]})
    torch.testing.assert_close(still[POOLED], picture[POOLED], rtol=2e-3, atol=2e-3)
    assert still[MOTION].max() < 1e-3


# ---- mild views


def test_mild_views_of_a_clip_crop_and_flip_all_frames_alike() -> None:
    still = located(6)[:, None].expand(-1, 3, -1, -1, -1)
    found = image.MildViews(smallest_crop=0.3)(still, Generator().manual_seed(0))
    assert found.shape == (6, 3, 3, 32, 32)
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])
    assert not torch.equal(found[:, 0], inputs(still)[:, 0])
    assert torch.unique(found[:, 0, 0].flatten(1), dim=0).shape[0] == 6, "samples are cropped differently"


def test_mild_views_of_pictures_are_crops_and_flips_in_the_range_of_inputs() -> None:
    stored = located(5)
    found = image.MildViews(smallest_crop=0.4, flip=0.5)(stored, Generator().manual_seed(3))
    expected = random_crop_flip(inputs(stored), Generator().manual_seed(3), smallest=0.4, flip=0.5)
    assert torch.equal(found, expected)


class Draws:
    """In place of torch.rand: the numbers that a test wants."""

    def __init__(self, monkeypatch, *numbers):
        self.left = list(numbers)
        monkeypatch.setattr(torch, "rand", lambda *_, **__: self.left.pop(0))


def test_sound_is_shifted_and_made_louder_or_softer_by_hand(monkeypatch) -> None:
    stored = torch.tensor([[100, 200, 300, 400], [100, 200, 300, 400], [8, 8, 8, 8]], dtype=torch.int16)
    # In [0, 1): 0 is all to the left, 1/2 nowhere, 1 all to the right; and half as loud, as loud, twice as loud.
    Draws(monkeypatch, torch.tensor([[[1.0], [0.0], [0.5]], [[0.5], [1.0], [0.0]]]))
    found = sound.MildViews(shift=0.5, gain=1.0)(stored, Generator()) * 32768
    assert found.tolist() == [[0, 0, 100, 200], [600, 800, 0, 0], [4, 4, 4, 4]]


def test_sound_of_no_shift_and_no_gain_is_what_is_stored() -> None:
    stored = torch.randint(-32768, 32767, (4, 50), dtype=torch.int16)
    assert torch.equal(sound.MildViews(shift=0.0, gain=0.0)(stored, Generator()), inputs(stored))


def test_shifts_and_gains_stay_within_their_bounds_and_reach_them() -> None:
    stored = torch.zeros(4000, 101, dtype=torch.int16)
    stored[:, 50] = 16384
    found = sound.MildViews(shift=0.1, gain=0.5)(stored, Generator().manual_seed(0))
    moved, loud = found.argmax(1) - 50, found.amax(1) / 0.5
    assert (int(moved.min()), int(moved.max())) == (-10, 10)
    assert 2**-0.5 <= float(loud.min()) < 0.72 < 1.39 < float(loud.max()) <= 2**0.5
    assert (found > 0).sum(1).eq(1).all()


def test_words_are_left_out_by_hand(monkeypatch) -> None:
    stored = torch.tensor([[5, 6, 0], [7, 8, 9]], dtype=torch.int32)
    Draws(monkeypatch, torch.tensor([[0.29, 0.3, 0.9], [0.0, 0.5, 0.1]]))
    found = words.MildViews(word_dropout=0.3)(stored, Generator())
    assert found.tolist() == [[0, 6, 0], [0, 8, 0]]
    assert found.dtype == torch.int64


def test_a_share_of_the_words_is_left_out_and_each_draw_differs() -> None:
    stored = torch.ones(100, 100, dtype=torch.int32)
    first, second = (words.MildViews(word_dropout=0.2)(stored, Generator().manual_seed(s)) for s in (0, 1))
    assert (first == 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert not torch.equal(first, second)
    assert torch.equal(words.MildViews(word_dropout=0.0)(stored, Generator()), stored.long())


@pytest.mark.parametrize(
    ("modality", "setting"),
    [(sound, {"shift": 1.5}), (sound, {"gain": -0.1}), (words, {"word_dropout": 2.0}), (image, {"smallest_crop": 0.0})],
)
def test_mild_views_out_of_range_are_refused(modality, setting) -> None:
    (name, value), *_ = setting.items()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        modality.MildViews(**setting)


def test_each_modality_takes_of_the_settings_those_that_it_has() -> None:
    picture, text = mild_views((image, words), [(3, 8, 6), (12,)], smallest_crop=0.9, word_dropout=0.4)
    assert (picture.smallest_crop, picture.size, text.word_dropout) == (0.9, (8, 6), 0.4)


# ---- parts


def test_an_encoder_reads_the_first_part_that_holds_its_modality() -> None:
    assert parts_of((image,), ("frames", "images"), "it") == ("images",)
    assert parts_of((image, sound), ("sound", "length", "frames"), "it") == ("frames", "sound")
    assert kinds.Bag.reads({"tokens": (3,)}) == ("tokens",)
    with pytest.raises(NeedsParts, match="the encoder 'resnet' reads images or frames, and these samples have tokens"):
        ResNet.reads(("tokens",))
    with pytest.raises(NeedsParts, match="and these samples have none"):
        ResNet.reads(())
