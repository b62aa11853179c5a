"""What is heard in world_sound: measured on the sound, not read from the code that made it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kruskal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssl_models.datasets import world_sound
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_sound.notes import DIALS, FACTORS, Notes, sample_notes
from ssl_models.datasets._world_sound.playing import CHUNK, RATE, SAMPLES, play
from ssl_models.datasets._world_sound.timbres import PARTIALS, TIMBRES
from ssl_models.protocols._common.mfcc import pooled_mfcc

torch.set_num_threads(1)
NAMES = list(TIMBRES)
HELD = ("flute", "clarinet", "brass", "strings", "oboe", "organ", "wind")


def notes(count: int, seed: int = 0, **dials: float) -> Notes:
    """The classes in turn."""
    return sample_notes(torch.arange(count) % 12, torch.Generator().manual_seed(seed), {**DIALS, **dials})


def power(sound: torch.Tensor) -> torch.Tensor:
    return sound.double().square().mean(1)


def spectrum(sound: torch.Tensor) -> torch.Tensor:
    """(B, SAMPLES) -> (B, SAMPLES / 2 + 1): power at each Hz."""
    return torch.fft.rfft(sound.double() * torch.hann_window(SAMPLES, dtype=torch.float64)).abs().square()


@pytest.fixture(scope="module")
def steady() -> tuple[Notes, torch.Tensor]:
    """Notes without background or vibrato, from the start."""
    played = notes(240, seed=7, noise=0.0, vibrato=0.0).moved(onset=0.0)
    return played, play(played)


def test_there_is_a_timbre_a_class_and_each_fits_the_tables() -> None:
    assert len(TIMBRES) == len(CLASSES) == 12
    for timbre in TIMBRES.values():
        assert len(timbre.ratios) == len(timbre.levels) <= PARTIALS
        assert 0 <= timbre.noise < 1


def test_the_first_notes_of_a_longer_draw_are_those_of_a_shorter_one() -> None:
    few, many = notes(CHUNK + 5), notes(2 * CHUNK + 1)
    assert torch.equal(play(few), play(many)[: CHUNK + 5])


def test_loudness_is_the_level_of_the_note_from_its_onset_on() -> None:
    played = notes(48, noise=0.0)
    sound = play(played)
    lasting = 1 - (played.factors["onset"] * RATE).ceil() / SAMPLES
    level = 10 * (power(sound) / lasting / 32768**2).log10()
    assert torch.allclose(level, played.factors["loudness"].double(), atol=0.05)


def test_nothing_is_clipped_or_off_its_middle() -> None:
    sound = play(notes(600, seed=3)).double()
    assert sound.abs().max() < 32767
    assert sound.abs().amax(1).min() > 200
    assert (sound.mean(1) / power(sound).sqrt()).abs().max() < 0.05


def test_noise_is_the_level_of_the_background_and_the_onset_where_the_note_begins() -> None:
    played = notes(24).moved(onset=0.3, noise=0.3, loudness=-30.0)
    before = power(play(played)[:, :2400]).sqrt()
    assert torch.allclose(before / (32768 * 10 ** (-30 / 20)), torch.tensor(0.3, dtype=torch.float64), atol=0.02)
    quiet = play(played.moved(noise=0.0))
    assert quiet[:, :2400].abs().max() < 12
    assert (power(quiet[:, 2400:3200]).sqrt() > 20).all()


def test_pitch_is_the_distance_of_the_partials(steady: tuple[Notes, torch.Tensor]) -> None:
    """Of timbres with harmonic partials: the power at multiples of the pitch, against that between them."""
    played, sound = steady
    found = spectrum(sound)
    for row in range(len(played)):
        if NAMES[played.labels[row]] in ("clarinet", "brass", "strings", "oboe", "harpsichord"):
            pitch = float(played.factors["pitch"][row])
            at = [round(pitch * k) for k in range(1, 8)]
            between = [round(pitch * (k + 0.5)) for k in range(1, 8)]
            on, off = (sum(found[row, f - 3 : f + 4].sum() for f in places) for places in (at, between))
            assert on > 50 * off


def test_vibrato_moves_the_pitch_that_much_either_way() -> None:
    played = sample_notes(torch.zeros(4, dtype=torch.int64), torch.Generator().manual_seed(0), DIALS)
    played = played.moved(pitch=250.0, noise=0.0, onset=0.0, vibrato=0.03)
    analytic = torch.fft.ifft(torch.fft.fft(play(played).double()) * _below(330, SAMPLES))
    turning = torch.diff(analytic[:, 1600:7600].angle()).remainder(2 * math.pi) * RATE / (2 * math.pi)
    for row in turning:
        assert float(row.quantile(0.98)) == pytest.approx(250 * 1.03, rel=0.004)
        assert float(row.quantile(0.02)) == pytest.approx(250 * 0.97, rel=0.004)


def _below(hertz: int, points: int) -> torch.Tensor:
    """Twice the positive frequencies below: the analytic signal of the lowest partial."""
    keep = torch.zeros(points)
    keep[1:hertz] = 2
    return keep


def test_some_timbres_are_held_and_others_die_away(steady: tuple[Notes, torch.Tensor]) -> None:
    played, sound = steady
    early, late = power(sound[:, 1600:3200]), power(sound[:, 6400:])
    held = torch.tensor([NAMES[label] in HELD for label in played.labels])
    fall = 10 * (early / late).log10()
    assert fall[held].max() < 4
    assert fall[~held].min() > 6


@pytest.mark.parametrize("name", FACTORS)
def test_factors_tell_nothing_of_the_class(name: str) -> None:
    played = notes(4800, seed=4)
    groups = [played.factors[name][played.labels == label] for label in range(12)]
    assert kruskal(*groups).pvalue > 1e-4


def test_factors_are_independent_of_each_other() -> None:
    correlations = torch.corrcoef(torch.stack(list(notes(4800, seed=5).factors.values()))).fill_diagonal_(0)
    assert correlations.abs().max() < 4.5 / math.sqrt(4800)


def test_a_dial_changes_one_factor_only_and_zero_fixes_it() -> None:
    full, fixed = notes(24), notes(24, pitch=0.0, noise=0.0)
    assert full.factors["pitch"].std() > 20
    assert (fixed.factors["pitch"] == 220).all()
    assert (fixed.factors["noise"] == 0).all()
    for name in ("loudness", "onset", "vibrato"):
        assert torch.equal(full.factors[name], fixed.factors[name])
    assert torch.equal(full.habits, fixed.habits)


def test_the_spectrum_alone_tells_the_class_and_loudness_does_not() -> None:
    """The mean over time of the shape of the spectrum, without its level: neither attack nor decay are in it."""
    train, test = notes(2400, seed=1), notes(600, seed=2)
    sound = [play(each) for each in (train, test)]
    shapes = [pooled_mfcc(each.numpy(), RATE)[:, 1:13] for each in sound]
    assert told(shapes, train, test) > 0.95
    levels = [power(each).log()[:, None].numpy() for each in sound]
    assert abs(told(levels, train, test) - 1 / 12) < 3.5 * math.sqrt(11 / 144 / 600)


def told(features: list[np.ndarray], train: Notes, test: Notes) -> float:
    """The share of test notes of which a linear classifier on features of both tells the class."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return float(model.fit(features[0], train.labels).score(features[1], test.labels))


def test_cepstral_coefficients_tell_the_class() -> None:
    """What the row `mfcc` of the protocols probes is made of."""
    train, test = notes(720, seed=1), notes(360, seed=2)
    features = [pooled_mfcc(play(each).numpy(), RATE) for each in (train, test)]
    assert told(features, train, test) > 0.97


def test_a_sweep_has_a_row_of_classes_and_one_a_factor_and_every_row_changes() -> None:
    sweep, names = world_sound.factor_sweep(seed=0, steps=2)
    assert names == ("class", *FACTORS)
    assert sweep.shape == (3, len(names) * 64, 2 * 96)
    assert sweep.dtype == torch.uint8
    for row in sweep.float().split(64, 1):
        assert (row[:, :, :96] - row[:, :, 96:]).abs().mean() > 2
    with pytest.raises(ValueError, match="steps is 1; it takes at least 2"):
        world_sound.factor_sweep(seed=0, steps=1)


def test_unknown_factors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factors \['timbre'\] are unknown"):
        notes(1).moved(timbre=0.0)
