"""The masked autoencoder: what is hidden, that it stays hidden, and what the loss counts."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.transformer import sine_positions
from ssl_models.encoders.vit import ViT
from ssl_models.errors import DoesNotApply
from ssl_models.methods.mae import MAE
from ssl_models.patch_decoder import PatchDecoder

torch.set_num_threads(1)
INDEX = torch.arange(6)


def method(channels: int = 3, size: tuple[int, int] = (16, 16), **settings: Any) -> MAE:
    torch.manual_seed(0)
    vit = ViT(patch=4, width=16, depth=2, heads=2, channels=channels, size=list(size))
    return MAE(vit, DataSpec(20, {"images": (channels, *size)}), **{"decoder_width": 16, "decoder_heads": 2} | settings)


def images(channels: int = 3, size: tuple[int, int] = (16, 16), count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, *size), dtype=torch.uint8, generator=generator)


def made(mae: MAE, seed: int = 0, count: int = 6) -> tuple[Tensor, Tensor]:
    pictures, order = mae.views(images(count=count), torch.Generator().manual_seed(seed))
    return pictures, order


def cost(mae: MAE, pictures: Tensor, order: Tensor) -> float:
    return float(mae.loss(pictures, order, index=INDEX)["loss"].detach())


class Told(nn.Module):
    """A decoder that gives the same prediction, whatever it is given."""

    def __init__(self, prediction: Tensor) -> None:
        super().__init__()
        self.prediction = prediction

    def forward(self, tokens: Tensor, shown: Tensor) -> Tensor:  # noqa: ARG002
        return self.prediction


def patches_of(pictures: Tensor, side: int = 4) -> list[list[list[float]]]:
    """Sample, patch and number, all by loops: patches row by row; in each the channels one after another."""
    _, channels, height, width = pictures.shape
    return [
        [
            [
                float(picture[channel, top + down, left + across])
                for channel in range(channels)
                for down in range(side)
                for across in range(side)
            ]
            for top in range(0, height, side)
            for left in range(0, width, side)
        ]
        for picture in pictures
    ]


@pytest.mark.parametrize(("mask", "shown"), [(0.75, 4), (0.5, 8), (0.9, 2), (0.1, 14), (0.72, 4)])
def test_shown_and_hidden_patches_are_disjoint_and_cover_the_picture(mask: float, shown: int) -> None:
    mae = method(mask=mask)
    _, order = made(mae)
    assert mae.shown == shown
    assert order.shape == (6, 16)
    assert torch.equal(order.sort(1).values, torch.arange(16).expand(6, -1))


def test_the_mask_is_drawn_for_each_sample_and_every_patch_is_hidden_as_often() -> None:
    mae = method()
    _, order = made(mae, count=2000)
    assert len({tuple(sorted(row[:4])) for row in order.tolist()}) > 1000  # of 1,820
    often = torch.bincount(order[:, :4].flatten(), minlength=16) / 2000
    assert (often - 0.25).abs().max() < 0.05  # a deviation of 0.01
    pairs = ((order[:, :4] == 0).any(1) & (order[:, :4] == 1).any(1)).float().mean()
    assert float(pairs) == pytest.approx(4 * 3 / (16 * 15), abs=0.02)  # not in blocks


def test_hidden_pixels_do_not_influence_the_encoder_and_shown_ones_do() -> None:
    mae = method().eval()
    pictures, order = made(mae)
    seen: list[Tensor] = []
    mae.decoder.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    other = torch.rand_like(pictures)
    for kept in (order[:, :4], order[:, 1:4]):
        mask = torch.zeros(6, 16).scatter(1, kept, 1.0).view(6, 1, 4, 4)
        mask = mask.repeat_interleave(4, 2).repeat_interleave(4, 3)
        mae.loss(mask * pictures + (1 - mask) * other, order, index=INDEX)
    mae.loss(pictures, order, index=INDEX)
    hidden_changed, one_shown_changed, as_it_is = seen
    assert as_it_is.shape == (6, 5, 16)
    assert torch.equal(hidden_changed, as_it_is)
    assert ((one_shown_changed - as_it_is).abs().amax((1, 2)) > 1e-3).all()


def test_only_shown_pixels_are_computed() -> None:
    mae = method(normalise=False)
    pictures, order = made(mae)
    tokens = mae.encoder.of_shown(pictures.requires_grad_(), order[:, :4])
    (gradient,) = torch.autograd.grad(tokens.square().sum(), pictures)
    touched = (gradient.abs().amax(1).view(6, 4, 4, 4, 4).amax((2, 4)) > 0).flatten(1)  # (6, 16)
    assert torch.equal(touched, torch.zeros(6, 16).scatter(1, order[:, :4], 1.0).bool())


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_is_the_mean_squared_error_of_hidden_patches(normalise: bool) -> None:
    mae = method(normalise=normalise)
    pictures, order = made(mae)
    found = mae.decoder(mae.encoder.of_shown(pictures, order[:, :4]), order[:, :4]).detach()
    errors = []
    for sample, patches in enumerate(patches_of(pictures)):
        for patch in order[sample, 4:].tolist():
            numbers = patches[patch]
            mean = sum(numbers) / 48 if normalise else 0.5
            variance = sum((number - mean) ** 2 for number in numbers) / 47
            spread = math.sqrt(variance + 1e-6) if normalise else 0.25
            target = [(number - mean) / spread for number in numbers]
            predicted = found[sample, patch].tolist()
            errors.append(sum((one - other) ** 2 for one, other in zip(predicted, target, strict=True)) / 48)
    assert len(errors) == 6 * 12
    assert cost(mae, pictures, order) == pytest.approx(sum(errors) / 72, rel=1e-4)


def test_a_target_by_hand() -> None:
    mae = method(channels=1, size=(8, 4), mask=0.5)
    picture = torch.zeros(1, 1, 8, 4)
    picture[0, 0, 0, 1], picture[0, 0, 7, 3] = 1.0, 0.5
    high, low = (15 / 16) / math.sqrt(1 / 16 + 1e-6), (-1 / 16) / math.sqrt(1 / 16 + 1e-6)  # variance 15/16 / 15
    assert mae.target(picture)[0, 0].tolist() == pytest.approx([low, high, *[low] * 14], rel=1e-5)
    assert int(mae.target(picture)[0, 1].argmax()) == 15
    raw = method(channels=1, size=(8, 4), mask=0.5, normalise=False).target(picture)[0]
    assert raw[0].tolist() == [-2.0, 2.0, *[-2.0] * 14]
    assert raw[1].tolist() == [*[-2.0] * 15, 0.0]


def test_a_normalised_target_does_not_depend_on_brightness_and_contrast_and_a_blank_patch_s_is_zero() -> None:
    mae, pictures = method(), made(method())[0]
    torch.testing.assert_close(mae.target(0.5 * pictures + 0.3), mae.target(pictures), atol=1e-3, rtol=1e-3)
    assert not mae.target(torch.full_like(pictures, 0.25)).any()


@pytest.mark.parametrize("normalise", [True, False])
def test_a_decoder_that_outputs_the_target_costs_nothing(normalise: bool) -> None:
    mae = method(normalise=normalise)
    pictures, order = made(mae)
    target = mae.target(pictures)
    mae.decoder = Told(target)  # type: ignore[assignment]
    assert cost(mae, pictures, order) == 0
    mae.decoder = Told(target.flip(2))  # type: ignore[assignment]
    assert cost(mae, pictures, order) > 0.5


def test_the_prediction_of_a_shown_patch_counts_nothing_and_that_of_a_hidden_one_counts() -> None:
    mae = method()
    pictures, order = made(mae)
    rows = torch.arange(6)
    for place, change in ((0, 0.0), (3, 0.0), (4, 9 / 12), (15, 9 / 12)):
        prediction = mae.target(pictures).clone()
        prediction[rows, order[:, place]] += 3.0
        mae.decoder = Told(prediction)  # type: ignore[assignment]
        assert cost(mae, pictures, order) == pytest.approx(change, rel=1e-4)


def test_a_prediction_of_the_mean_costs_chance_where_patches_are_normalised() -> None:
    mae = method()
    pictures, order = made(mae)
    mae.decoder = Told(torch.zeros(6, 16, 48))  # type: ignore[assignment]
    assert mae.chance == 47 / 48
    assert cost(mae, pictures, order) == pytest.approx(47 / 48, rel=1e-3)
    assert method(normalise=False).chance is None
    assert method(channels=1).chance == 15 / 16


def test_the_decoder_is_given_each_token_at_its_place_and_one_token_for_all_others() -> None:
    torch.manual_seed(0)
    decoder, tokens = PatchDecoder(6, (2, 3), 5, width=8, depth=1, heads=2), torch.randn(2, 3, 6)
    seen: list[Tensor] = []
    decoder.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    shown = torch.tensor([[4, 1], [0, 5]])
    assert decoder(tokens, shown).shape == (2, 6, 5)
    places, narrow = sine_positions(2, 3, 8)[0], decoder.narrow(tokens)
    torch.testing.assert_close(seen[0][:, 0], narrow[:, 0])  # the class token has no place
    for sample in range(2):
        for place in range(6):
            at = shown[sample].tolist()
            token = narrow[sample, 1 + at.index(place)] if place in at else decoder.hidden_token[0, 0]
            torch.testing.assert_close(seen[0][sample, 1 + place], token + places[place])


def test_the_order_in_which_patches_are_shown_changes_nothing() -> None:
    mae = method().eval()
    pictures, order = made(mae)
    other = torch.cat([order[:, :4].flip(1), order[:, 4:].roll(3, 1)], dim=1)
    assert cost(mae, pictures, other) == pytest.approx(cost(mae, pictures, order), rel=1e-5)


def test_other_channels_and_pictures_that_are_not_square() -> None:
    mae = method(channels=1, size=(8, 24))
    pictures, order = mae.views(images(1, (8, 24)), torch.Generator().manual_seed(0))
    assert pictures.shape == (6, 1, 8, 24)
    assert torch.equal(order.sort(1).values, torch.arange(12).expand(6, -1))
    raw = method(channels=1, size=(8, 24), normalise=False).target(pictures)
    torch.testing.assert_close(raw, 4 * torch.tensor(patches_of(pictures)) - 2)
    assert math.isfinite(cost(mae, pictures, order))


def test_larger_pictures_are_cropped_to_the_size_of_the_data() -> None:
    mae = method()
    pictures, order = mae.views(images(size=(24, 40)), torch.Generator().manual_seed(0))
    assert pictures.shape == (6, 3, 16, 16)
    assert order.shape == (6, 16)


def test_a_stopped_training_goes_on_with_the_same_numbers() -> None:
    def step(mae: MAE, seed: int) -> float:
        optimizer = torch.optim.SGD(mae.parameters(), lr=0.1)
        loss = mae.loss(*made(mae, seed), index=INDEX)["loss"]
        loss.backward()
        optimizer.step()
        mae.zero_grad()
        return float(loss.detach())

    first, second = method(), method()
    step(first, 0)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert [step(first, seed) for seed in (1, 2)] == [step(second, seed) for seed in (1, 2)]
    assert "places" not in {name.rpartition(".")[2] for name in first.state_dict()}  # it follows from the settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": 1.0}, r"mask is 1\.0; of 16 patches at least one must be hidden, and one shown"),
        ({"mask": 0.0}, r"mask is 0\.0; of 16 patches"),
        ({"mask": 0.99}, r"mask is 0\.99; of 16 patches"),
        ({"mask": 1.5}, r"mask is 1\.5; it must lie in \[0, 1\]"),
        ({"mask": math.nan}, "mask is nan"),
        ({"decoder_width": 0}, "decoder width is 0"),
        ({"decoder_width": 18}, "decoder width is 18; sine positions need one that is divisible by 4"),
        ({"decoder_heads": 3}, "decoder width is 16; it must be divisible by the number of heads, 3"),
        ({"decoder_depth": 0}, "decoder depth is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"flip": 2.0}, r"flip is 2\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_an_encoder_that_is_no_vision_transformer_is_refused() -> None:
    with pytest.raises(DoesNotApply, match=r"the encoder is 'resnet': give the run one, as `encoder: \{name: vit\}`"):
        MAE(ResNet(depth=10, width=4), DataSpec(20, {"images": (3, 16, 16)}))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((16,), r"mae needs pictures of shape \(C, H, W\)"), ((3, 18, 16), "pictures of 18 x 16 px have no whole number")],
)
def test_data_without_patches_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MAE(ViT(patch=4, width=16, depth=1, heads=2, size=[16, 16]), DataSpec(20, {"images": shape}))
