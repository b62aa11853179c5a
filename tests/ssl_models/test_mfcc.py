"""Cepstral coefficients: by the formulas, number by number; where frames lie; and that padding changes nothing."""

import math

import numpy as np
import pytest

from ssl_models.protocols._common.mfcc import COEFFICIENTS, FILTERS, LEAST, filters, mfcc, pooled_mfcc

RATE = 8000


def noise(samples=1600, count=2, seed=0):
    return np.random.default_rng(seed).integers(-8000, 8000, (count, samples)).astype(np.int16)


def mel(hertz):
    return 2595 * math.log10(1 + hertz / 700)


def naive(sound, rate, frame, points):
    """The 13 coefficients of one frame, each sum written out."""
    width = round(0.025 * rate)
    middle = math.floor((frame + 0.5) * 0.010 * rate)
    window = []
    for n in range(width):
        at = middle - width // 2 + n
        value = sound[at] / 32768 if 0 <= at < len(sound) else 0.0
        window.append(value * (0.54 - 0.46 * math.cos(2 * math.pi * n / (width - 1))))
    turns = np.exp(-2j * np.pi * np.outer(np.arange(points // 2 + 1), np.arange(width)) / points)
    power = [abs(complex(total)) ** 2 for total in turns @ np.array(window)]
    edges = [mel(rate / 2) * k / (FILTERS + 1) for k in range(FILTERS + 2)]
    logs = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.0
        for k, value in enumerate(power):
            place = mel(k * rate / points)
            total += value * max(0.0, min((place - low) / (centre - low), (high - place) / (high - centre)))
        logs.append(math.log(max(total, LEAST)))
    found = []
    for c in range(COEFFICIENTS):
        total = sum(log * math.cos(math.pi * c * (k + 0.5) / FILTERS) for k, log in enumerate(logs))
        found.append(total * math.sqrt((1 if c == 0 else 2) / FILTERS))
    return np.array(found)


@pytest.mark.parametrize(("rate", "points"), [(8000, 512), (16000, 1024), (11025, 1024)])
def test_coefficients_and_deltas_equal_the_formulas(rate, points):
    sound = noise(rate // 10, seed=1)
    found = mfcc(sound, rate)
    assert found.shape == (2, 10, 2 * COEFFICIENTS)
    table = np.array([naive(sound[1], rate, frame, points) for frame in range(10)])
    np.testing.assert_allclose(found[1, :, :COEFFICIENTS], table, atol=2e-3)
    for t in range(10):
        before, after = ([table[min(max(t + sign * k, 0), 9)] for k in (1, 2)] for sign in (-1, 1))
        slope = (after[0] - before[0] + 2 * (after[1] - before[1])) / 10
        np.testing.assert_allclose(found[1, t, COEFFICIENTS:], slope, atol=2e-3)


def test_a_tone_passes_the_filters_beside_it_alone_and_no_filter_is_empty():
    table = filters(512, RATE)
    assert (table.sum(0) > 0).all()
    assert table[32:-32].sum(1) == pytest.approx(1), "between the first and the last centre the weights add up"
    centres = [mel(RATE / 2) * k / (FILTERS + 1) for k in range(1, FILTERS + 1)]
    below = sum(centre < mel(1000) for centre in centres) - 1
    assert np.flatnonzero(table[64]).tolist() == [below, below + 1]  # 64 * 8000 / 512 = 1000 Hz


def test_a_frame_lies_around_the_middle_of_its_ten_milliseconds():
    sound = np.zeros((1, 1600), np.int16)
    sound[0, 839:841] = 20000  # around 105 ms, the middle of frame 10
    loud = mfcc(sound, RATE)[0, :, 0]
    quiet = loud[0]
    assert loud.argmax() == 10
    assert np.flatnonzero(loud > quiet).tolist() == [9, 10, 11], "25 ms reach into the frames beside it and no further"
    assert loud[9] == pytest.approx(loud[11], abs=1e-3)


def test_the_amount_of_padding_changes_nothing():
    sound, lengths = noise(1600), np.array([1000, 1600])
    longer = np.pad(sound, [(0, 0), (0, 800)])
    sound[0, 1000:] = longer[0, 1000:] = 0
    for function in (mfcc, pooled_mfcc):
        short, long = function(sound, RATE, lengths=lengths), function(longer, RATE, lengths=lengths)
        np.testing.assert_allclose(short, long[:, : short.shape[1]], atol=1e-5)
    alone = pooled_mfcc(sound[:1, :1000], RATE)
    np.testing.assert_allclose(alone, pooled_mfcc(sound, RATE, lengths=lengths)[:1], atol=1e-4)


def test_pooled_is_the_mean_and_the_deviation_over_the_frames():
    sound = noise()
    frames = mfcc(sound, RATE)
    np.testing.assert_allclose(pooled_mfcc(sound, RATE), np.hstack([frames.mean(1), frames.std(1)]), atol=1e-4)


def test_silence_and_an_empty_recording_are_finite():
    silent = np.zeros((2, 800), np.int16)
    assert np.isfinite(mfcc(silent, RATE)).all()
    assert np.isfinite(pooled_mfcc(silent, RATE, lengths=np.array([0, 800]))).all()


def test_as_many_frames_as_are_asked_for():
    sound = noise(1000)
    table = mfcc(sound, RATE, frames=20)
    np.testing.assert_allclose(table[:, :9], mfcc(sound, RATE)[:, :9], atol=1e-5)
    assert table.shape[1] == 20
    assert np.ptp(table[:, 17], axis=1).max() > 0
