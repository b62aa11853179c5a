"""The world of text: what is known of it holds in what it renders, and contexts alone tell the roles of words."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ssl_models.datasets import world_text
from ssl_models.datasets._text.rows import rows
from ssl_models.datasets._world_text import documents, grammar, truth
from ssl_models.datasets._world_text.grammar import ID, WORDS
from ssl_models.datasets._world_text.lexicon import KINDS, SETTINGS, TOPICS

SMALL = {"tokens": 40_000}


@pytest.fixture(scope="module")
def world():
    return world_text.load(seed=0)


def bags(split):
    """(N, V) how often each row holds each word."""
    tokens = split.parts["tokens"].numpy()
    found = np.zeros((len(tokens), len(WORDS)))
    for column in tokens.T:
        np.add.at(found, (np.arange(len(tokens)), column), 1)
    found[:, 0] = 0
    return found


def naive_bayes(data):
    """Accuracy on test rows of a classifier of the topic by which words there are."""
    train, test = bags(data.train), bags(data.test)
    counts = np.stack([train[data.train.labels == topic].sum(0) for topic in range(len(TOPICS))]) + 1
    scores = test @ np.log(counts / counts.sum(1, keepdims=True)).T
    return float((scores.argmax(1) == data.test.labels.numpy()).mean())


def contexts(split, window=5):
    """(V, V) the positive mutual information of words and their neighbours, by counting; rare pairs are smoothed."""
    tokens, together = split.parts["tokens"].numpy(), np.zeros((len(WORDS), len(WORDS)))
    for distance in range(1, window + 1):
        pairs = tokens[:, :-distance].astype(np.int64) * len(WORDS) + tokens[:, distance:]
        together += np.bincount(pairs.ravel(), minlength=len(WORDS) ** 2).reshape(together.shape) * (
            window + 1 - distance
        )
    together[0] = together[:, 0] = 0
    together += together.T
    expected = np.outer(together.sum(1), together.sum(1)) / together.sum()
    return np.log(np.maximum((together / window + 5) / (expected / window + 5), 1))


def unit(vectors):
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)


def test_load_gives_what_count_and_describe_say():
    data = world_text.load(seed=3, length=20, test_fraction=0.25, **SMALL)
    counted = world_text.count(seed=3, length=20, test_fraction=0.25, **SMALL)
    assert counted == (len(data.train), len(data.test))
    assert data.train.parts["tokens"].shape == (counted[0], 20)
    assert data.train.parts["tokens"].dtype == torch.int32
    assert data.train.labels.dtype == torch.int64
    assert data.classes == tuple(TOPICS)
    shapes, known = world_text.describe(length=20, **SMALL)
    assert shapes == {"tokens": (20,)}
    assert known["words"] == data.known["words"]
    assert known.keys() == data.known.keys()
    assert json.loads(json.dumps(data.known)) == data.known


def test_same_seed_same_rows_and_another_seed_others():
    first, again, other = (world_text.load(seed=seed, **SMALL) for seed in (1, 1, 2))
    assert torch.equal(first.train.parts["tokens"], again.train.parts["tokens"])
    assert torch.equal(first.test.labels, again.test.labels)
    assert not torch.equal(first.train.parts["tokens"][:100], other.train.parts["tokens"][:100])
    assert first.known["words"] == other.known["words"]


def test_the_defaults(world):
    train, test = (split.parts["tokens"] for split in (world.train, world.test))
    assert len(world.known["words"]) == 451
    assert 495_000 < sum((tokens > 0).sum() for tokens in (train, test)) < 505_000
    assert world.known["words"][0] == ""
    assert torch.bincount(train.flatten()).tolist()[1:] == world.known["counts"][1:]
    assert world.known["counts"][0] == 0
    assert min(world.known["counts"][1:]) > 100


def test_rows_are_the_documents_and_none_is_in_both_splits():
    random = np.random.default_rng(5)
    drawn = documents.draw(300, 1.0, 0.1, random)
    assert len(drawn.words) == drawn.lengths.sum()
    assert (drawn.words > 0).all()
    data = world_text.load(seed=5, tokens=round(300 * documents.MEAN))
    start = 0
    for document in range(300):
        split = data.train if document < 270 else data.test
        own = split.factors["document"] == document
        words = split.parts["tokens"][own].flatten().numpy()
        length = drawn.lengths[document]
        assert (words[:length] == drawn.words[start : start + length]).all()
        assert len(words) - 64 < length <= len(words)
        assert not words[length:].any()
        assert set(split.labels[own].tolist()) == {drawn.topics[document]}
        assert set(split.factors["place"][own].tolist()) == {drawn.places[document]}
        start += length
    assert set(data.train.factors["document"].tolist()) | set(data.test.factors["document"].tolist()) == set(range(300))
    assert torch.equal(data.train.factors["length"], (data.train.parts["tokens"] > 0).sum(1).float())


def test_documents_become_rows_by_hand():
    found = rows(np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int32), np.array([3, 1, 4]), 2)
    assert found.tolist() == [[1, 2], [3, 0], [4, 0], [5, 6], [7, 8]]


def test_every_word_of_the_lexicon_has_one_role():
    forms = [word for kind in KINDS for row in kind.words for word in row]
    function = set(WORDS[1:]) - set(forms) - set(SETTINGS)
    assert len(WORDS) == 1 + len(forms) + len(SETTINGS) + len(function) == len(set(WORDS))
    assert {setting for kind in KINDS for row in kind.settings for setting in row} == set(SETTINGS)
    for kind in KINDS:
        assert {len(row) for row in kind.words} == {len(kind.forms)}
        assert len({frozenset(row) for row in kind.settings}) == len(kind.words)


def test_sentences_follow_the_templates():
    random = np.random.default_rng(0)
    topics, places = random.integers(8, size=4000), random.integers(20, size=4000)
    found = [[WORDS[word] for word in row if word] for row in grammar.sentences(topics, places, 1.0, random)]
    settings = {word: set(own) for kind in KINDS for row, own in zip(kind.words, kind.settings) for word in row}  # noqa: B905
    rows_of = {word: row for kind in KINDS for row in kind.words for word in row}
    for sentence in found:
        met = [word for word in sentence if word in settings]
        beside = [word for word in sentence if word in SETTINGS]
        assert len({rows_of[word] for word in met}) == 1
        assert len(met) + len(beside) >= 2
        assert set(beside) <= settings[met[0]]
        assert len(beside) == len(set(beside))
    plural = next(sentence for sentence in found if "dogs" in sentence)
    assert {"are", "were"} & set(plural)


def test_half_of_the_sentences_of_a_place_are_about_the_document_s_place():
    random = np.random.default_rng(0)
    drawn = grammar.sentences(random.integers(8, size=20_000), np.full(20_000, 3), 0.0, random)
    places = np.array([[ID[word] for word in row] for row in KINDS[0].words])
    shares = [np.isin(drawn, row).any(1).sum() for row in places]
    assert shares[3] / sum(shares) == pytest.approx(0.5 + 0.5 / 20, abs=0.02)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_topic_makes_its_settings_and_the_rows_met_in_them_more_frequent(strength):
    farm = np.full(100_000, list(TOPICS).index("farm"))
    drawn = grammar.sentences(farm, np.zeros_like(farm), strength, np.random.default_rng(0))
    weight, things = math.exp(grammar.BOOST * strength), next(kind for kind in KINDS if kind.name == "thing")
    liked = [weight if set(row) & set(TOPICS["farm"]) else 1.0 for row in things.settings]
    expected = len(drawn) * grammar.SHARES["thing"] * np.array(liked) / sum(liked)
    holds = np.stack([np.isin(drawn, [ID[form] for form in row]).any(1) for row in things.words])
    assert (abs(holds.sum(1) - expected) < 5 * expected**0.5).all()
    # Of the settings of dogs the barn is the farm's; roads and snow are not. Two of the three are met.
    dogs = drawn[holds[things.words.index(("dog", "dogs"))]]
    with_barn = 1 - 2 / (weight + 2) / (weight + 1)
    margin = 5 * (with_barn * (1 - with_barn) / len(dogs)) ** 0.5
    assert (dogs == ID["barn"]).any(1).mean() == pytest.approx(with_barn, abs=margin)


def test_noise_replaces_its_share_of_words():
    clean, noisy, other = (documents.draw(400, 1.0, noise, np.random.default_rng(0)) for noise in (0.0, 0.3, 1.0))
    changed = (clean.words != noisy.words).mean()
    assert changed == pytest.approx(0.3 * 450 / 451, abs=0.01)
    counts = np.bincount(other.words, minlength=len(WORDS))[1:]
    assert counts.std() < 1.3 * counts.mean() ** 0.5  # all words alike: as of a Poisson distribution


def test_similarity_by_hand():
    # The kind weighs 1, the form 4, each of three settings 1: 8 for a word.
    assert truth.similarity("paris", "paris") == 10
    assert truth.similarity("paris", "rome") == round(10 * 6 / 10, 2)  # the kind, the form and wine
    assert truth.similarity("paris", "athens") == round(10 * 5 / 11, 2)  # the kind and the form
    assert truth.similarity("paris", "france") == round(10 * 4 / 12, 2)  # the kind and all settings
    assert truth.similarity("paris", "italy") == round(10 * 2 / 14, 2)  # the kind and wine
    assert truth.similarity("king", "cow") == 0
    assert truth.similarity("king", "queen") == truth.similarity("dogs", "dog")


def test_similarities_are_graded_and_true(world):
    pairs = world.known["similarity"]
    assert 400 < len(pairs) < 600
    assert len({score for *_, score in pairs}) == 8
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs)
    assert all(score == truth.similarity(first, second) for first, second, score in pairs)


def test_analogies_are_true(world):
    assert list(world.known["analogies"]) == list(truth.SECTIONS)
    for section, questions in world.known["analogies"].items():
        first, second = truth.SECTIONS[section]
        kind = next(kind for kind in KINDS if first in kind.forms)
        pairs = {(row[kind.forms.index(first)], row[kind.forms.index(second)]) for row in kind.words}
        assert 200 < len(questions) <= truth.QUESTIONS
        assert all((a, b) in pairs and (c, d) in pairs and a != c for a, b, c, d in questions)
        assert len({tuple(question) for question in questions}) == len(questions)
    assert ["france", "paris", "italy", "rome"] in world.known["analogies"]["capitals"]


def test_contexts_alone_answer_the_analogies(world):
    left, size, _ = torch.linalg.svd(torch.from_numpy(contexts(world.train)))  # keeps to the one thread of tests
    vectors, right = unit((left[:, :64] * size[:64] ** 0.5).numpy()), []
    for questions in world.known["analogies"].values():
        a, b, c, d = np.array([[ID[word] for word in question] for question in questions]).T
        alike = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
        for given in (a, b, c):
            alike[np.arange(len(a)), given] = -np.inf
        right += (alike.argmax(1) == d).tolist()
    assert np.mean(right) > 0.9


def test_more_similar_words_have_contexts_that_are_more_alike(world):
    rows_of_words = unit(contexts(world.train))
    first, second = ([ID[pair[side]] for pair in world.known["similarity"]] for side in (0, 1))
    alike = (rows_of_words[first] * rows_of_words[second]).sum(1)
    assert spearmanr(alike, [pair[2] for pair in world.known["similarity"]]).statistic > 0.85


def test_a_topic_is_told_by_many_words_together_and_by_none_alone(world):
    assert naive_bayes(world) > 0.9
    holds = bags(world.train) > 0
    of_topics = np.stack([holds[world.train.labels == topic].sum(0) for topic in range(len(TOPICS))])[:, 1:]
    assert of_topics.min() > 0  # every word is met in every topic
    precision, recall = of_topics / of_topics.sum(0), of_topics / np.bincount(world.train.labels)[:, None]
    assert (2 * precision * recall / (precision + recall)).max() < 0.65  # F1 of the best word for a topic


def test_without_topics_rows_tell_nothing_of_their_labels():
    data = world_text.load(seed=0, tokens=200_000, topic=0.0)
    assert naive_bayes(data) == pytest.approx(1 / 8, abs=4 * (1 / 8 * 7 / 8 / len(data.test)) ** 0.5)


def test_topics_are_balanced_and_independent_of_places(world):
    counts = torch.bincount(world.train.labels * 20 + world.train.factors["place"].long(), minlength=160)
    assert counts.min() > 0.3 * counts.float().mean()


def test_a_tiny_corpus_knows_only_what_it_has_seen():
    data = world_text.load(seed=0, tokens=600, test_fraction=0.5)
    seen = {word for word, number in zip(data.known["words"], data.known["counts"], strict=True) if number}
    assert len(data.known["words"]) == 451
    assert len(seen) < 300
    assert all(set(pair[:2]) <= seen for pair in data.known["similarity"])
    assert all(set(question) <= seen for questions in data.known["analogies"].values() for question in questions)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tokens": 0}, "tokens is 0"),
        ({"length": 0}, "length is 0"),
        ({"topic": 1.5}, "topic is 1.5"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"test_fraction": 1.0}, "test_fraction is 1.0"),
        ({"tokens": 200}, "tokens = 200 make 2 documents of about 112 words, and test_fraction = 0.1 puts 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    for function in (world_text.load, world_text.count):
        with pytest.raises(ValueError, match=words):
            function(**{"seed": 0, **settings})
