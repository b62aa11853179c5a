"""What is heard of the synthetic speech: measured on the sound, not read from the code that made it."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.fft import dct
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ssl_models.datasets import world_speech
from ssl_models.datasets._common.split import Split
from ssl_models.datasets._world_speech.phones import PHONES
from ssl_models.datasets._world_speech.timing import PHONE, RATE, SAMPLES, boundaries, phones_in_time
from ssl_models.datasets._world_speech.utterance import DIALS, Utterances, sample_utterances
from ssl_models.datasets._world_speech.voice import speak

torch.set_num_threads(1)
NAMES = list(PHONES)
VOWELS, FRICATIVES, PLOSIVES = ("a", "e", "i", "o", "u"), ("s", "sh"), ("p", "t", "k")


def said(samples: int, seed: int = 0, **dials: float) -> Utterances:
    return sample_utterances(samples, torch.Generator().manual_seed(seed), {**DIALS, **dials})


def frames(sound: torch.Tensor) -> torch.Tensor:
    """(B, SAMPLES) -> (B, SAMPLES / PHONE, PHONE) float64."""
    return sound.double().unflatten(1, (-1, PHONE))


def among(phones: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
    return torch.isin(phones, torch.tensor([NAMES.index(name) for name in names]))


@pytest.fixture(scope="module")
def clean() -> tuple[Utterances, torch.Tensor, torch.Tensor]:
    """Utterances without background, their sound and their phones."""
    utterances = said(160, seed=7, noise=0.0)
    return utterances, speak(utterances), phones_in_time(utterances)


def test_loudness_is_the_level_of_the_word(clean: tuple[Utterances, torch.Tensor, torch.Tensor]) -> None:
    utterances, sound, _ = clean
    starts, ends = boundaries(utterances)
    time = torch.arange(SAMPLES) / RATE
    within = (time >= starts[:, :1]) & (time < ends[:, -1:])
    power = (sound.double().square() * within).sum(1) / within.sum(1)
    assert torch.allclose(10 * (power / 32768**2).log10(), utterances.factors["loudness"].double(), atol=0.1)


def test_noise_is_the_level_of_the_background() -> None:
    utterances = said(32, seed=8).moved(onset=0.085, noise=0.3, loudness=-28.0)
    before = frames(speak(utterances))[:, :7].square().mean((1, 2)).sqrt()
    assert torch.allclose(before / (32768 * 10 ** (-28 / 20)), torch.tensor(0.3, dtype=torch.float64), atol=0.05)
    assert speak(utterances.moved(noise=0.0))[:, :560].abs().max() < 12


def test_phones_are_heard_where_they_are_noted(clean: tuple[Utterances, torch.Tensor, torch.Tensor]) -> None:
    """Loud vowels, softer nasals, closures without sound before bursts, and fricatives of high pitch."""
    _, sound, phones = clean
    level = 10 * frames(sound).square().mean(2).add(1).log10()
    level = level - level.amax(1, keepdim=True)
    spectrum = torch.fft.rfft(frames(sound) * torch.hann_window(PHONE)).abs().square()
    high = spectrum[:, :, 20:].sum(2) / spectrum.sum(2).add(1e-9)  # of the power, above 2 kHz
    inner = (phones[:, 1:-1] == phones[:, :-2]) & (phones[:, 1:-1] == phones[:, 2:])
    inner = torch.nn.functional.pad(inner, (1, 1))
    first = torch.nn.functional.pad((phones[:, 1:] != phones[:, :-1]) & (phones[:, :-1] >= 0), (1, 0))
    second = torch.nn.functional.pad(first[:, :-1], (1, 0))
    vowels, nasals, fricatives = (inner & among(phones, names) for names in (VOWELS, ("m", "n"), FRICATIVES))
    closures = second & among(phones, PLOSIVES)
    assert level[vowels].median() > -10
    assert level[vowels].median() - level[nasals].median() > 2
    assert level[closures].median() < -30
    assert high[fricatives].median() > 0.8
    assert high[vowels].median() < 0.2


@pytest.mark.parametrize(("phone", "hertz"), [("s", 3600), ("sh", 2500)])
def test_fricatives_have_their_band(
    clean: tuple[Utterances, torch.Tensor, torch.Tensor], phone: str, hertz: float
) -> None:
    utterances, sound, phones = clean
    spectrum = torch.fft.rfft(frames(sound) * torch.hann_window(PHONE), 160).abs().square()
    place = phones == NAMES.index(phone)
    centre = (spectrum * torch.arange(81) * 50).sum(2) / spectrum.sum(2).add(1e-9)
    tract = utterances.factors["tract"][:, None].expand_as(place)[place]
    assert float((centre[place] * tract).median()) == pytest.approx(hertz, rel=0.12)


def loudest_period(window: torch.Tensor) -> tuple[float, int]:
    """The highest normalised autocorrelation of a window, and its lag, from 320 Hz to 70 Hz."""
    found = [
        float(window[:-lag] @ window[lag:] / (window[:-lag].norm() * window[lag:].norm()))
        for lag in range(RATE // 320, RATE // 70)
    ]
    first = next(k for k, value in enumerate(found) if value > 0.97 * max(found))  # not two periods
    best = max(range(first, min(first + 6, len(found))), key=found.__getitem__)
    return found[best], RATE // 320 + best


def test_pitch_is_the_pitch_that_is_heard() -> None:
    """By autocorrelation of 40 ms in the middle of the word's first vowel."""
    utterances = said(160, seed=7, noise=0.0, breath=0.0)
    sound, phones = speak(utterances).double(), phones_in_time(utterances)
    measured, drawn = [], []
    for row, vowels in enumerate(among(phones, VOWELS)):
        start = int(vowels.int().argmax())
        run = vowels[start:].int().cumprod(0).sum()
        middle = (start + int(run) // 2) * PHONE
        peak, lag = loudest_period(sound[row, middle - 160 : middle + 160])
        if peak > 0.9:
            measured.append(RATE / lag)
            drawn.append(float(utterances.factors["pitch"][row]))
    assert len(measured) > 100
    assert abs(np.median(np.log(np.array(measured) / np.array(drawn)))) < 0.06
    assert np.corrcoef(np.log(measured), np.log(drawn))[0, 1] > 0.95


def test_a_longer_tract_lowers_the_formants() -> None:
    """The envelopes of the same vowels, over the logarithm of frequency, are moved by the logarithm of the ratio."""
    utterances = said(96, seed=9, noise=0.0, breath=0.0).moved(pitch=100.0)
    vowels = among(phones_in_time(utterances), VOWELS)
    grid = torch.linspace(math.log(350), math.log(3200), 400)

    def envelope(tract: float) -> np.ndarray:
        spectrum = torch.fft.rfft(frames(speak(utterances.moved(tract=tract)))[vowels] * torch.hann_window(PHONE), 800)
        decibels = 10 * spectrum.abs().square().add(1).log10().mean(0).numpy()
        curve = np.interp(grid.exp(), np.arange(401) * 10, decibels)
        return np.gradient(np.convolve(curve, np.ones(15) / 15, "same"))

    short, long = envelope(0.9), envelope(1.1)
    step = float(grid[1] - grid[0])
    shifts = range(0, 90)
    match = [np.corrcoef(short[60 + shift : 310 + shift], long[60:310])[0, 1] for shift in shifts]
    assert int(np.argmax(match)) * step == pytest.approx(math.log(1.1 / 0.9), abs=0.05)


def test_breath_is_heard_at_high_frequencies() -> None:
    utterances = said(48, seed=10, noise=0.0).moved(pitch=200.0)
    vowels = among(phones_in_time(utterances), VOWELS)

    def high(breath: float) -> float:
        windows = frames(speak(utterances.moved(breath=breath)))[vowels] * torch.hann_window(PHONE)
        spectrum = torch.fft.rfft(windows).abs().square()
        return float((spectrum[:, 25:].sum(1) / spectrum.sum(1)).median())  # above 2.5 kHz

    assert high(1.6) > 3 * high(0.0)


def accuracy(train: np.ndarray, train_labels: torch.Tensor, test: np.ndarray, test_labels: torch.Tensor) -> float:
    """Of a linear classifier."""
    return float(
        LinearDiscriminantAnalysis(solver="lsqr").fit(train, train_labels.numpy()).score(test, test_labels.numpy())
    )


def mfcc(sound: torch.Tensor) -> np.ndarray:
    """(B, SAMPLES) -> (B, SAMPLES / PHONE, 13): cepstra of 25 ms around the middle of each 10 ms."""
    edges = 700 * (10 ** (np.linspace(0.04, 1, 28) * math.log10(1 + 4000 / 700)) - 1)
    hertz = np.arange(129) * RATE / 256
    bands = [
        np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None)
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    padded = np.pad(sound.double().numpy(), ((0, 0), (60, 60)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 200, axis=1)[:, ::PHONE] * np.hamming(200)
    power = np.abs(np.fft.rfft(windows, 256)) ** 2
    return dct(np.log(power @ np.stack(bands).T + 100), norm="ortho")[..., :13]


@dataclass(frozen=True)
class Heard:
    """A split, and its cepstra."""

    split: Split
    cepstra: np.ndarray

    def pooled(self, parts: int) -> np.ndarray:
        """Means over so many parts of each recording, (N, 13 * parts)."""
        counts = self.split.parts["length"][:, 0] // PHONE
        rows = (own[:count] for own, count in zip(self.cepstra, counts.tolist(), strict=True))
        return np.stack([np.concatenate([part.mean(0) for part in np.array_split(row, parts)]) for row in rows])

    def simple(self) -> np.ndarray:
        """Length and loudness, (N, 3)."""
        sound, length = self.split.parts["sound"].double(), self.split.parts["length"].double()
        return torch.cat([length, length.log(), sound.square().sum(1, keepdim=True).div(length).log()], 1).numpy()


@pytest.fixture(scope="module")
def heard() -> tuple[Heard, Heard]:
    data = world_speech.load(seed=0, train=960, test=480)
    train, test = (Heard(split, mfcc(split.parts["sound"])) for split in (data.train, data.test))
    return train, test


@pytest.mark.parametrize(("labels", "most"), [("word", 0.2), ("speaker", 0.22)])
def test_length_and_loudness_tell_little(heard: tuple[Heard, Heard], labels: str, most: float) -> None:
    train, test = heard
    truths = [side.split.truth[f"labels.{labels}"] for side in heard]
    assert accuracy(train.simple(), truths[0], test.simple(), truths[1]) < most


@pytest.mark.parametrize(
    ("labels", "parts", "least", "most"),
    [("word", 1, 0.4, 0.75), ("word", 8, 0.8, 0.97), ("speaker", 1, 0.2, 0.6), ("speaker", 8, 0.3, 0.8)],
)
def test_cepstra_tell_words_by_their_order_and_speakers_in_part(
    heard: tuple[Heard, Heard], labels: str, parts: int, least: float, most: float
) -> None:
    train, test = heard
    truths = [side.split.truth[f"labels.{labels}"] for side in heard]
    assert least < accuracy(train.pooled(parts), truths[0], test.pooled(parts), truths[1]) < most


def test_a_frame_of_cepstra_tells_many_phones_and_leaves_room(heard: tuple[Heard, Heard]) -> None:
    phones = [side.split.truth["phones"] for side in heard]
    (train, train_phones), (test, test_phones) = (
        (side.cepstra[(own >= 0).numpy()], own[own >= 0].long()) for side, own in zip(heard, phones, strict=True)
    )
    assert 0.55 < accuracy(train, train_phones, test, test_phones) < 0.8
    assert test_phones.bincount(minlength=12).max() < 0.2 * len(test_phones)
