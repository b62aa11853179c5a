"""Toy speech: harmonics of a voice under the formants of six vowels, which follow each other in a certain order."""

import torch
from torch import Tensor

FRAME = 80
FORMANTS = torch.tensor([[300, 2300], [400, 900], [500, 1800], [650, 1100], [750, 1700], [350, 1300]]).float()


def voices(recordings: int, frames: int = 40, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """sound (B, 80 T) int16 at 8 kHz, length (B, 1) int32 samples, vowels (B, T) int64, -1 in the padding.

    A vowel lasts 60 to 90 ms, and is followed by the next of the list or the one after. Recordings fill a half of the
    frames at least; zeros follow. There is a low and a high voice, and noise. Their pitch is such that the frames of a
    vowel look alike: with any other, learning what they have in common takes minutes.
    """
    generator = torch.Generator().manual_seed(seed)
    vowels = torch.stack([_order(frames, generator) for _ in range(recordings)])
    length = torch.randint(frames // 2, frames + 1, (recordings, 1), generator=generator) * FRAME
    samples = torch.arange(frames * FRAME) + torch.randint(FRAME, (recordings, 1), generator=generator)
    pitch = 100 * torch.randint(1, 3, (recordings, 1), generator=generator)
    shape = FORMANTS[vowels].repeat_interleave(FRAME, 1)  # (B, S, 2)
    sound = torch.zeros(recordings, frames * FRAME)
    for harmonic in range(1, 32):
        hertz = harmonic * pitch
        loudness = torch.exp(-(((hertz[:, :, None] - shape) / 150) ** 2)).sum(2)
        sound += loudness * torch.sin(2 * torch.pi * hertz * samples / 8000)
    sound += 0.5 * torch.randn(sound.shape, generator=generator)
    outside = torch.arange(frames * FRAME) >= length
    stored = (sound * 2000).to(torch.int16).masked_fill(outside, 0)
    return stored, length.to(torch.int32), vowels.masked_fill(outside[:, ::FRAME], -1)


def _order(frames: int, generator: torch.Generator) -> Tensor:
    """(T,) vowels."""
    vowels, vowel = [], int(torch.randint(6, (), generator=generator))
    while len(vowels) < frames:
        vowels += [vowel] * int(torch.randint(6, 10, (), generator=generator))
        vowel = (vowel + int(torch.randint(1, 3, (), generator=generator))) % 6
    return torch.tensor(vowels[:frames])
