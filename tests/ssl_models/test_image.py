"""Pictures as a kind of data: bytes become floats, layers are pooled to about one size, mild views crop and flip."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.encoders import build_encoder
from ssl_models.extraction import POOLED, extract_features
from ssl_models.modalities.image import MildViews
from ssl_models.modalities.inputs import inputs
from ssl_models.modalities.pooling import pool

torch.set_num_threads(1)


@pytest.fixture
def pictures() -> Tensor:
    return torch.randint(0, 256, (5, 3, 16, 24), dtype=torch.uint8, generator=Generator().manual_seed(0))


def test_bytes_become_floats_in_the_unit_interval(pictures: Tensor) -> None:
    assert inputs(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert torch.equal(inputs(pictures), pictures.float() / 255)
    assert pictures.dtype == torch.uint8


@pytest.mark.parametrize(
    ("shape", "size", "width"),
    [
        ((2, 16, 8, 8), 64, 64),  # 2 x 2 of 16 channels
        ((2, 16, 8, 8), 10_000, 1024),  # no more places than there are
        ((2, 16, 3, 8), 10_000, 144),  # nor than the shorter side has
        ((2, 16, 8, 8), 1, 16),  # at least one place
        ((2, 40), 8, 40),  # no map
    ],
)
def test_maps_are_pooled_to_about_the_size_asked_for(shape: tuple[int, ...], size: int, width: int) -> None:
    assert pool(torch.rand(shape), size).shape == (2, width)


def test_pooling_keeps_the_mean_of_each_channel() -> None:
    maps = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(pool(maps, 16).view(2, 4, 4).mean(2), maps.mean((2, 3)))


def test_a_mild_view_without_crop_and_flip_is_the_picture(pictures: Tensor) -> None:
    view = MildViews(1.0, 0.0)(pictures, Generator().manual_seed(0))
    torch.testing.assert_close(view, pictures / 255, rtol=0, atol=1e-5)
    mirrored = MildViews(1.0, 1.0)(pictures, Generator().manual_seed(0))
    torch.testing.assert_close(mirrored, pictures.flip(3) / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"smallest_crop": 1.5}, r"smallest_crop is 1\.5"),
        ({"flip": -0.1}, r"flip is -0\.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MildViews(**settings)


def test_features_of_every_layer_are_extracted_and_a_convolutional_encoder_is_laid_out_for_it(pictures: Tensor) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("resnet", depth=10, width=4)
    assert encoder.convolutional
    batches = list(extract_features(encoder, {"images": pictures}, torch.device("cpu"), batch_size=2, size=16))
    assert [len(batch[POOLED]) for batch in batches] == [2, 2, 1]
    assert list(batches[0]) == [*encoder.blocks(), POOLED]
    assert not encoder.training
    weights = [parameter for parameter in encoder.parameters() if parameter.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    with torch.no_grad():
        expected = encoder(pictures / 255).half()
    torch.testing.assert_close(torch.cat([batch[POOLED] for batch in batches]), expected, rtol=1e-3, atol=1e-3)
    encoder(pictures / 255).sum().backward()  # what has given features can be trained on
