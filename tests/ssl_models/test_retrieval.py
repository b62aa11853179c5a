import subprocess
import sys

import numpy as np
import pytest

from ssl_models import nearest as blockwise
from ssl_models.errors import NeedsLabels
from ssl_models.protocols import knn, retrieval
from ssl_models.protocols._common import neighbour_rows
from ssl_models.protocols._common.score import Representation

CLASSES, TRAIN, TEST = 8, 160, 96


def representation(features, labels=None, images=None, layers=("conv1", "pooled")):
    def none(split):
        raise NeedsLabels(f"the {split} split has no labels")

    given = {} if images is None else {"samples": lambda split: {"images": images[split]}}
    stored = {split: rows.astype(np.float16) for split, rows in features.items()}
    known = none if labels is None else labels.__getitem__
    return Representation(layers, lambda split, _layer: stored[split], known, CLASSES, **given)


@pytest.fixture(scope="module")
def problem():
    draws = np.random.default_rng(0)
    labels = {"train": np.arange(TRAIN) % CLASSES, "test": np.arange(TEST) % CLASSES}
    features = {
        split: np.eye(CLASSES)[own] + 0.6 * draws.normal(size=(len(own), CLASSES)) for split, own in labels.items()
    }
    return features, labels


def values(given, **settings):
    return {score.metric: score.value for score in retrieval.evaluate(given, seed=0, **settings).scores}


def pictures_of(labels, shape=(3, 32, 32)):
    """Grey pictures, each of a shade of its own: a training sample's is its row, a test sample's 200."""
    shades = {"train": np.arange(len(labels["train"])), "test": np.full(len(labels["test"]), 200)}
    return {split: np.tile(own.astype(np.uint8)[:, None, None, None], (1, *shape)) for split, own in shades.items()}


def test_average_precision_at_r_by_hand():
    right = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]], bool)
    # Musgrave et al. 2020, equations 5 and 6: (1 + 2/3) / 3; the hit at 2 alone; and none that could be right.
    found = retrieval.average_precision_at_r(right, np.array([3, 2, 0]))
    assert found == pytest.approx([(1 + 2 / 3) / 3, (1 / 2) / 2, 0])


@pytest.mark.parametrize("depth", [1000, 7])
def test_equals_the_naive_loop(problem, depth):
    features, labels = problem
    unit = {split: rows.astype(np.float16).astype(float) for split, rows in features.items()}
    unit = {split: rows / np.linalg.norm(rows, axis=1, keepdims=True) for split, rows in unit.items()}
    precisions, hits = [], {1: 0, 5: 0, 10: 0, 100: 0}
    for row, label in zip(unit["test"], labels["test"], strict=True):
        right = labels["train"][np.argsort(-(unit["train"] @ row))] == label
        relevant = min(int(right.sum()), depth)
        total = sum(right[: i + 1].mean() for i in range(relevant) if right[i])
        precisions.append(total / relevant)
        for k in hits:
            hits[k] += right[:k].any()
    expected = {"map_at_r": np.mean(precisions)} | {f"recall{k}": count / TEST for k, count in hits.items()}
    assert values(representation(features, labels), depth=depth) == pytest.approx(expected)


def test_recall_at_one_is_one_nearest_neighbour(problem):
    given = representation(*problem)
    assert values(given)["recall1"] == knn.evaluate(given, seed=0, neighbours=1).scores[0].value


def test_an_oracle_scores_one(problem):
    _, labels = problem
    oracle = {split: np.eye(CLASSES)[own] for split, own in labels.items()}
    scores = retrieval.evaluate(representation(oracle, labels), seed=0).scores
    assert [score.metric for score in scores] == ["map_at_r", "recall1", "recall5", "recall10", "recall100"]
    assert all(score.value == score.high == 1 and score.low > 0.95 for score in scores)


def by_chance(share, relevant):
    """map_at_r of a random order: neighbour i is right with probability `share`, and then 1 + (i - 1) share are."""
    return share * (share + (1 - share) * (1 / np.arange(1, relevant + 1)).sum() / relevant)


def test_a_constant_scores_chance(problem):
    constant = {"train": np.full((TRAIN, 4), 0.3), "test": np.full((TEST, 4), 0.3)}
    found = values(representation(constant, problem[1]))
    assert found["recall1"] == 1 / CLASSES
    assert found["map_at_r"] == pytest.approx(by_chance(1 / CLASSES, TRAIN // CLASSES), abs=0.01)


def test_shuffled_truth_scores_chance(problem):
    features, labels = problem
    draws = np.random.default_rng(1)
    # Queries of a class share their neighbours, so that one permutation says little.
    shuffled = [{**labels, "train": draws.permutation(labels["train"])} for _ in range(20)]
    found = [values(representation(features, own)) for own in shuffled]
    mean = {metric: np.mean([one[metric] for one in found]) for metric in found[0]}
    assert mean["recall1"] == pytest.approx(1 / CLASSES, abs=0.03)
    assert mean["recall5"] == pytest.approx(1 - (1 - 1 / CLASSES) ** 5, abs=0.05)
    assert mean["map_at_r"] == pytest.approx(by_chance(1 / CLASSES, TRAIN // CLASSES), abs=0.005)
    assert values(representation(features, labels))["map_at_r"] > by_chance(1 / CLASSES, TRAIN // CLASSES) + 0.05


def test_same_seed_same_numbers(problem):
    given = representation(*problem, pictures_of(problem[1]))
    first, second = (retrieval.evaluate(given, seed=3) for _ in range(2))
    assert first.scores == second.scores
    assert (first.pictures["neighbours"] == second.pictures["neighbours"]).all()


def test_the_order_of_samples_does_not_matter(problem):
    order = {split: np.random.default_rng(2).permutation(len(own)) for split, own in problem[1].items()}
    moved = [{split: rows[order[split]] for split, rows in part.items()} for part in problem]
    assert values(representation(*moved)) == pytest.approx(values(representation(*problem)))


def test_missing_truth_is_told(problem):
    with pytest.raises(NeedsLabels):
        retrieval.evaluate(representation(problem[0]), seed=0)


def test_without_labels_there_is_a_picture_without_frames(problem):
    features, labels = problem
    images = pictures_of(labels)
    found = retrieval.evaluate(representation(features, None, images), seed=0)
    assert found.scores == []
    picture = found.pictures["neighbours"]
    assert (picture == picture[..., :1]).all(), "grey, so nothing is framed"
    assert picture.shape == retrieval.evaluate(representation(*problem, images), seed=0).pictures["neighbours"].shape


def test_without_images_there_is_no_picture(problem):
    assert retrieval.evaluate(representation(*problem), seed=0).pictures == {}


def test_the_picture_shows_the_nearest_and_frames_the_right(problem):
    features, labels = problem
    picture = retrieval.evaluate(representation(features, labels, pictures_of(labels)), seed=4).pictures["neighbours"]
    cell = 96 + 2 * neighbour_rows.FRAME + neighbour_rows.GAP
    assert picture.shape == (8 * cell, 11 * cell + 2 * neighbour_rows.FRAME, 3)
    unit = {split: rows.astype(np.float16).astype(float) for split, rows in features.items()}
    unit = {split: rows / np.linalg.norm(rows, axis=1, keepdims=True) for split, rows in unit.items()}
    for line, query in enumerate(neighbour_rows.drawn(labels["test"], 4)):
        nearest = np.argsort(-(unit["train"] @ unit["test"][query]))[:10]
        middle = line * cell + cell // 2
        assert (picture[middle, cell // 2] == 200).all()
        for place, row in enumerate(nearest, 1):
            left = place * cell + 2 * neighbour_rows.FRAME
            colour = neighbour_rows.RIGHT if labels["train"][row] == labels["test"][query] else neighbour_rows.WRONG
            assert (picture[middle, left + cell // 2] == row).all()
            assert tuple(picture[middle, left + neighbour_rows.GAP // 2]) == colour


@pytest.mark.parametrize(
    ("shape", "cell"),
    [((1, 20, 20), (100, 100)), ((4, 64, 64), (128, 128)), ((3, 500, 250), (96, 48)), ((3, 40, 80), (40, 80))],
)
def test_images_of_any_size_and_channels_are_drawn(problem, shape, cell):
    _, labels = problem
    picture = retrieval.evaluate(representation(*problem, pictures_of(labels, shape)), seed=0).pictures["neighbours"]
    margin = 2 * neighbour_rows.FRAME + neighbour_rows.GAP
    assert picture.dtype == np.uint8
    assert picture.shape == (8 * (cell[0] + margin), 11 * (cell[1] + margin) + 2 * neighbour_rows.FRAME, 3)


def test_fewer_samples_than_the_picture_has_places(problem):
    few = [{split: rows[:5] for split, rows in part.items()} for part in problem]
    found = retrieval.evaluate(representation(*few, pictures_of(few[1])), seed=0)
    cell = 96 + 2 * neighbour_rows.FRAME + neighbour_rows.GAP
    assert found.pictures["neighbours"].shape == (5 * cell, 11 * cell + 2 * neighbour_rows.FRAME, 3)
    assert [score.metric for score in found.scores] == ["map_at_r", "recall1", "recall5"]


@pytest.mark.parametrize(("classes", "most"), [(20, 1), (8, 1), (3, 3), (1, 8)])
def test_queries_are_drawn_a_class_in_turn(classes, most):
    labels = np.arange(400) % classes
    chosen = neighbour_rows.drawn(labels, 0)
    counts = np.bincount(labels[chosen])
    assert len(set(chosen.tolist())) == 8
    assert counts.max() == most
    assert (np.diff(labels[chosen]) >= 0).all()
    assert chosen.tolist() == neighbour_rows.drawn(labels, 0).tolist() != neighbour_rows.drawn(labels, 1).tolist()


def test_a_query_without_a_right_answer_is_a_miss(problem):
    _, labels = problem
    unseen = {**labels, "train": np.where(labels["train"] == 7, 6, labels["train"])}
    oracle = {split: np.eye(CLASSES)[own] for split, own in unseen.items()}
    assert values(representation(oracle, unseen)) == pytest.approx(
        dict.fromkeys(("map_at_r", "recall1", "recall5", "recall10", "recall100"), 7 / 8)
    )


def test_blocks_find_what_one_block_finds(problem, monkeypatch):
    given = representation(*problem)
    expected, votes = values(given), knn.evaluate(given, seed=0, neighbours=30).scores
    monkeypatch.setattr(blockwise, "QUERIES", 25)
    monkeypatch.setattr(blockwise, "GALLERY", 33)  # the last block has fewer rows than neighbours are asked for
    assert values(given) == pytest.approx(expected)
    assert knn.evaluate(given, seed=0, neighbours=30).scores == votes


def test_nearest_equals_sorting_all_cosines(monkeypatch):
    draws = np.random.default_rng(3)
    rows, asked = draws.normal(size=(70, 5)), draws.normal(size=(11, 5)) * 100
    monkeypatch.setattr(blockwise, "GALLERY", 16)
    _, cosine, found = next(blockwise.nearest(blockwise.Directions(rows, "a"), blockwise.Directions(asked, "b"), 20))
    every = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (rows / np.linalg.norm(rows, axis=1)[:, None]).T
    assert (found == np.argsort(-every, axis=1)[:, :20]).all()
    assert np.allclose(cosine, -np.sort(-every, axis=1)[:, :20], atol=1e-6)


def test_large_features_are_read_block_by_block(tmp_path, monkeypatch):
    """A memory map's rows are asked for in blocks, never all of them."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(4).normal(size=(500, 6)).astype(np.float16))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    asked = []

    class Watched:
        shape, ndim = mapped.shape, 2

        def __len__(self):
            return len(mapped)

        def __getitem__(self, rows):
            asked.append(len(mapped[rows]))
            return mapped[rows]

    monkeypatch.setattr(blockwise, "GALLERY", 64)
    monkeypatch.setattr(blockwise, "QUERIES", 32)
    labels = np.arange(500) % CLASSES
    given = Representation(("pooled",), lambda *_: Watched(), lambda _: labels, CLASSES)
    assert values(given)["recall1"] == 1, "each sample finds itself"
    assert knn.evaluate(given, seed=0, neighbours=1).scores[0].value == 1
    assert max(asked) == 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "res9"}, "layers = 'res9' must name at least one of conv1, pooled"),
        ({"layers": []}, "layers = \\[\\]"),
        ({"ranks": []}, "ranks = \\[\\] must be a list"),
        ({"ranks": [1, 0]}, "ranks = \\[1, 0\\] must be whole numbers of at least 1"),
        ({"depth": 0}, "depth = 0 must be at least 1"),
    ],
)
def test_bad_settings_are_refused(problem, settings, message):
    with pytest.raises(ValueError, match=message):
        retrieval.evaluate(representation(*problem), seed=0, **settings)


def test_broken_features_are_refused(problem):
    features, labels = problem
    with pytest.raises(ValueError, match="'pooled' has train features that are not finite"):
        values(representation({**features, "train": features["train"] * np.inf}, labels))
    with pytest.raises(ValueError, match="for 159 labels"):
        values(representation(features, {**labels, "train": labels["train"][1:]}))


def test_faiss_is_never_beside_torch():
    code = "import faiss, ssl_models.protocols.retrieval, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_neighbours_are_named_where_files_are_known():
    features = {"train": np.eye(4, dtype=np.float32), "test": np.array([[0, 1, 0.5, 0], [1, 0, 0, 0.5]], np.float32)}
    images = {split: {"images": np.zeros((len(rows), 3, 4, 4), np.uint8)} for split, rows in features.items()}
    named = Representation(
        ("pooled",),
        lambda split, _: features[split],
        lambda split: np.zeros(len(features[split]), np.int64),
        1,
        samples=images.__getitem__,
        files=lambda split: [f"{split}/{row}.jpg" for row in range(len(features[split]))],
    )
    table = retrieval.evaluate(named, seed=0).tables["neighbours"]
    found = {
        query: (first, second) for query, first, second in zip(table["query"], table["1"], table["2"], strict=True)
    }
    assert found == {
        "test/0.jpg": ("train/1.jpg", "train/2.jpg"),
        "test/1.jpg": ("train/0.jpg", "train/3.jpg"),
    }
