"""The encoder of sound: a frame for each 10 ms, blind to the future, and the same whatever padding follows."""

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.speech import AHEAD, BEFORE, FIELD, HOP, SEPARATE, SPANS, Speech
from ssl_models.errors import NeedsParts
from ssl_models.extraction import POOLED, extract_features
from tests.ssl_models.voices import voices

RATES = {"conv1": 16, "conv2": 4, "conv3": 2, "conv4": 1, "context": 1}


def network(**settings):
    torch.manual_seed(0)
    return Speech(**({"width": 8, "hidden": 12} | settings)).eval()


def sounds(count=3, samples=800):
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(1)) / 10


def padded(sound, zeros):
    return torch.nn.functional.pad(sound, (0, zeros))


@pytest.mark.parametrize("samples", [80, 159, 160, 719, 720, 5120])
def test_there_is_exactly_one_frame_per_ten_milliseconds(samples):
    found = network().frames(sounds(2, samples))
    count = samples // 80
    assert {layer: steps.shape for layer, steps in found.items()} == {
        layer: (2, 12 if layer == "context" else 8, rate * count) for layer, rate in RATES.items()
    }


@pytest.mark.parametrize(
    ("layer", "field", "hop"), [("conv1", 10, 5), ("conv2", 45, 20), ("conv3", 105, 40), ("conv4", 225, 80)]
)
def test_a_step_sees_the_samples_around_it_and_no_others(layer, field, hop):
    """Found from gradients; of `field` samples, as many before those it stands for as after them, or one less."""
    sound = sounds(1).requires_grad_()
    network().frames(sound)[layer][0, :, 480 // hop].sum().backward()
    seen = sound.grad[0].nonzero()[:, 0]
    first = 480 - (field - hop) // 2
    assert (int(seen[0]), int(seen[-1])) == (first, first + field - 1)


def test_three_frames_on_there_is_no_sample_in_common():
    assert (HOP, BEFORE, AHEAD, FIELD, SEPARATE) == (80, 72, 73, 225, 3)
    assert (SEPARATE - 1) * HOP < FIELD <= SEPARATE * HOP


def test_the_context_is_blind_to_the_future():
    """Samples after the look-ahead of frame t change nothing at t, bit for bit, and the first of them changes t + 1."""
    encoder, sound, t = network(), sounds(), 4
    after = (t + 1) * HOP + AHEAD
    changed = sound.clone()
    changed[:, after:] = 9
    before, found = (encoder.frames(given)["context"] for given in (sound, changed))
    assert torch.equal(before[:, :, : t + 1], found[:, :, : t + 1])
    assert (before[:, :, t + 1 :] != found[:, :, t + 1 :]).any(1).all()


def test_the_context_of_a_frame_hears_everything_before_it():
    sound = sounds(1).requires_grad_()
    network().frames(sound)["context"][0, :, -1].sum().backward()
    assert (sound.grad[0] != 0).all()


@pytest.mark.parametrize("samples", [800, 850, 879, 90, 13])
def test_zeros_after_a_recording_change_no_pooled_feature(samples):
    """Of any layer at any size, for a recording that ends within a frame too."""
    encoder, sound = network(), sounds(3, samples)
    sound[:, -1] = 0.1
    short, long = padded(sound, 80 - samples % 80 if samples < 80 else 0), padded(sound, 3000)
    for size in (1, 40, 512):
        features = [
            next(extract_features(encoder, {"sound": (given * 32768).short()}, torch.device("cpu"), size=size))
            for given in (short, long)
        ]
        for layer, expected in features[0].items():
            torch.testing.assert_close(features[1][layer], expected, rtol=1e-3, atol=1e-4, msg=f"{layer} {size}")
    torch.testing.assert_close(encoder(long), encoder(short))


def test_frames_of_a_recording_are_the_same_with_zeros_after_it():
    encoder, sound = network(), sounds()
    for layer, steps in encoder.frames(padded(sound, 800)).items():
        expected = encoder.frames(sound)[layer]
        torch.testing.assert_close(steps[:, :, : expected.shape[2]], expected)


def test_the_pooled_feature_is_the_mean_over_the_frames_that_hold_sound():
    encoder, sound = network(), sounds()
    sound[1, 405:] = 0  # 5 frames
    frames, layers, pooled = encoder.frames(sound), encoder.layers(sound), encoder(sound)
    for layer, rate in RATES.items():
        assert layers[layer].shape[2] == SPANS
        for row, count in enumerate((10, 5, 10)):
            expected = frames[layer][row, :, : count * rate].mean(1)
            torch.testing.assert_close(layers[layer][row].mean(1), expected)
    torch.testing.assert_close(pooled[1], frames["context"][1, :, :5].mean(1))


def test_a_span_is_a_part_of_the_recording_of_that_length():
    steps = network().layers(sounds(1, SPANS * HOP))["context"]
    torch.testing.assert_close(steps, network().frames(sounds(1, SPANS * HOP))["context"])


def test_silence_alone_is_finite():
    encoder = network()
    silent = torch.zeros(2, 800, requires_grad=True)
    encoder(silent).sum().backward()
    assert all(value.isfinite().all() for value in (encoder(silent), silent.grad))


def test_a_recording_does_not_depend_on_the_others_of_its_batch():
    encoder, sound = network().train(), sounds()
    torch.testing.assert_close(encoder(sound)[:1], encoder(sound[:1]))


def test_in_parts_or_at_once_the_layers_are_the_same():
    encoder, sound = network(), sounds(130, 400)
    with torch.no_grad():
        in_parts = encoder.layers(sound)
    for layer, expected in encoder.layers(sound).items():
        torch.testing.assert_close(in_parts[layer], expected)


def test_the_context_is_worked_out_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        found = network().frames(sounds())
    assert found["context"].dtype == torch.float32
    torch.testing.assert_close(found["context"], network().frames(sounds())["context"], rtol=0, atol=0.05)


def test_its_settings_build_it_again():
    data = DataSpec(3, {"sound": (800,), "length": (1,)})
    encoder = Speech.from_data(data, width=8, hidden=12)
    again = build_encoder("speech", **encoder.settings)
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(sounds()), encoder(sounds()))
    assert (encoder.dim, encoder.convolutional, list(encoder.blocks())) == (12, False, list(RATES))


def test_features_are_extracted_from_what_a_reader_stores():
    sound, length, _ = voices(5, frames=20)
    features = next(extract_features(network(), {"sound": sound, "length": length}, torch.device("cpu")))
    assert [*features] == [*RATES, POOLED]
    assert features["conv1"].shape == (5, 8 * SPANS)
    assert features[POOLED].shape == (5, 12)


@pytest.mark.parametrize("settings", [{"width": 0}, {"hidden": -1}])
def test_settings_out_of_range_are_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} is {settings[name]}; it must be greater than 0"):
        network(**settings)


def test_less_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="the sound has 79 samples; the encoder 'speech' needs at least 80"):
        network()(sounds(1, 79))


def test_pictures_are_refused():
    with pytest.raises(NeedsParts, match="the encoder 'speech' reads sound, and these samples have images"):
        Speech.reads(("images",))
