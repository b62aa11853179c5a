"""The encoder `two_tower`: each tower's layers, clips, where it sounds, and the tower that reads one part alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.two_tower import TwoTower, finer, similarities
from ssl_models.errors import DoesNotApply, NeedsParts
from ssl_models.extraction import POOLED, extract_features, feature_layers
from ssl_models.method import Method
from ssl_models.methods.distillation import Distillation
from ssl_models.methods.random import Random
from ssl_models.methods.supervised import Supervised
from ssl_models.modalities.inputs import inputs
from ssl_models.monitor import Monitor
from ssl_models.trainer import Settings, Training
from tests.ssl_models.clips import COLOURS, clips

torch.set_num_threads(1)
CPU = torch.device("cpu")
SEES = ("conv1", "res2", "res3", "res4", "res5")
HEARS = ("conv1", "conv2", "conv3", "conv4")
FRAMES = (*(f"frames_{layer}" for layer in SEES), "frames")
SOUND = (*(f"sound_{layer}" for layer in HEARS), "sound")
SHAPES = {"frames": (6, 3, 32, 32), "sound": (4000,), "source": (1,)}


def network(**settings: object) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower(**({"depth": 10, "width": 4, "embedding": 8} | settings)).eval()  # type: ignore[arg-type]


def given(count: int = 4) -> tuple[Tensor, Tensor]:
    """Clips (B, 6, 3, 32, 32) and sound (B, S), as the encoder takes them."""
    made = clips(count)
    return inputs(made["frames"]), inputs(made["sound"])


# ---- layers


def test_the_layers_are_those_of_both_towers_in_turn_and_the_representation_is_both_vectors() -> None:
    encoder, (frames, sound) = network(), given()
    layers, vectors = encoder.represent(frames[:, 0], sound)
    assert tuple(layers) == (*FRAMES, *SOUND)
    torch.testing.assert_close(vectors, torch.cat([layers["frames"], layers["sound"]], 1))
    torch.testing.assert_close(encoder(frames[:, 0], sound), vectors)
    assert vectors.shape == (4, encoder.dim) == (4, 64)
    names = feature_layers(encoder, {"frames": clips(1)["frames"], "sound": clips(1)["sound"]})
    assert names == (*FRAMES, *SOUND, POOLED)


def test_a_layer_is_of_one_tower_alone() -> None:
    encoder, (frames, sound) = network(), given()
    before = encoder.layers(frames, sound)
    others = encoder.layers(frames, sound.flip(0)), encoder.layers(frames.flip(0), sound)
    for layer, values in before.items():
        assert torch.equal(values, others[0][layer]) == (layer in FRAMES)
        assert torch.equal(values, others[1][layer]) == (layer in SOUND)


def test_the_last_map_is_no_smaller_than_the_one_before() -> None:
    layers = network().layers(torch.rand(1, 3, 64, 64), torch.rand(1, 8000) - 0.5)
    assert [layers[f"frames_{layer}"].shape[2] for layer in SEES] == [32, 32, 16, 8, 8]


@pytest.mark.parametrize("depth", [10, 50])
def test_the_seeing_tower_has_the_weights_of_a_resnet(depth: int) -> None:
    torch.manual_seed(0)
    plain = ResNet(depth=depth, width=4).eval()
    tower = finer(ResNet(depth=depth, width=4)).eval()
    tower.load_state_dict(plain.state_dict())
    pictures = torch.rand(2, 3, 32, 32)
    before, after = plain.layers(pictures), tower.layers(pictures)
    for layer in SEES[:-1]:
        assert torch.equal(before[layer], after[layer])
    assert after["res5"].shape[2:] == after["res4"].shape[2:] == (4, 4)
    assert before["res5"].shape[2:] == (2, 2)


# ---- clips


def test_of_a_clip_maps_and_vectors_are_the_mean_of_its_frames() -> None:
    encoder, (frames, sound) = network(), given()
    whole = encoder.layers(frames, sound)
    each = [encoder.layers(frames[:, time], sound) for time in range(frames.shape[1])]
    for layer, values in whole.items():
        torch.testing.assert_close(values, torch.stack([one[layer] for one in each]).mean(0), atol=1e-5, rtol=1e-4)


def test_features_of_clips_and_of_one_frame_as_a_picture() -> None:
    made, encoder = clips(4), network()
    still = {"frames": made["frames"][:, :1], "sound": made["sound"]}
    pictures = {"images": made["frames"][:, 0], "sound": made["sound"]}
    one, two = (next(extract_features(encoder, samples, CPU)) for samples in (still, pictures))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[layer], two[layer]) for layer in one)


# ---- where it sounds


def test_heat_is_the_cosine_of_every_position_and_the_sound() -> None:
    encoder, (frames, sound) = network().requires_grad_(False), given(2)
    heat = encoder.heat(frames, sound)
    assert heat.shape == (2, 6, 4, 4)
    assert heat.dtype == torch.float32
    heard = encoder.embed_sound(encoder.hearing(sound))
    for clip in range(2):
        for time in range(6):
            last = encoder.seeing.layers(frames[clip, time : time + 1])["res5"]
            places = encoder.embed_frames(last)[0]
            for row in range(4):
                for column in range(4):
                    place = places[:, row, column]
                    expected = place @ heard[clip] / (place.norm() * heard[clip].norm())
                    assert float(heat[clip, time, row, column]) == pytest.approx(float(expected), abs=1e-5)


def test_heat_of_a_frame_is_one_map() -> None:
    encoder, (frames, sound) = network(), given()
    torch.testing.assert_close(encoder.heat(frames, sound)[:, 2], encoder.heat(frames[:, 2], sound))
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.heat(frames[:, 0], sound).dtype == torch.float32


def test_a_position_with_the_embedding_of_the_sound_has_heat_1() -> None:
    places, heard = torch.randn(2, 8, 3, 3), torch.randn(2, 8)
    places[0, :, 2, 1], places[1, :, 0, 0] = 3 * heard[0], -heard[1]
    heat = similarities(places, heard, "behw,be->bhw")
    assert float(heat[0, 2, 1]) == pytest.approx(1) == float(heat[0].max())
    assert float(heat[1, 0, 0]) == pytest.approx(-1) == float(heat[1].min())


# ---- one part alone


def test_of_one_part_alone_its_tower_is_read() -> None:
    encoder = network()
    assert encoder.reading(["frames", "sound", "length"]) is encoder
    assert encoder.reading(["images"]) is encoder.seeing
    assert encoder.reading({"frames": (6, 3, 32, 32), "tracks": (2, 6, 4)}) is encoder.seeing
    assert encoder.reading(("sound", "length")) is encoder.hearing
    pictures = {"images": clips(2)["frames"][:, 0]}
    assert feature_layers(encoder.reading(pictures), pictures) == (*SEES, POOLED)
    with pytest.raises(NeedsParts, match="the encoder 'two_tower' reads images or frames, and these samples have tok"):
        encoder.reading(["tokens"])
    with pytest.raises(NeedsParts, match="the encoder 'two_tower' reads sound, and these samples have images"):
        encoder.reads(["images"])


def test_other_encoders_are_read_as_they_are() -> None:
    plain = build_encoder("resnet", depth=10, width=4)
    assert plain.reading(["images"]) is plain.reading(["tokens"]) is plain


# ---- how it is made


def test_it_is_made_for_data_and_again_from_its_settings() -> None:
    data = DataSpec(8, {"frames": (6, 1, 32, 32), "sound": (4000,)})
    encoder = TwoTower.from_data(data, width=4, norm="group").eval()
    assert encoder.settings["channels"] == 1
    other = build_encoder(encoder.name, **encoder.settings)
    other.load_state_dict(encoder.state_dict())
    seen, heard = torch.rand(2, 1, 32, 32), given(2)[1]
    assert torch.equal(other.eval()(seen, heard), encoder(seen, heard))
    assert torch.equal(other.heat(seen, heard), encoder.heat(seen, heard))
    with pytest.raises(NeedsParts, match="reads sound, and these samples have frames"):
        TwoTower.from_data(DataSpec(8, {"frames": (6, 3, 32, 32)}))


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="embedding is 0"):
        TwoTower(embedding=0)
    with pytest.raises(DoesNotApply, match="'two_tower' cannot compute one layer from the one before"):
        network().blocks()
    with pytest.raises(DoesNotApply, match="'two_tower' has two inputs"):
        network().standardise(*given())


# ---- methods that read whatever the encoder reads, and the monitor


@pytest.mark.parametrize("build", [Supervised, Distillation])
def test_training_on_labels_or_on_a_teacher_learns(build: type[Method]) -> None:
    made = clips(64)
    labels = made["colour"]
    data = DataSpec(64, SHAPES, labels, len(COLOURS), 3.0 * nn.functional.one_hot(labels))
    method = build(network().train(), data)  # type: ignore[call-arg]
    assert method.parts == ("frames", "sound")
    parts = [made[part] for part in method.parts]
    views = method.views(*parts, torch.Generator().manual_seed(0))
    assert [tuple(view.shape[1:]) for view in views] == [SHAPES["frames"], SHAPES["sound"]]
    settings = Settings(epochs=6, batch_size=16, optimizer="adamw", learning_rate=0.1, weight_decay=0.0, monitor=False)
    Training(method, parts, settings, seed=0).run()
    classifier = method.eval().classifier()
    assert classifier is not None
    right = classifier(method.encoder(*map(inputs, parts))).argmax(1) == labels
    assert float(right.float().mean()) > 0.9


def test_the_control_and_the_monitor_read_both_parts() -> None:
    assert Random(network(), DataSpec(8, SHAPES)).parts == ("frames", "sound")
    made = clips(12)
    samples = {part: made[part].numpy() for part in ("frames", "sound", "source")}
    monitor = Monitor(samples, np.arange(12) % 2, seed=0)
    assert 1 <= monitor.measure(network(), CPU, "float32", 4)["rankme"] <= 6
    assert monitor.cost(network()) > 0
