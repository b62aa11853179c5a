"""The encoder `spectrogram`: where a tone stands and how high, what a gain changes, and its layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.encoders import build_encoder
from ssl_models.encoders.spectrogram import HOP, WINDOW, Spectrogram, levels

torch.set_num_threads(1)
RATE, SAMPLES = 8000, 2048


def tone(pitch: float, loudness: float = 0.5) -> Tensor:
    """(1, S)."""
    return loudness * torch.sin(2 * torch.pi * pitch * torch.arange(SAMPLES) / RATE)[None]


def noise(count: int = 3, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(seed))


def network(**settings: object) -> Spectrogram:
    torch.manual_seed(0)
    return Spectrogram(**({"width": 4} | settings)).eval()  # type: ignore[arg-type]


def test_a_tone_is_the_loudest_in_the_row_of_its_pitch() -> None:
    """1,000 Hz are 32 times RATE / WINDOW, and the row of 0 Hz is left out."""
    found = network().standardise(tone(1000))[0, 0]
    assert found.shape == (WINDOW // 2, SAMPLES // HOP + 1)
    inner = found[:, 1:-1]  # the outer windows are half full of zeros
    assert (inner.argmax(0) == 31).all()
    torch.testing.assert_close(inner[31], torch.full_like(inner[31], 2.0), atol=1e-3, rtol=0)
    assert (inner[60:] == -2).all()


@pytest.mark.parametrize(("decibels", "level"), [(0, 2.0), (-15, 1.0), (-45, -1.0), (-60, -2.0), (-80, -2.0)])
def test_levels_are_decibels_below_the_loudest_down_to_a_floor(decibels: float, level: float) -> None:
    power = torch.full((1, 2, 2), 3.0) * 10 ** (decibels / 10)
    power[0, 0, 0] = 3.0
    assert levels(power).flatten().tolist() == pytest.approx([2.0, level, level, level], abs=1e-5)


def test_a_softer_tone_beside_a_louder_one() -> None:
    found = network().standardise(tone(1000) + tone(3000, 0.5 * 10 ** (-30 / 20)))[0, 0, :, 1:-1]
    torch.testing.assert_close(found[95], torch.zeros_like(found[95]), atol=1e-2, rtol=0)


def test_it_is_the_spectrogram_of_the_textbook() -> None:
    """Window by window, of a sound with half a window of zeros at either end."""
    sound = noise(1)
    padded = np.pad(sound[0].double().numpy(), WINDOW // 2)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    columns = [padded[start : start + WINDOW] * hann for start in range(0, len(padded) - WINDOW + 1, HOP)]
    power = np.abs(np.fft.rfft(columns))[:, 1:].T ** 2
    expected = 2 + np.maximum(10 * np.log10(power / power.max()), -60) / 15
    np.testing.assert_allclose(network().standardise(sound)[0, 0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("gain", [0.01, 0.5, 1.9])
def test_a_gain_changes_nothing(gain: float) -> None:
    encoder, sound = network(), noise()
    torch.testing.assert_close(encoder(gain * sound), encoder(sound), atol=1e-4, rtol=1e-4)


def test_silence_is_the_floor_throughout_and_recordings_do_not_see_each_other() -> None:
    encoder, sound = network(), noise()
    sound[1] = 0
    found = encoder.standardise(sound)
    assert (found[1] == -2).all()
    assert encoder(sound).isfinite().all()
    for row in range(3):
        torch.testing.assert_close(found[row : row + 1], encoder.standardise(sound[row : row + 1]))


def test_levels_are_float32_under_autocast() -> None:
    encoder, sound = network(), noise()
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder.standardise(sound)
        rounded = encoder(sound)
    assert found.dtype == torch.float32
    assert torch.equal(found, encoder.standardise(sound))
    torch.testing.assert_close(rounded.float(), encoder(sound), atol=0.05, rtol=0.05)


def test_its_layers_halve_both_axes_and_the_representation_is_their_mean() -> None:
    layers, vectors = network().represent(noise())
    shapes = {name: tuple(found.shape[1:]) for name, found in layers.items()}
    assert shapes == {"conv1": (4, 64, 9), "conv2": (8, 32, 5), "conv3": (16, 16, 3), "conv4": (32, 8, 2)}
    torch.testing.assert_close(vectors, layers["conv4"].mean((2, 3)))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_it_is_built_again_from_its_settings(norm: str) -> None:
    encoder = network(norm=norm)
    other = build_encoder(encoder.name, **encoder.settings)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.eval()(noise()), encoder(noise()))


def test_group_norm_does_not_depend_on_the_other_recordings() -> None:
    encoder, sound = network(norm="group").train(), noise()
    torch.testing.assert_close(encoder(sound)[:1], encoder(sound[:1]))
    plain = network().train()
    assert not torch.allclose(plain(sound)[:1], plain(sound[:1]))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="the sound has 255 samples; the encoder 'spectrogram' needs at least 256"):
        network()(torch.zeros(1, 255))
    with pytest.raises(ValueError, match="width is 0"):
        Spectrogram(width=0)
    with pytest.raises(ValueError, match="encoder norm is 'layer'; choose one of batch, group"):
        Spectrogram(norm="layer")
