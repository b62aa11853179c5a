from dataclasses import replace

import numpy as np
import pytest
from gensim.models import KeyedVectors

from ssl_models.encoders import build_encoder
from ssl_models.errors import DoesNotApply, NeedsSamples, NeedsTruth
from ssl_models.protocols import analogies
from ssl_models.protocols._analogies import plane
from ssl_models.protocols._common.vocabulary import vocabulary
from ssl_models.protocols.analogies import ADD, MULTIPLY, answered, evaluate, metrics, questions
from tests.ssl_models import words

RULES = (ADD, MULTIPLY)


def given(noise=0.0, **settings):
    vectors, sections = words.capitals(noise=noise, **settings)
    return words.representation(vectors, analogies=sections)


def found(representation, **settings):
    return {score.metric: score for score in evaluate(representation, seed=0, **settings).scores}


def values(representation, **settings):
    return {metric: score.value for metric, score in found(representation, **settings).items()}


def hits(representation, rule=ADD, most=30000):
    there = vocabulary(representation)
    asked = questions(there, [q for own in representation.known["analogies"].values() for q in own], most)
    return asked, answered(there, asked, most, rule)


def test_an_answer_by_hand():
    # king - man + woman = (0, 1, 1), to which queen has cosine 1; after the given words, apple is next to none.
    vectors = {"man": (1, 0, 0), "woman": (0, 1, 0), "king": (1, 0, 1), "queen": (0, 1, 1), "apple": (1, 1, -1)}
    given = words.representation(vectors, analogies={"sex": [["man", "woman", "king", "queen"]]})
    assert values(given)["accuracy"] == 1
    # Without queen's own direction the answer is another word.
    other = words.representation(vectors | {"queen": (0, -1, 1)}, analogies=given.known["analogies"])
    assert values(other)["accuracy"] == 0


@pytest.mark.parametrize("rule", RULES)
def test_an_oracle_scores_one(rule):
    scores = found(given(), rule=rule)
    assert list(scores) == ["accuracy", "accuracy_capital_cities", "accuracy_dishes", "parallel", "coverage"]
    assert {score.value for score in scores.values()} == {1}
    assert scores["accuracy"].low > 0.95
    assert scores["parallel"].low == 1


def test_shifts_of_one_direction_are_parallel_and_opposite_ones_are_not():
    unit = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [3, 1], [5, 5], [5, 6]], np.float32)
    parallel = plane.parallel(unit, np.array([[1, 2], [3, 4]]), seed=0)
    assert (parallel.value, parallel.low, parallel.high) == (1, 1, 1)
    assert plane.parallel(unit, np.array([[1, 2], [4, 3]]), seed=0).value == -1
    assert plane.parallel(unit, np.array([[1, 2], [3, 4], [5, 6]]), seed=0).value == pytest.approx(1 / 3)


def test_pairs_that_share_a_word_are_not_compared():
    unit = np.eye(6, dtype=np.float32)
    assert plane.parallel(unit, np.array([[1, 2], [1, 3]]), seed=0) is None
    # Words at right angles: (2 - 1) and (3 - 1) have cosine .5, and neither agrees with (5 - 4).
    assert plane.parallel(unit, np.array([[1, 2], [1, 3], [4, 5]]), seed=0).value == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_constant_scores_chance(rule):
    vectors, sections = words.capitals()
    for own in ((1.0, 2.0, 3.0), (0.0, 0.0, 0.0)):
        scores = values(words.representation(dict.fromkeys(vectors, own), analogies=sections), rule=rule)
        assert scores == {
            "accuracy": 0,
            "accuracy_capital_cities": 0,
            "accuracy_dishes": 0,
            "parallel": 0,
            "coverage": 1,
        }


@pytest.mark.parametrize("rule", RULES)
def test_shuffled_truth_scores_chance(rule):
    vectors, sections = words.capitals(countries=30)
    draws = np.random.default_rng(1)
    random = {word: draws.normal(size=16) for word in vectors}
    scores = found(words.representation(random, analogies=sections), rule=rule)
    assert scores["accuracy"].value < 0.05  # one in 147 by chance
    assert scores["parallel"].low < 0 < scores["parallel"].high
    assert scores["parallel"].high - scores["parallel"].low < 0.2


def test_a_difference_drawn_twice_is_not_compared_with_itself():
    """Else the interval of the bootstrap would lie above the value of vectors at random, by one in as many pairs."""
    pairs, draws = np.arange(60).reshape(30, 2), np.random.default_rng(1)
    scores = [plane.parallel(draws.normal(size=(60, 16)), pairs, seed=0) for _ in range(20)]
    assert abs(np.mean([(score.low + score.high) / 2 - score.value for score in scores])) < 1 / 90


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_naive_loop(rule):
    representation = given(noise=0.3)
    asked, right = hits(representation, rule)
    table = representation.encoder().vectors.detach().numpy().astype(float)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-30)
    for (a, b, c, d), hit in zip(asked.tolist(), right.tolist(), strict=True):
        scores = {}
        for word in range(1, len(unit)):
            near = {name: float(unit[word] @ unit[own]) for name, own in (("a", a), ("b", b), ("c", c))}
            if rule == ADD:
                scores[word] = near["b"] - near["a"] + near["c"]
            else:
                moved = {name: (cosine + 1) / 2 for name, cosine in near.items()}
                scores[word] = moved["b"] * moved["c"] / (moved["a"] + 0.001)
        best = max((word for word in scores if word not in (a, b, c)), key=scores.__getitem__)
        assert hit == (best == d)
    assert 0.1 < right.mean() < 0.9


def test_it_is_the_accuracy_of_gensim(tmp_path):
    vectors, sections = words.capitals(noise=0.3)
    there = KeyedVectors(len(vectors["c0"]))
    there.add_vectors(list(vectors), np.array(list(vectors.values()), np.float32))
    path = tmp_path / "questions.txt"
    path.write_text("".join(f": {name}\n" + "".join(" ".join(q) + "\n" for q in own) for name, own in sections.items()))
    score, (*own, _) = there.evaluate_word_analogies(path, case_insensitive=False)
    named = zip(metrics(list(sections)).values(), own, strict=True)
    expected = {"accuracy": score} | {name: len(section["correct"]) / 132 for name, section in named}
    ours = values(words.representation(vectors, analogies=sections))
    assert 0.1 < score < 0.9
    assert {name: ours[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_blocks_give_what_one_piece_gives(rows, monkeypatch):
    representation = given(noise=0.3)
    _, expected = hits(representation)
    monkeypatch.setattr(analogies, "ROWS", rows)
    assert (hits(representation)[1] == expected).all()


def test_of_equal_answers_none_is_right():
    vectors, sections = words.capitals()
    twin = vectors | {"twin": vectors["capital3"]}
    asked, right = hits(words.representation(twin, analogies=sections))
    answers = np.array([list(twin)[number - 1] for number in asked[:, 3]])
    assert not right[answers == "capital3"].any()
    assert right[answers != "capital3"].all()


def test_words_outside_the_vocabulary_and_answers_among_the_given_are_left_out():
    vectors, sections = words.capitals(countries=4)
    one, other = sections["capital-cities"][0][:2], sections["capital-cities"][0][2:]
    odd = [[*one, *one], [*one, other[0], one[1]], [*one, "nowhere", "gone"], ["", *one, other[0]]]
    listed = {"capital-cities": [*sections["capital-cities"], *odd], "unknown": [["x", "y", "z", "t"]], "none": []}
    assert values(words.representation(vectors, analogies=listed)) == {
        "accuracy": 1,
        "accuracy_capital_cities": 1,
        "parallel": 1,
        "coverage": 12 / 17,
    }


def test_only_the_most_frequent_words_are_searched_and_asked():
    vectors, sections = words.capitals(countries=4)
    decoys = vectors | {f"near{k}": vectors[f"capital{k}"] for k in range(4)}  # the rarest words of all
    representation = words.representation(decoys, analogies=sections)
    assert values(representation)["accuracy_capital_cities"] == 0
    assert values(representation, most=len(vectors))["accuracy_capital_cities"] == 1
    # The nine most frequent words are those of three countries, with six questions of a section instead of twelve.
    assert values(representation, most=9)["coverage"] == 0.5


def test_names_of_metrics_are_plain_and_differ():
    names = metrics(["capital-common-countries", "a b", "A_B", "a_b_2", "a b!", "größe", "--"])
    assert list(names.values()) == [
        "accuracy_capital_common_countries",
        *("accuracy_a_b", "accuracy_a_b_2", "accuracy_a_b_2_2", "accuracy_a_b_3"),
        *("accuracy_gr_e", "accuracy_section"),
    ]


def test_same_seed_same_numbers():
    representation = given(noise=0.3)
    one, other = (evaluate(representation, seed=3) for _ in range(2))
    assert one.scores == other.scores
    assert (one.pictures["plane"] == other.pictures["plane"]).all()


def test_the_order_of_samples_does_not_matter():
    vectors, sections = words.capitals(noise=0.3)
    expected = values(words.representation(vectors, analogies=sections))
    mixed = dict(sorted(vectors.items(), key=lambda item: item[0][::-1]))
    turned = {name: own[::-1] for name, own in sections.items()}
    assert values(words.representation(mixed, analogies=turned)) == pytest.approx(expected)


def test_the_plane_holds_the_arrows_of_the_first_section_with_pairs():
    pictures = evaluate(given(), seed=0).pictures
    assert list(pictures) == ["plane"]
    picture = pictures["plane"]
    assert picture.dtype == np.uint8
    assert picture.shape == (800, 1100, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x88, 0x88, 0x88)):  # first words, second words, arrows
        assert (picture == colour).all(2).sum() > 200


def test_components_are_those_of_a_plane():
    draws = np.random.default_rng(0)
    flat = draws.normal(size=(9, 2)) * (3, 1)
    axes, _ = np.linalg.qr(draws.normal(size=(7, 2)))
    points, shares = plane.components((flat - flat.mean(0)) @ axes.T + 5)
    between = [np.linalg.norm(own[:, None] - own, axis=2) for own in (points, flat)]
    assert np.allclose(*between)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    assert [own.shape for own in plane.components(np.ones((4, 1)))] == [(4, 2), (2,)]


def test_without_pairs_to_compare_there_is_no_plane():
    vectors, _ = words.capitals(countries=3)
    shared = {"one": [["c0", "capital0", "c0", "dish0"]]}
    answer = evaluate(words.representation(vectors, analogies=shared), seed=0)
    assert not answer.pictures
    assert [score.metric for score in answer.scores] == ["accuracy", "accuracy_one", "coverage"]


def test_missing_truth_is_told():
    vectors, sections = words.capitals()
    for known in ({}, {"analogies": {}}, {"analogies": {"empty": []}}):
        with pytest.raises(NeedsTruth, match="the data have no analogies"):
            evaluate(words.representation(vectors, **known), seed=0)
    with pytest.raises(NeedsTruth, match="the data have no words"):
        evaluate(replace(given(), known={"analogies": sections}), seed=0)
    encoder = build_encoder("resnet", depth=10, width=4)
    with pytest.raises(DoesNotApply, match="the encoder 'resnet' has no vectors of words"):
        evaluate(replace(given(), encoder=lambda: encoder), seed=0)
    with pytest.raises(NeedsSamples, match="the vocabulary of 96 words has all four of none of 1 analogies"):
        evaluate(words.representation(vectors, analogies={"other": [["c0", "capital0", "c1", "gone"]]}), seed=0)


@pytest.mark.parametrize("setting", [{"rule": "sub"}, {"most": 0}])
def test_bad_settings_are_refused(setting):
    for act in (
        lambda: evaluate(given(), seed=0, **setting),
        lambda: analogies.refuse(**{"rule": ADD, "most": 1} | setting),
    ):
        with pytest.raises(ValueError, match=next(iter(setting))) as refused:
            act()
        assert not isinstance(refused.value, DoesNotApply)
