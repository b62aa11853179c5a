"""Synthetic speech: ten words of twelve phones, said by sixteen speakers. Every phone and every factor is known.

It is an instrument, not a benchmark: a source and a filter, not a person. Words come in pairs of the same phones in
another order, so a representation must hold the order to tell them, and their durations and loudness hardly differ.
Training and test samples are different utterances of the same words by the same speakers, so that probes for both can
be fitted on the one and read on the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._world_speech.phones import PHONES, WORDS
from ssl_models.datasets._world_speech.timing import RATE, SAMPLES, lengths, phones_in_time
from ssl_models.datasets._world_speech.utterance import DIALS, FACTORS, SPEAKERS, check_dials, sample_utterances
from ssl_models.datasets._world_speech.voice import speak
from ssl_models.previews import SPECTROGRAM, shaded, spectrogram

KIND = "speech"
QUIET = 0.02
"""Noise where other factors are to be seen."""


def load(
    *,
    seed: int,
    train: int = 4096,
    test: int = 1024,
    pitch: float = DIALS["pitch"],
    tract: float = DIALS["tract"],
    breath: float = DIALS["breath"],
    rate: float = DIALS["rate"],
    noise: float = DIALS["noise"],
    loudness: float = DIALS["loudness"],
    onset: float = DIALS["onset"],
) -> Dataset:
    """train and test recordings: `sound` (N, 5120) int16 at 8 kHz, `length` (N, 1) int32; what follows is zero.

    labels: the word; truth "labels.word", "labels.speaker" and "phones" (N, 64) int8; every factor of FACTORS.
    pitch ... onset: dials in [0, 1], 0 fixes a factor (amounts: leaves it out), 1 gives it its full range; see
    utterance.FACTORS for ranges and units. Speakers differ in pitch, tract, breath and rate, and in nothing else.
    Raises ValueError for a count below 1, a negative seed, or a dial outside [0, 1].
    """
    dials = {
        "pitch": pitch,
        "tract": tract,
        "breath": breath,
        "rate": rate,
        "noise": noise,
        "loudness": loudness,
        "onset": onset,
    }
    _check(seed, train, test, dials)
    _, known = describe()
    return Dataset(
        _split(2 * seed, train, dials),
        _split(2 * seed + 1, test, dials),
        tuple(WORDS),
        known=known,
        label_sets={"speaker": SPEAKERS, "word": tuple(WORDS)},
    )


def count(*, train: int = 4096, test: int = 1024, seed: int = 0, **dials: float) -> tuple[int, int]:
    """Number of training and test samples that `load` gives for these settings; checks them in the same way."""
    _check(seed, train, test, dials)
    return train, test


def describe(**settings: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shape of each part of a sample, and Dataset.known. Raises ValueError as `count`."""
    count(**settings)
    return {"sound": (SAMPLES,), "length": (1,)}, {"rate": RATE, "phones": list(PHONES)}


def _split(seed: int, samples: int, dials: dict[str, float]) -> Split:
    said = sample_utterances(samples, torch.Generator().manual_seed(seed), dials)
    truth = {"labels.word": said.words, "labels.speaker": said.speakers, "phones": phones_in_time(said)}
    return Split({"sound": speak(said), "length": lengths(said)[:, None]}, said.words, dict(said.factors), truth)


def _check(seed: int, train: int, test: int, dials: dict[str, float]) -> None:
    if seed < 0:
        raise ValueError(f"world_speech seed is {seed}; it must not be negative")
    for name, samples in (("train", train), ("test", test)):
        if samples < 1:
            raise ValueError(f"world_speech {name} is {samples}; it must be at least 1 sample")
    check_dials(dials)


def factor_sweep(*, seed: int, steps: int = 12) -> tuple[Tensor, tuple[str, ...]]:
    """One row a factor: spectrograms of the same utterance, that factor moved over its full range; and the names.

    (3, H, W) uint8; loudness is shown as in the row's loudest recording. The other factors are those of one default
    utterance with little noise. Raises ValueError for fewer than 2 steps.
    """
    _check(seed, 1, 1, {})
    if steps < 2:
        raise ValueError(f"factor_sweep steps is {steps}; it takes at least 2 to show both ends")
    said = sample_utterances(1, torch.Generator().manual_seed(2 * seed), DIALS)
    said = said[torch.zeros(steps, dtype=torch.int64)].moved(noise=QUIET)
    share = torch.linspace(0, 1, steps)
    size = (steps * SPECTROGRAM[0], SPECTROGRAM[1])
    rows = [
        shaded(spectrogram(speak(said.moved(**{name: factor.value(share, 1.0)})).flatten().numpy()), size)
        for name, factor in FACTORS.items()
    ]
    return torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1), tuple(FACTORS)
