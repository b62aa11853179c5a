"""Audio-visual correspondence: what is learnt in seconds, and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_models.encoders import spectrogram
from ssl_models.methods.audio_visual import FUSIONS, AudioVisual
from ssl_models.modalities.inputs import inputs
from ssl_models.trainer import Settings, Training
from tests.ssl_models.clips import EDGE, SIDE, clips
from tests.ssl_models.test_audio_visual import method, parts, seeded

torch.set_num_threads(1)


def trained(av: AudioVisual, made: dict[str, Tensor], epochs: int = 10) -> AudioVisual:
    settings = Settings(epochs=epochs, batch_size=32, optimizer="adamw", learning_rate=0.032, monitor=False)
    Training(av, parts(made), settings, seed=0).run()
    return av.eval()


def held_out(av: AudioVisual, made: dict[str, Tensor]) -> float:
    """The accuracy on these clips, of four draws of pairs."""
    with torch.no_grad():
        found = [
            av.loss(*av.views(*parts(made), seeded(seed)), index=torch.arange(len(made["sound"]))) for seed in range(4)
        ]
    return sum(float(one.terms["accuracy"]) for one in found) / 4


@pytest.mark.parametrize("fusion", FUSIONS)
def test_it_learns_which_colour_sounds_how(fusion: str) -> None:
    """Four colours: one false pair in four is of one colour, so that 7/8 is the most that can be expected."""
    av = method(width=8, fusion=fusion)
    before = held_out(av.eval(), clips(128, seed=2))
    after = held_out(trained(av.train(), clips(192, seed=1)), clips(128, seed=2))
    assert before < 0.6
    assert 0.75 < after < 0.93


def loud(count: int, seed: int) -> dict[str, Tensor]:
    """Clips in which loudness alone goes with the colour: a tone of one pitch, of four levels, over noise below it."""
    made = clips(count, seed)
    time, generator = torch.arange(4000) / 8000, seeded(seed)
    wave = torch.sin(2 * torch.pi * (440 * time + torch.rand(count, 1, generator=generator)))
    wave = wave + 0.05 * torch.randn(count, 4000, generator=generator)
    levels = torch.tensor([500.0, 1600.0, 5000.0, 16000.0])[made["colour"]][:, None]
    return made | {"sound": (levels * wave).to(torch.int16)}


def of_full_scale(power: Tensor) -> Tensor:
    """Levels as those of the encoder, but below full scale in place of the loudest point of each recording."""
    return 2 + power.clamp(min=1e-6, max=1).log10() * (2 / 3)  # -60 dB to 0 are -2 to 2


def test_loudness_alone_cannot_be_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there: levels that are not relative tell it, of the same clips with the same training."""
    av = trained(method(width=8), loud(192, seed=1))
    assert held_out(av, loud(128, seed=2)) < 0.56
    monkeypatch.setattr(spectrogram, "levels", of_full_scale)
    av = trained(method(width=8), loud(192, seed=1))
    assert held_out(av, loud(128, seed=2)) > 0.75


def two_squares(count: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Frames with two squares of different colours side by side; the sound of each, and the middle (B, 2) of each."""
    one, two = clips(count, seed=11), {part: values.roll(1, 0) for part, values in clips(count, seed=12).items()}
    frames, boxes = one["frames"][:, 0].clone(), [made["tracks"][:, 0, 0] for made in (one, two)]
    for row, (left, top, right, bottom) in enumerate(boxes[1].long().tolist()):
        frames[row, :, top:bottom, left:right] = two["frames"][row, 0, :, top:bottom, left:right]
    apart = (boxes[0][:, :2] - boxes[1][:, :2]).abs().amax(1) >= EDGE
    kept = apart & (one["colour"] != two["colour"])
    return frames[kept], [made["sound"][kept] for made in (one, two)], [box[kept, :2] + EDGE / 2 for box in boxes]


def test_of_two_squares_the_map_finds_the_one_that_sounds() -> None:
    """In the same frames, with the sound of either: learnt from clips of one square. Chance is 1/2."""
    frames, sounds, middles = two_squares(256)
    assert len(frames) > 80
    av = trained(method(width=8), clips(192, seed=1), epochs=16)
    for own, heard in enumerate(sounds):
        with torch.no_grad():
            heat = av.encoder.heat(inputs(frames), inputs(heard))
        rows, columns = heat.flatten(1).argmax(1) // heat.shape[2], heat.flatten(1).argmax(1) % heat.shape[2]
        hottest = (torch.stack([columns, rows], 1) + 0.5) * (SIDE / heat.shape[2])
        distances = [(hottest - middle).norm(dim=1) for middle in middles]
        assert float((distances[own] < distances[1 - own]).float().mean()) > 0.75
