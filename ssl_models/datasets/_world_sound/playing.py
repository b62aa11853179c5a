"""From notes to sound: partials and noise, under an attack and a decay. Legend: B notes, S samples, N partials."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_models.datasets._world_sound import timbres
from ssl_models.datasets._world_sound.notes import Notes

RATE = 8000
SAMPLES = 8000
HIGHEST = 3700.0
"""Hz: there is no partial above this one, and with the widest vibrato none above half of RATE."""
UNEVEN, DETUNED, SPEED = 3.0, 0.05, 1.3
"""How far two notes of a class differ: decibels of a partial either way, resonances either way as a share of their
place, and the most by which attack and decay are longer or shorter."""
SLOWEST, FASTEST = 4.0, 7.0
"""Hz of a vibrato."""
FLOOR = 2.0
"""RMS of the recorder's own noise, in steps of int16."""
CHUNK = 32


def play(notes: Notes) -> Tensor:
    """(B, SAMPLES) int16. The first rows do not depend on how many there are."""
    found = torch.empty(len(notes), SAMPLES, dtype=torch.int16)
    for start in range(0, len(notes), CHUNK):
        found[start : start + CHUNK] = _recorded(notes[start : start + CHUNK])
    return found


def _recorded(notes: Notes) -> Tensor:
    """(B, SAMPLES) int16."""
    own, room = _noise(notes).unbind(1)
    time = torch.arange(SAMPLES) / RATE - notes.factors["onset"][:, None]  # (B, S), since the onset
    playing = (time >= 0).float()
    since = time.clamp(min=0)
    noise = timbres.column("noise")[notes.labels][:, None]
    note = (1 - noise).sqrt() * _of_power_one(_partials(notes, since), playing)
    note += noise.sqrt() * _of_power_one(_within_band(notes, own), playing)
    note = _of_power_one(note * _envelope(notes, since) * playing, playing)
    heard = note + notes.factors["noise"][:, None] * (room + 0.7 * room.roll(1, 1)) / math.hypot(1, 0.7)
    loud = 32768 * 10 ** (notes.factors["loudness"] / 20)
    heard = heard * loud[:, None] + FLOOR * room.flip(1)
    return heard.round().clamp(-32767, 32767).to(torch.int16)


def _noise(notes: Notes) -> Tensor:
    """(B, 2, SAMPLES) normal numbers, of each note's own seed."""
    streams = (torch.Generator().manual_seed(seed) for seed in notes.seeds.tolist())
    return torch.stack([torch.randn(2, SAMPLES, generator=stream) for stream in streams])


def _of_power_one(sound: Tensor, playing: Tensor) -> Tensor:
    """The sound (B, S) with a mean square of 1 where it is played; silence stays silence."""
    power = (sound * playing).double().square().sum(1, keepdim=True) / playing.double().sum(1, keepdim=True)
    return sound / power.sqrt().clamp(min=1e-9).float()


def _partials(notes: Notes, since: Tensor) -> Tensor:
    """(B, S): the partials together, each of an amplitude that stays."""
    ratios, levels = (table[notes.labels] for table in timbres.partials())  # (B, N)
    uneven, _, speed, start, shift = _habits(notes)
    hertz = ratios * notes.factors["pitch"][:, None]
    decibels = levels + UNEVEN * uneven + timbres.resonance(notes.labels, hertz, shift)
    amplitudes = 10 ** (decibels / 20) * (hertz < HIGHEST)
    wide = 2 * math.pi * speed[:, None]
    turned = (torch.cos(wide * since + start[:, None]) - start.cos()[:, None]) / wide
    swing = since - notes.factors["vibrato"][:, None] * turned  # the integral of 1 + vibrato * sin
    phases = 2 * math.pi * ((torch.arange(timbres.PARTIALS) * 0.618) % 1)
    total = torch.zeros_like(since)
    for number in range(timbres.PARTIALS):
        sounding = (amplitudes[:, number] > 0.001).nonzero()[:, 0]
        angle = 2 * math.pi * hertz[sounding, number, None] * swing[sounding] + phases[number]
        total[sounding] += amplitudes[sounding, number, None] * torch.sin(angle)
    return total


def _within_band(notes: Notes, noise: Tensor) -> Tensor:
    """(B, S): the noise, of which what lies outside the band of its timbre falls off by a Gaussian of 150 Hz."""
    low, high = timbres.bands()[notes.labels].unsqueeze(2).unbind(1)  # (B, 1)
    hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE)
    beyond = (low - hertz).clamp(min=0) + (hertz - high).clamp(min=0)
    return torch.fft.irfft(torch.fft.rfft(noise) * torch.exp(-0.5 * (beyond / 150).square()), SAMPLES)


def _envelope(notes: Notes, since: Tensor) -> Tensor:
    """(B, S): how loud a note is in time."""
    _, lasting, *_ = _habits(notes)
    attack, decay = (
        timbres.column(name)[notes.labels] * SPEED ** lasting[:, place]
        for place, name in enumerate(("attack", "decay"))
    )
    return (1 - torch.exp(-3 * since / attack[:, None])) * torch.exp(-since / decay[:, None])


def _habits(notes: Notes) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(B, N) and (B, 2) in [-1, 1); of the vibrato the rate in Hz and the phase, shift of resonances, (B,) each."""
    signed = 2 * notes.habits - 1
    speed = SLOWEST + (FASTEST - SLOWEST) * notes.habits[:, -2]
    uneven, lasting = signed[:, : timbres.PARTIALS], signed[:, timbres.PARTIALS : timbres.PARTIALS + 2]
    return uneven, lasting, speed, 2 * math.pi * notes.habits[:, -1], 1 + DETUNED * signed[:, -3]
