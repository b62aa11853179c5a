"""When each phone of an utterance is spoken, and how long its recording is."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_models.datasets._world_speech.phones import FORMANTS, SLOTS, durations, spellings
from ssl_models.datasets._world_speech.utterance import Utterances

RATE = 8000
SAMPLES = 5120
PHONE = RATE // 100
"""Samples of 10 ms, for which one phone is noted."""
TAIL = 0.02
"""Seconds of a recording after the word."""
WORD, EVEN = 0.40, 0.7
"""Seconds of an average word, and how far all words are drawn to it: a duration must not tell the word."""
STRETCH = 0.25
"""The most by which one phone takes more or less than its share of the word."""


def boundaries(utterances: Utterances) -> tuple[Tensor, Tensor]:
    """Starts and ends (B, MOST * SLOTS) of all slots, in seconds of the recording, one after another without a gap.

    Slots of no phone have no duration. A plosive that starts a word has no closure: nobody hears when it began.
    """
    spoken = spellings()[utterances.words]  # (B, MOST)
    own = torch.where(spoken[..., None] >= 0, durations()[spoken], 0.0).double()  # (B, MOST, SLOTS)
    own[:, 0, :1] *= own[:, 0, 2:] == 0
    total = WORD * (own.sum((1, 2)) / WORD) ** (1 - EVEN) / utterances.factors["rate"]
    drawn = own * (1 + STRETCH * (2 * utterances.habits[:, :, FORMANTS, None] - 1))
    shares = drawn.flatten(1) / drawn.sum((1, 2))[:, None]
    onset = utterances.factors["onset"][:, None].double()
    ends = onset + shares.cumsum(1) * total[:, None]
    return torch.cat([onset, ends[:, :-1]], 1), ends


def lengths(utterances: Utterances) -> Tensor:
    """(B,) int32: samples of each recording: the onset, the word and TAIL."""
    return ((boundaries(utterances)[1][:, -1] + TAIL) * RATE).round().clamp(max=SAMPLES).int()


def phones_in_time(utterances: Utterances) -> Tensor:
    """(B, SAMPLES / PHONE) int8: the phone in the middle of each 10 ms, -1 before and after the word."""
    starts, ends = (times[:, None] for times in boundaries(utterances))  # (B, 1, slots)
    middle = (torch.arange(SAMPLES // PHONE)[:, None] + 0.5) * PHONE / RATE
    inside = (starts <= middle) & (middle < ends)
    spoken = spellings()[utterances.words].repeat_interleave(SLOTS, 1)[:, None]
    return torch.where(inside, spoken + 1, 0).sum(2).sub(1).to(torch.int8)
