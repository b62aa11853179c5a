"""From utterances to sound: pulses and noise are the source, the vocal tract is the filter (Fant 1960).

The source is made sample by sample. Each 5 ms a window of 10 ms of it passes the filters as they are then, and the
windows add up. Targets of phones are blurred in time by a Gaussian: formants slowly, which is co-articulation (a short
phone does not reach its target), and amplitudes quickly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ssl_models.datasets._world_speech.phones import AMPLITUDES, FORMANTS, LOGARITHMS, TARGETS, spellings, table
from ssl_models.datasets._world_speech.timing import RATE, SAMPLES, boundaries, lengths
from ssl_models.datasets._world_speech.utterance import Utterances

HOP, WINDOW, POINTS = 40, 80, 320
"""Of the filtering, in samples. POINTS are those of the Fourier transform: a filter may ring for 30 ms."""
STEPS = SAMPLES // HOP + 1
SLOW, FAST = 0.024, 0.003
"""Standard deviations, in seconds, of the blur of formants and of amplitudes."""
SHIFT, EMPHASIS = 0.11, 4.0
"""The most by which a phone's formants (logarithm) and its level (decibels) differ from one time to the next."""
FALL = 6.0
"""Decibels by which the end of a word is softer than its start."""
WIDTHS = (70.0, 90.0, 140.0, 220.0)
"""Bandwidths in Hz of a vowel's formants. The fourth formant is the same for all phones."""
FOURTH = 3500.0
HIGHEST = 3900.0
"""Hz: the pulses have no partial above this one."""
GLOTTIS, LIPS = 250.0, 60.0
"""Hz. Above the one the voice falls by 6 dB an octave; below the other nothing leaves the mouth."""
BAND = 900.0
"""Hz: width of the noise of a constriction."""
FLOOR = 2.0
"""RMS of the recorder's own noise, in steps of int16."""
CHUNK = 16


def speak(utterances: Utterances) -> Tensor:
    """(B, SAMPLES) int16, zero after the recording's end. The first rows do not depend on how many there are."""
    everyone = len(utterances)
    rows = []
    with _one_thread():
        for start in range(0, everyone, CHUNK):  # always as many at once: rounding depends on that
            rows.append(_recorded(utterances[torch.arange(start, start + CHUNK).clamp(max=everyone - 1)]))
    return torch.cat(rows)[:everyone] * (torch.arange(SAMPLES) < lengths(utterances)[:, None])


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, and as before afterwards.

    The steps are thousands of small ones: two threads that wait for each other after each took four to eight times as
    long where other processes had the cores too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _recorded(utterances: Utterances) -> Tensor:
    """(B, SAMPLES) int16, the background to the last sample."""
    mouth, room = _noise(utterances).unbind(1)
    word = _word(utterances, mouth)
    heard = word + utterances.factors["noise"][:, None] * (room + 0.7 * room.roll(1, 1)) / math.hypot(1, 0.7)
    loud = 32768 * 10 ** (utterances.factors["loudness"] / 20)
    heard = heard * loud[:, None] + FLOOR * room.flip(1)
    return heard.round().clamp(-32767, 32767).to(torch.int16)


def _noise(utterances: Utterances) -> Tensor:
    """(B, 2, SAMPLES) normal numbers, of each utterance's own seed."""
    streams = (torch.Generator().manual_seed(seed) for seed in utterances.seeds.tolist())
    return torch.stack([torch.randn(2, SAMPLES, generator=stream) for stream in streams])


def _word(utterances: Utterances, noise: Tensor) -> Tensor:
    """(B, SAMPLES) float32: the word with a power of 1 between its start and its end."""
    control = _controls(utterances)
    starts, ends = boundaries(utterances)
    time = torch.arange(SAMPLES, dtype=torch.float64) / RATE
    course = ((time - starts[:, :1]) / (ends[:, -1:] - starts[:, :1])).float()  # 0 to 1 over the word
    voice, breath, friction = (_each_sample(control[name]) for name in AMPLITUDES)
    bright = (noise - 0.9 * noise.roll(1, 1)) / math.hypot(1, 0.9)
    breath = breath + utterances.factors["breath"][:, None] * voice
    source = voice * _pulses(_pitch(utterances, course)) + breath * bright
    sound = _filtered(source, _tract(control)) + _filtered(noise * friction, _constriction(control))
    sound = sound * 10 ** (-FALL / 20 * course.clamp(0, 1))
    within = (course >= 0) & (course < 1)
    power = (sound.square() * within).sum(1, keepdim=True) / within.sum(1, keepdim=True)
    return sound / power.sqrt()


def _controls(utterances: Utterances) -> dict[str, Tensor]:
    """TARGETS and F4 -> (B, STEPS): what this speaker's voice reaches at each step; formants and centre in Hz."""
    spoken = spellings()[utterances.words]
    last = spoken.gather(1, (spoken >= 0).sum(1, keepdim=True) - 1)
    targets = table()[torch.where(spoken >= 0, spoken, last)]  # (B, MOST, SLOTS, TARGETS)
    habits = 2 * utterances.habits[:, :, None] - 1
    targets[..., :FORMANTS] += SHIFT * habits[..., :FORMANTS]
    amplitudes = [TARGETS.index(name) for name in AMPLITUDES]
    targets[..., amplitudes] *= 10 ** (EMPHASIS / 20 * habits[..., FORMANTS + 1 :])
    targets = targets.flatten(1, 2)
    starts, ends = boundaries(utterances)
    amplitude = _blurred(targets, starts, ends, FAST)
    starts[:, 0], ends[:, -1] = -1.0, 2.0  # the mouth is there before and after the word
    slow, quick = (_blurred(targets, starts, ends, width) for width in (SLOW, FAST))
    blurred = dict.fromkeys(AMPLITUDES, amplitude) | {"centre": quick}
    found = {name: blurred.get(name, slow)[..., k] for k, name in enumerate(TARGETS)}
    tract = utterances.factors["tract"][:, None]
    scaled = {name: found[name].exp() / tract for name in LOGARITHMS}
    return found | scaled | {"F4": (FOURTH / tract).expand_as(found["F1"])}


def _blurred(targets: Tensor, starts: Tensor, ends: Tensor, width: float) -> Tensor:
    """(B, slots, K), each held from its start to its end, after a blur by a Gaussian of this width: (B, STEPS, K)."""
    time = torch.arange(STEPS)[:, None] * HOP / RATE
    begun, over = (torch.special.ndtr((time - edge[:, None]) / width) for edge in (starts, ends))
    return (begun - over).float() @ targets  # (B, STEPS, slots) @ (B, slots, K)


def _each_sample(steps: Tensor) -> Tensor:
    """(B, STEPS) -> (B, SAMPLES), linear between the steps."""
    return interpolate(steps[:, None], SAMPLES + 1, mode="linear", align_corners=True)[:, 0, :-1]


def _pitch(utterances: Utterances, course: Tensor) -> Tensor:
    """(B, SAMPLES) Hz: mostly falling, with a hump and a slow wave, its mean over the word in logarithms as drawn."""
    slope, hump, depth, phase = (numbers[:, None] for numbers in utterances.melody.unbind(1))
    course = course.clamp(0, 1)
    octaves = (0.1 - 0.5 * slope) * (course - 0.5)
    octaves = octaves + 0.3 * (hump - 0.5) * (torch.sin(math.pi * course) - 2 / math.pi)
    octaves = octaves + 0.04 * depth * torch.sin(2 * math.pi * (2 * course + phase))
    return utterances.factors["pitch"][:, None] * 2**octaves


def _pulses(pitch: Tensor) -> Tensor:
    """(B, SAMPLES) of power 1: all partials of this pitch (B, SAMPLES) up to HIGHEST, of one amplitude.

    The partials 1 to M sum to a Dirichlet kernel; one more comes in gradually as the pitch falls.
    """
    turns = (pitch.double() / RATE).cumsum(1)
    angle = 2 * math.pi * (turns - turns.round()).float()  # in [-pi, pi]
    room = HIGHEST / pitch
    partials = room.floor()
    half = torch.sin(angle / 2)
    kernel = torch.sin((partials + 0.5) * angle) / (2 * torch.where(half.abs() < 1e-5, 1.0, half)) - 0.5
    kernel = torch.where(half.abs() < 1e-5, partials, kernel)
    return (kernel + (room - partials) * torch.cos((partials + 1) * angle)) * (2 / room).sqrt()


def _filtered(source: Tensor, response: Tensor) -> Tensor:
    """(B, SAMPLES) through filters that change, (B, STEPS, POINTS / 2 + 1) complex -> (B, SAMPLES)."""
    window = torch.hann_window(WINDOW)  # two that overlap by half sum to 1
    pieces = pad(source, (HOP, HOP)).unfold(1, WINDOW, HOP) * window
    pieces = torch.fft.irfft(torch.fft.rfft(pieces, POINTS).mul_(response), POINTS)
    parts = pieces.unflatten(2, (POINTS // HOP, HOP))
    whole = source.new_zeros(len(source), STEPS + POINTS // HOP, HOP)
    for part in range(POINTS // HOP):
        whole[:, part : part + STEPS] += parts[:, :, part]
    return whole.flatten(1)[:, HOP : HOP + SAMPLES]


def _tract(control: dict[str, Tensor]) -> Tensor:
    """(B, STEPS, POINTS / 2 + 1) complex: four resonances one after another, behind the glottis and the lips."""
    hertz = torch.arange(POINTS // 2 + 1) * (RATE / POINTS)
    real, imaginary = LIPS - hertz.square() / GLOTTIS, hertz * (1 + LIPS / GLOTTIS)
    for formant, width in zip(("F1", "F2", "F3", "F4"), WIDTHS, strict=True):
        place = control[formant][..., None].reciprocal()
        above = 1 - (hertz * place).square()
        losses = (control["width"][..., None] * width * place.square()) * hertz
        real, imaginary = real * above - imaginary * losses, real * losses + imaginary * above
    size = hertz / (real.square() + imaginary.square())
    return torch.complex(imaginary * size, real * size)


def _constriction(control: dict[str, Tensor]) -> Tensor:
    """(B, STEPS, POINTS / 2 + 1) complex: a band around `centre`, 12 dB an octave to both sides of it."""
    hertz = torch.arange(POINTS // 2 + 1) * (RATE / POINTS)
    centre, width = control["centre"][..., None], BAND * hertz
    above = (centre - hertz) * (centre + hertz)
    size = width / (above.square() + width.square())
    real, imaginary = width * size, above * size
    return torch.complex(real.square() - imaginary.square(), 2 * real * imaginary)
