"""Made-up clips: a square that moves over a smooth background, and a tone that says which square it is."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

FRAMES, SIDE, EDGE = 6, 32, 12
RATE, SAMPLES = 8000, 4000
COLOURS = torch.tensor([[230, 40, 40], [40, 220, 60], [50, 60, 230], [220, 210, 40]], dtype=torch.uint8)
PITCHES = (300.0, 600.0, 1200.0, 2400.0)


def clips(count: int, seed: int = 0) -> dict[str, Tensor]:
    """frames (B, 6, 3, 32, 32) uint8, tracks (B, 2, 6, 4), sound (B, 4000) int16, source (B, 1) and colour (B,).

    A square of 12 pixels slides straight on and stays in the frame; its box is the first track, and there is no second.
    The tone's pitch goes with the square's colour, and its loudness is random. Every clip is a source of its own.
    """
    generator = Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    frames = (smooth * 120 + 60).to(torch.uint8)[:, None].repeat(1, FRAMES, 1, 1, 1)
    colour = torch.arange(count) % len(COLOURS)
    ends = torch.randint(0, SIDE - EDGE + 1, (2, count, 2), generator=generator)
    tracks = torch.zeros(count, 2, FRAMES, 4)
    for time in range(FRAMES):
        share = time / (FRAMES - 1)
        places = (ends[0] * (1 - share) + ends[1] * share).round().long()
        for row, (left, top) in enumerate(places.tolist()):
            frames[row, time, :, top : top + EDGE, left : left + EDGE] = COLOURS[colour[row], :, None, None]
            tracks[row, 0, time] = torch.tensor([left, top, left + EDGE, top + EDGE])
    pitch = torch.tensor(PITCHES)[colour][:, None]
    phase = torch.rand(count, 1, generator=generator)
    loudness = 2000 + 8000 * torch.rand(count, 1, generator=generator)
    wave = torch.sin(2 * torch.pi * (pitch * torch.arange(SAMPLES) / RATE + phase))
    noise = 100 * torch.randn(count, SAMPLES, generator=generator)
    sound = (loudness * wave + noise).to(torch.int16)
    source = torch.arange(count, dtype=torch.int32)[:, None]
    return {"frames": frames, "tracks": tracks, "sound": sound, "source": source, "colour": colour}
