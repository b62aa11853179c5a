from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from ssl_models.encoders import build_encoder
from ssl_models.errors import DoesNotApply, NeedsSamples, NeedsTruth
from ssl_models.protocols import word_similarity
from ssl_models.protocols.word_similarity import evaluate, spearman
from tests.ssl_models import words

CIRCLE = {f"at{angle}": (np.cos(np.radians(angle)), np.sin(np.radians(angle))) for angle in (0, 10, 30, 60, 100, 150)}
"""Words on a circle, by their angles in degrees: the nearer two are, the larger is their cosine."""


def pairs(score):
    names = list(CIRCLE)
    both = [(one, other) for at, one in enumerate(names) for other in names[at + 1 :]]
    return [[one, other, score(int(one[2:]) - int(other[2:]))] for one, other in both]


def drawn(count=60, size=16, seed=0):
    """Words with vectors at random, and pairs of them, each word in one."""
    draws = np.random.default_rng(seed)
    vectors = {f"w{number}": draws.normal(size=size) for number in range(2 * count)}
    return vectors, [[f"w{number}", f"w{number + count}", float(draws.normal())] for number in range(count)]


def values(given, **settings):
    return {score.metric: score.value for score in evaluate(given, seed=0, **settings).scores}


def test_spearman_by_hand():
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24).
    assert spearman(np.array([1, 2, 3, 4, 5]), np.array([20, 10, 40, 30, 50])) == pytest.approx(0.8)
    # Equal values share their mean rank: 1.5 1.5 3 against 1 2 3.
    assert spearman(np.array([7, 7, 9]), np.array([1, 2, 3])) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert spearman(np.array([7, 7, 7]), np.array([1, 2, 3])) == 0


def test_spearman_is_that_of_scipy():
    draws = np.random.default_rng(0)
    for _ in range(5):
        left, right = draws.integers(8, size=40), draws.integers(8, size=40)
        assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic)


def test_it_is_the_correlation_of_cosine_and_score():
    vectors, listed = drawn()
    cosines = [
        np.dot(vectors[one], vectors[other]) / np.linalg.norm(vectors[one]) / np.linalg.norm(vectors[other])
        for one, other, _ in listed
    ]
    expected = spearmanr(cosines, [score for *_, score in listed]).statistic
    assert values(words.representation(vectors, similarity=listed))["spearman"] == pytest.approx(expected)


def test_an_oracle_scores_one():
    scores = evaluate(words.representation(CIRCLE, similarity=pairs(lambda angle: -abs(angle))), seed=0).scores
    assert [(score.layer, score.metric) for score in scores] == [("", "spearman"), ("", "coverage")]
    assert [score.value for score in scores] == [pytest.approx(1), 1]
    assert scores[0].low == pytest.approx(1)
    turned = words.representation(CIRCLE, similarity=pairs(lambda angle: abs(angle)))
    assert values(turned)["spearman"] == pytest.approx(-1)


def test_the_length_of_vectors_does_not_matter():
    longer = {word: vector * 10.0**number for number, (word, vector) in enumerate(drawn()[0].items(), -30)}
    vectors = {word: vector for word, vector in longer.items() if word in list(longer)[:60]}
    listed = [[f"w{number}", f"w{number + 30}", number] for number in range(30)]
    unit = {word: vector / np.linalg.norm(vector) for word, vector in vectors.items()}
    found = [values(words.representation(own, similarity=listed)) for own in (vectors, unit)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_constant_scores_chance():
    same = dict.fromkeys(CIRCLE, (3.0, 1.0, 0.1))
    scaled = {word: np.array((3.0, 1.0, 0.1)) * number for number, word in enumerate(CIRCLE, 1)}
    for vectors in (same, scaled, dict.fromkeys(CIRCLE, (0.0, 0.0))):
        score = evaluate(words.representation(vectors, similarity=pairs(abs)), seed=0).scores[0]
        assert (score.value, score.low, score.high) == (0, 0, 0)


def test_shuffled_truth_scores_chance():
    vectors, listed = drawn(count=400)
    score = evaluate(words.representation(vectors, similarity=listed), seed=0).scores[0]
    assert abs(score.value) < 3 / np.sqrt(400)
    assert score.low < 0 < score.high


def test_same_seed_same_numbers():
    vectors, listed = drawn()
    given = words.representation(vectors, similarity=listed)
    assert evaluate(given, seed=3).scores == evaluate(given, seed=3).scores


def test_the_order_of_samples_does_not_matter():
    vectors, listed = drawn()
    expected = values(words.representation(vectors, similarity=listed))
    mixed = dict(sorted(vectors.items(), key=lambda item: item[0][::-1]))
    turned = [[other, one, score] for one, other, score in reversed(listed)]
    assert values(words.representation(mixed, similarity=turned)) == pytest.approx(expected)


def test_pairs_outside_the_vocabulary_do_not_count_but_for_coverage():
    vectors, listed = drawn()
    expected = values(words.representation(vectors, similarity=listed))["spearman"]
    more = [*listed, ["w0", "nowhere", 9], ["", "w1", 5]]
    found = values(words.representation(vectors, similarity=more, similarity_left_out=18))
    assert found == {"spearman": pytest.approx(expected), "coverage": 60 / 80}


@pytest.mark.parametrize(
    ("known", "covered"),
    [
        ({}, None),
        ({"similarity": []}, None),
        ({"similarity": [], "similarity_left_out": 353}, 0),
        ({"similarity": [["at0", "at10", 1], ["at0", "at30", 2]]}, 1),
        ({"similarity": [["at0", "at10", 1], ["at0", "at30", 1], ["at0", "at60", 1]]}, 1),
    ],
)
def test_without_pairs_there_are_the_neighbours_alone(known, covered):
    found = evaluate(words.representation(CIRCLE, **known), seed=0)
    assert [(score.metric, score.value) for score in found.scores] == (
        [] if covered is None else [("coverage", covered)]
    )
    assert found.tables["neighbours"]["word"]


def test_the_table_holds_the_nearest_words_by_cosine():
    table = evaluate(words.representation(CIRCLE, similarity=pairs(abs)), seed=0, neighbours=3).tables["neighbours"]
    assert list(table) == ["word", "1st", "2nd", "3rd"]
    rows = {row[0]: list(row[1:]) for row in zip(*table.values(), strict=True)}
    assert rows["at0"] == ["at10", "at30", "at60"]
    assert rows["at100"] == ["at60", "at150", "at30"]


def test_the_table_is_as_wide_as_there_are_words_and_ties_go_by_frequency():
    same = dict.fromkeys(("b", "a", "c"), (1.0, 0.0))
    table = evaluate(words.representation(same), seed=0).tables["neighbours"]
    assert table == {"word": ["b", "a", "c"], "1st": ["a", "b", "b"], "2nd": ["c", "c", "a"]}


def test_the_words_of_the_table_are_frequent_ones_of_every_list_in_turn():
    vectors, sections = words.capitals(countries=3)
    known = {"similarity": [["word5", "word1", 1.0], ["word1", "gone", 2.0]], "analogies": sections}
    shown = evaluate(words.representation(vectors, **known), seed=0, words=7).tables["neighbours"]["word"]
    # word1 is more frequent than word5; of each section: a country, its capital or dish, and so on.
    assert shown == ["word1", "c0", "word5", "capital0", "dish0", "c1", "capital1"]


def test_without_lists_the_words_of_the_table_are_none_of_the_most_common():
    vectors = {f"w{number}": np.eye(30)[number] for number in range(30)}
    counts = [0, *[10_000] * 10, *range(20, 0, -1)]
    shown = evaluate(words.representation(vectors, counts=counts), seed=0, words=4).tables["neighbours"]["word"]
    assert shown == ["w10", "w11", "w12", "w13"]
    few = evaluate(words.representation(vectors, counts=counts), seed=0, words=25).tables["neighbours"]["word"]
    assert few[:2] == ["w0", "w1"]


def test_missing_truth_is_told():
    pictures = replace(words.representation(CIRCLE), known={})
    with pytest.raises(NeedsTruth, match="the data have no words"):
        evaluate(pictures, seed=0)
    encoder = build_encoder("resnet", depth=10, width=4)
    with pytest.raises(DoesNotApply, match="the encoder 'resnet' has no vectors of words"):
        evaluate(replace(words.representation(CIRCLE), encoder=lambda: encoder), seed=0)
    with pytest.raises(NeedsSamples, match="one word only"):
        evaluate(words.representation({"alone": (1.0, 2.0)}), seed=0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"words": ["", "a", "b"]}, r"vectors of shape \(7, 2\) for 3 words; train it again"),
        ({}, "vectors of words that are not finite"),
    ],
)
def test_vectors_that_cannot_be_used_are_a_failure(change, told):
    vectors = CIRCLE if change else CIRCLE | {"at0": (np.nan, 1.0)}
    with pytest.raises(ValueError, match=told) as refused:
        evaluate(words.representation(vectors, **change), seed=0)
    assert not isinstance(refused.value, DoesNotApply)


@pytest.mark.parametrize("setting", [{"words": 0}, {"neighbours": 0}, {"neighbours": 21}])
def test_bad_settings_are_refused(setting):
    for act in (
        lambda: evaluate(words.representation(CIRCLE), seed=0, **setting),
        lambda: word_similarity.refuse(**{"words": 12, "neighbours": 8} | setting),
    ):
        with pytest.raises(ValueError, match=next(iter(setting))) as refused:
            act()
        assert not isinstance(refused.value, DoesNotApply)
