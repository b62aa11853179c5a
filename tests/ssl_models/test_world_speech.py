import math

import pytest
import torch

from ssl_models.datasets import world_speech
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._world_speech.phones import PHONES, WORDS
from ssl_models.datasets._world_speech.timing import (
    PHONE,
    RATE,
    SAMPLES,
    TAIL,
    WORD,
    boundaries,
    lengths,
    phones_in_time,
)
from ssl_models.datasets._world_speech.utterance import (
    DIALS,
    FACTORS,
    SPEAKERS,
    Utterances,
    sample_utterances,
    speaker_levels,
)
from ssl_models.datasets._world_speech.voice import CHUNK, speak

torch.set_num_threads(1)
NAMES = list(PHONES)


def said(samples: int, seed: int = 0, **dials: float) -> Utterances:
    return sample_utterances(samples, torch.Generator().manual_seed(seed), {**DIALS, **dials})


@pytest.fixture(scope="module")
def heard() -> Dataset:
    return world_speech.load(seed=0, train=160, test=10)


def test_load_gives_what_count_and_describe_say() -> None:
    settings = {"train": 30, "test": 11, "noise": 0.5}
    data = world_speech.load(seed=3, **settings)
    assert world_speech.count(**settings) == (len(data.train), len(data.test)) == (30, 11)
    shapes, known = world_speech.describe(**settings)
    assert known == data.known == {"rate": 8000, "phones": NAMES}
    assert {part: tuple(values.shape[1:]) for part, values in data.train.parts.items()} == shapes
    assert shapes == {"sound": (5120,), "length": (1,)}
    assert data.train.parts["sound"].dtype == torch.int16
    assert data.train.parts["length"].dtype == torch.int32
    assert data.classes == data.label_sets["word"] == tuple(WORDS)
    assert data.label_sets["speaker"] == SPEAKERS
    assert (len(WORDS), len(SPEAKERS), len(NAMES)) == (10, 16, 12)
    assert set(data.train.factors) == set(FACTORS)
    assert all(values.shape == (30,) and values.dtype == torch.float32 for values in data.train.factors.values())
    assert set(data.train.truth) == {"labels.word", "labels.speaker", "phones"}
    assert data.train.truth["phones"].shape == (30, 64)
    assert data.train.truth["phones"].dtype == torch.int8
    assert data.train.truth["labels.speaker"].dtype == torch.int64
    assert data.train.labels is not None
    assert torch.equal(data.train.labels, data.train.truth["labels.word"])


def test_defaults_are_the_dials_and_a_set_of_five_thousand() -> None:
    assert {name: world_speech.load.__kwdefaults__[name] for name in DIALS} == DIALS
    assert world_speech.count() == (4096, 1024)
    assert world_speech.KIND == "speech"


def test_same_seed_same_bytes_and_other_seeds_and_splits_differ() -> None:
    first, again, other = (world_speech.load(seed=seed, train=20, test=20) for seed in (1, 1, 2))
    for split, same in ((first.train, again.train), (first.test, again.test)):
        assert torch.equal(split.parts["sound"], same.parts["sound"])
        assert torch.equal(split.truth["phones"], same.truth["phones"])
    sounds = [split.parts["sound"] for split in (first.train, first.test, other.train, other.test)]
    assert len(torch.cat(sounds).unique(dim=0)) == 4 * 20
    assert first.train.labels is not None
    assert first.test.labels is not None
    assert set(first.train.labels.tolist()) == set(first.test.labels.tolist()) == set(range(10))


def test_the_first_utterances_of_a_longer_draw_are_those_of_a_shorter_one() -> None:
    few, many = said(CHUNK + 5), said(3 * CHUNK + 1)
    assert torch.equal(speak(few), speak(many)[: CHUNK + 5])
    assert torch.equal(phones_in_time(few), phones_in_time(many)[: CHUNK + 5])
    moved = speak(many[torch.arange(3, 20)])  # at other places of a chunk: the same but for rounding
    assert (moved.int() - speak(many)[3:20].int()).abs().max() <= 1


def test_threads_stay_as_they_were() -> None:
    torch.set_num_threads(2)
    try:
        two = speak(said(4))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(two, speak(said(4)))


def test_words_and_speakers_are_balanced_together() -> None:
    utterances = said(2 * 160 + 13)
    assert all(len(set(block.tolist())) == 10 for block in utterances.words[:320].split(10))
    pairs = utterances.words * 16 + utterances.speakers
    assert all(len(set(part.tolist())) == 160 for part in pairs[:320].split(160))
    assert not torch.equal(pairs[:160], pairs[160:320])


def test_any_two_factors_of_the_speakers_take_every_pair_of_levels_once() -> None:
    levels = speaker_levels()
    assert set(levels) == {name for name, factor in FACTORS.items() if factor.within is not None}
    for first in levels:
        for second in levels:
            assert first == second or len(set((4 * levels[first] + levels[second]).tolist())) == 16


@pytest.mark.parametrize("name", FACTORS)
def test_factors_tell_nothing_of_the_word(name: str) -> None:
    """Kruskal and Wallis's statistic, chi-square with 9 degrees of freedom: its 99.99 % point is 33.7."""
    utterances = said(4800, seed=4)
    ranks = utterances.factors[name].argsort().argsort().float() + 1
    groups = [ranks[utterances.words == word] for word in range(10)]
    between = sum(len(group) * (float(group.mean()) - 2400.5) ** 2 for group in groups)
    assert 12 / (4800 * 4801) * between < 33.7


def test_factors_are_independent_of_each_other() -> None:
    correlations = torch.corrcoef(torch.stack(list(said(4800, seed=5).factors.values()))).fill_diagonal_(0)
    assert correlations.abs().max() < 4.5 / math.sqrt(4800)


@pytest.mark.parametrize("dial", DIALS)
def test_dial_0_fixes_its_factor_and_no_other(dial: str) -> None:
    free, fixed = said(40), said(40, **{dial: 0.0})
    for name in FACTORS:
        if name == dial:
            assert len(free.factors[name].unique()) == 40
            assert len(fixed.factors[name].unique()) == 1
        else:
            assert torch.equal(free.factors[name], fixed.factors[name])


def test_no_phone_tells_a_word_and_orders_do() -> None:
    for phone in PHONES:
        assert sum(phone in spoken for spoken in WORDS.values()) >= 2
    assert len(set(WORDS.values())) == 10
    assert sum(sorted(one) == sorted(two) for one in WORDS.values() for two in WORDS.values()) == 10 + 2 * 4
    assert all(3 <= len(spoken) <= 5 for spoken in WORDS.values())


def test_phones_in_time_spell_the_word_between_onset_and_end() -> None:
    utterances = said(200, seed=6)
    starts, ends = boundaries(utterances)
    for row, phones in enumerate(phones_in_time(utterances)):
        spoken = [NAMES[phone] for phone in phones.unique_consecutive().tolist() if phone >= 0]
        assert tuple(spoken) == list(WORDS.values())[utterances.words[row]]
        inside = (phones >= 0).nonzero().flatten() * PHONE / RATE
        assert float(inside[0]) == pytest.approx(float(utterances.factors["onset"][row]), abs=0.0051)
        assert float(inside[-1]) + 0.01 == pytest.approx(float(ends[row, -1]), abs=0.0051)
        assert len(inside) == inside[-1].sub(inside[0]).mul(100).round() + 1  # no gap
    assert (starts[:, 1:] == ends[:, :-1]).all()


def test_what_follows_a_recording_is_zero(heard: Dataset) -> None:
    sound, length = heard.train.parts["sound"], heard.train.parts["length"]
    after = torch.arange(SAMPLES) >= length
    assert (sound[after] == 0).all()
    assert (sound[~after] == 0).float().mean() < 0.05
    assert length.min() > 0.25 * RATE
    assert length.max() < SAMPLES
    assert len(length.unique()) > 100
    assert (heard.train.truth["phones"].ge(0).sum(1) * PHONE < length[:, 0]).all()


def test_the_longest_recording_that_can_be_drawn_fits() -> None:
    slowest = said(10).moved(rate=1 / FACTORS["rate"].reach, onset=FACTORS["onset"].center + FACTORS["onset"].reach)
    assert boundaries(slowest)[1].max() + TAIL < SAMPLES / RATE


def test_rate_divides_durations() -> None:
    slow, fast = (boundaries(said(50).moved(rate=rate))[1][:, -1] - said(50).factors["onset"] for rate in (0.8, 1.2))
    assert torch.allclose(slow / fast, torch.tensor(1.5, dtype=torch.float64), atol=1e-6)
    assert float(slow.mean()) * 0.8 == pytest.approx(WORD, rel=0.1)


def test_no_sound_is_clipped_or_off_its_middle(heard: Dataset) -> None:
    sound = heard.train.parts["sound"].double()
    assert sound.abs().amax(1).min() > 20
    assert sound.abs().max() < 32767
    rms = sound.square().sum(1).div(heard.train.parts["length"][:, 0]).sqrt()
    assert (sound.sum(1) / heard.train.parts["length"][:, 0] / rms).abs().max() < 0.05


def test_a_sweep_has_a_row_a_factor_and_every_row_changes() -> None:
    sweep, names = world_speech.factor_sweep(seed=0, steps=2)
    assert names == tuple(FACTORS)
    assert sweep.shape == (3, len(names) * 64, 2 * 96)
    assert sweep.dtype == torch.uint8
    for row in sweep.float().split(64, 1):
        assert (row[:, :, :96] - row[:, :, 96:]).abs().mean() > 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": 0}, "world_speech train is 0; it must be at least 1"),
        ({"test": -1}, "world_speech test is -1; it must be at least 1"),
        ({"seed": -1}, "world_speech seed is -1; it must not be negative"),
        ({"pitch": 1.5}, r"world_speech dial pitch is 1.5; it must be between 0"),
        ({"onset": -0.1}, r"world_speech dial onset is -0.1; it must be between 0"),
        ({"noise": math.nan}, r"world_speech dial noise is nan; it must be between 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    for refuse in (world_speech.count, world_speech.describe):
        with pytest.raises(ValueError, match=message):
            refuse(**settings)
    with pytest.raises(ValueError, match=message):
        world_speech.load(**{"seed": 0, **settings})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="world_speech dial 'tone' is unknown; choose from"):
        world_speech.count(tone=0.5)
    with pytest.raises(ValueError, match=r"factors \['tone'\] are unknown"):
        said(1).moved(tone=0.0)
    with pytest.raises(ValueError, match="steps is 1; it takes at least 2"):
        world_speech.factor_sweep(seed=0, steps=1)


def test_lengths_are_those_of_the_recordings() -> None:
    utterances = said(30)
    ends = boundaries(utterances)[1][:, -1]
    assert torch.equal(lengths(utterances), ((ends + TAIL) * RATE).round().int())
