"""Denoising autoencoders: the emphasised errors, and stacks whose layers are trained one by one."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.denoising_autoencoder import DenoisingAutoencoder, evaluating, layer_at
from ssl_models.trainer import Settings, Training
from ssl_models.views.corruption import NOISES

torch.set_num_threads(1)

INDEX = torch.arange(6)
LAYERS = ("conv1", "res2", "res3", "res4", "res5")
NOISY = tuple(NOISES)


def method(channels: int = 3, **settings: Any) -> DenoisingAutoencoder:
    torch.manual_seed(0)
    encoder = ResNet(depth=10, width=4, channels=channels)
    return DenoisingAutoencoder(encoder, DataSpec(20, {"images": (channels, 32, 32)}), **settings)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def made(autoencoder: DenoisingAutoencoder, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return autoencoder.views(images, torch.Generator().manual_seed(seed))


def loss(autoencoder: DenoisingAutoencoder, views: tuple[Tensor, ...]) -> Tensor:
    return autoencoder.loss(*views, index=INDEX)["reconstruction"]


@pytest.mark.parametrize("noise", NOISY)
def test_views_are_the_damaged_picture_the_whole_one_and_what_was_touched(images: Tensor, noise: str) -> None:
    plain = method(noise=noise, level=0.3, smallest_crop=1.0, flip=0.0)
    corrupted, pictures, touched = made(plain, images)
    torch.testing.assert_close(pictures, images / 255, rtol=0, atol=1e-5)
    assert touched.dtype == torch.int64
    assert touched.shape == pictures.shape
    assert torch.equal(corrupted[touched == 0], pictures[touched == 0])
    assert (corrupted != pictures)[touched == 1].float().mean() > 0.9


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_the_squared_error_is_emphasised_as_in_section_3_4(images: Tensor, alpha: float, beta: float) -> None:
    autoencoder = method(alpha=alpha, beta=beta, normalise=False, level=0.3).eval()
    corrupted, pictures, touched = made(autoencoder, images)
    output = autoencoder.decoder(autoencoder.encoder.layers(corrupted)["res5"]).detach()
    target, inside = (pictures - 0.5) / 0.25, touched.bool()
    error = (target - output).square()
    expected = alpha * error[inside].sum() + beta * error[~inside].sum()
    cost = 0.0
    for channel in range(3):
        values, within = target[:, channel], inside[:, channel]
        weights = torch.where(within, alpha, beta)
        mean = (weights * values).sum() / weights.sum()
        cost += float((weights * (values - mean).square()).sum())
    assert float(loss(autoencoder, (corrupted, pictures, touched)).detach()) == pytest.approx(
        float(expected) / cost, rel=1e-4
    )


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0)])
def test_the_cross_entropy_is_emphasised_as_in_section_3_4(images: Tensor, alpha: float, beta: float) -> None:
    autoencoder = method(objective="cross_entropy", alpha=alpha, beta=beta, level=0.3).eval()
    corrupted, x, touched = made(autoencoder, images)
    z = autoencoder.decoder(autoencoder.encoder.layers(corrupted)["res5"]).sigmoid().detach()
    entropy, inside = -(x * z.log() + (1 - x) * (1 - z).log()), touched.bool()
    expected = alpha * entropy[inside].sum() + beta * entropy[~inside].sum()
    expected = expected / (alpha * inside.sum() + beta * (~inside).sum())
    torch.testing.assert_close(loss(autoencoder, (corrupted, x, touched)).detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_half_everywhere_costs_log_2_whatever_the_picture(images: Tensor) -> None:
    autoencoder = method(objective="cross_entropy", alpha=3.0)
    convolution = autoencoder.decoder.last[0]
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    assert float(loss(autoencoder, made(autoencoder, images)).detach()) == pytest.approx(math.log(2), rel=1e-5)
    assert autoencoder.chance == pytest.approx(math.log(2))
    assert method().chance == 1


def test_end_to_end_gradients_reach_the_whole_encoder(images: Tensor) -> None:
    autoencoder = method()
    loss(autoencoder, made(autoencoder, images)).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in autoencoder.encoder.parameters())
    assert "layer" not in autoencoder.state_dict()


# ---- stacked


def test_in_each_phase_only_its_layer_and_its_decoder_learn(images: Tensor) -> None:
    stack = method(stacked=True)
    for number, layer in enumerate(LAYERS):
        stack.layer.fill_(number)
        stack.zero_grad(set_to_none=True)
        loss(stack, made(stack, images)).backward()
        learning = {name for name, parameter in stack.named_parameters() if parameter.grad is not None}
        expected = {name for name, _ in stack.named_parameters() if name.startswith(f"encoder.{layer}.")}
        expected |= {name for name, _ in stack.named_parameters() if name.startswith(f"decoders.{number}.")}
        assert learning == expected
        assert all(stack.get_parameter(name).grad.abs().max() > 0 for name in learning)


@pytest.mark.parametrize("number", range(5))
def test_the_statistics_of_all_other_layers_stand_still(images: Tensor, number: int) -> None:
    stack = method(stacked=True).train()
    stack.layer.fill_(number)
    before = {name: value.clone() for name, value in stack.encoder.named_buffers()}
    loss(stack, made(stack, images))
    for name, value in stack.encoder.named_buffers():
        moves = name.startswith(f"{LAYERS[number]}.")
        assert torch.equal(value, before[name]) != moves, name
    assert all(part.training for part in stack.modules())


def test_a_layer_is_given_the_undamaged_map_below_with_noise_and_must_undo_it(images: Tensor) -> None:
    stack = method(stacked=True, noise="salt_and_pepper", level=0.4)
    stack.layer.fill_(2)
    pictures, seed = made(stack, images)
    stack.encoder.eval()
    below = stack.encoder.layers(pictures)["res2"].detach()
    stack.encoder.train()
    seen: list[Tensor] = []
    stack.encoder.res3.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().clone()))
    stack.encoder.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().clone()))
    stack.loss(pictures, seed, index=INDEX)
    torch.testing.assert_close(seen[0], stack.encoder.standardise(pictures))  # no noise below
    changed = seen[1] != below
    assert changed.float().mean() == pytest.approx(0.4, abs=0.15)  # a map of many zeros may be given its own value
    low, high = below.amin((0, 2, 3), keepdim=True), below.amax((0, 2, 3), keepdim=True)
    assert ((seen[1] == low) | (seen[1] == high))[changed].all()


def test_the_first_layer_is_given_a_noisy_picture(images: Tensor) -> None:
    stack = method(stacked=True, level=0.5, smallest_crop=1.0, flip=0.0)
    seen: list[Tensor] = []
    stack.encoder.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().clone()))
    stack.loss(*made(stack, images), index=INDEX)
    black = seen[0] == -2
    assert black.float().mean() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(seen[0][~black], (4 * (images / 255) - 2)[~black], rtol=0, atol=1e-4)


def test_the_noise_of_a_map_is_drawn_from_the_views_generator_alone(images: Tensor) -> None:
    stack = method(stacked=True)
    stack.layer.fill_(3)
    views = made(stack, images)
    state = torch.random.get_rng_state()
    first, again = loss(stack, views), loss(stack, views)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, again)
    other = made(stack, images, seed=1)[1]
    assert not torch.equal(loss(stack, (views[0], other)), first)


def test_phases_have_equal_sums_of_learning_rates() -> None:
    steps = 5_000
    rates = [0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    sums = [0.0] * 5
    for step, rate in enumerate(rates):
        sums[layer_at(step / steps, 5)] += rate / sum(rates)
    assert sums == pytest.approx([0.2] * 5, abs=1e-3)
    assert layer_at(0.0, 5) == 0
    assert layer_at(1.0, 5) == 4


def test_phases_switch_after_a_step_at_their_progress() -> None:
    stack = method(stacked=True)
    begins = [0.0, 0.1008, 0.2072, 0.3274, 0.4822]
    for number, begin in enumerate(begins):
        stack.after_step(None, begin + 0.001)
        assert int(stack.layer) == number
        if number:
            stack.after_step(None, begin - 0.001)
            assert int(stack.layer) == number - 1
    stack.after_step(None, 1.0)
    assert int(stack.layer) == 4
    method().after_step(None, 0.5)  # nothing to switch


def test_a_resumed_stack_goes_on_with_its_layer_as_if_never_stopped() -> None:
    data = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))

    def training() -> Training:
        return Training(method(stacked=True), data, Settings(epochs=4, batch_size=8, optimizer="adamw"), seed=0)

    whole, first, second = training(), training(), training()
    whole.run()
    first.run(stop_after=7)
    assert int(first.method.layer) == 3
    file = io.BytesIO()
    torch.save(first.checkpoint(), file)
    file.seek(0)
    second.restore(torch.load(file, weights_only=True))
    assert int(second.method.layer) == 3
    second.run()
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, second.method.state_dict()[name]), name


def test_evaluating_gives_every_part_its_mode_back() -> None:
    module = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2).eval())
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module] == [True, False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": "rain"}, "noise is 'rain'; choose one of gaussian, masking, salt_and_pepper"),
        ({"objective": "hinge"}, "objective is 'hinge'"),
        ({"level": 1.5}, r"level is 1.5"),
        ({"level": -0.1}, r"level is -0.1"),
        ({"alpha": -1.0}, r"alpha is -1.0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"alpha": 0.0, "beta": 0.0}, r"alpha is 0.0 and beta is 0.0"),
        ({"alpha": 0.0, "noise": "gaussian"}, "values that the noise corrupts"),
        ({"beta": 0.0, "level": 0.0}, "values that the noise leaves untouched"),
        ({"stacked": True, "objective": "cross_entropy"}, "choose 'squared' where stacked"),
        ({"decoder_width": 0}, "decoder_width is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0.0"),
        ({"flip": -0.5}, r"flip is -0.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
