import numpy as np
import pytest

from ssl_models.clustering import Clustering, cluster, normalised_mutual_information, refuse_settings
from ssl_models.errors import Collapsed
from ssl_models.two_level_clustering import shares


@pytest.fixture(scope="module")
def blobs():
    """300 samples around 6 separate directions, with lengths that say nothing."""
    draws = np.random.default_rng(0)
    centres = np.linalg.qr(draws.normal(size=(16, 16)))[0][:6]
    labels = np.arange(300) % 6
    points = centres[labels] + 0.03 * draws.normal(size=(300, 16))
    return (points * draws.uniform(0.5, 5, size=(300, 1))).astype(np.float16), labels


@pytest.fixture(scope="module")
def mixture():
    """(6000, 16) float16, 40 overlapping Gaussians of unequal shares."""
    draws = np.random.default_rng(2)
    centres, labels = draws.normal(size=(40, 16)), draws.choice(40, size=6000, p=draws.dirichlet(np.full(40, 3.0)))
    return (centres[labels] + 0.6 * draws.normal(size=(6000, 16))).astype(np.float16)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("components", [0, 5])
def test_separate_blobs_are_found(blobs, components, levels):
    features, labels = blobs
    found = cluster(features, clusters=6, seed=0, components=components, redo=5, levels=levels)
    assert normalised_mutual_information(found.assignments, labels) == pytest.approx(1.0)
    assert found.sizes.tolist() == [50] * 6
    assert found.balance == pytest.approx(1.0)
    assert found.centroids.shape == (6, components or 16)
    assert found.assignments.dtype == np.int64
    assert found.empty == 0


def test_inertia_and_assignments_belong_to_the_centroids(blobs):
    features, _ = blobs
    found = cluster(features, clusters=10, seed=0)
    points = features.astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    distances = ((points[:, None] - found.centroids[None]) ** 2).sum(2)
    assert (found.assignments == distances.argmin(1)).all()
    assert found.inertia == pytest.approx(distances.min(1).sum(), rel=1e-3)
    assert found.sizes.tolist() == np.bincount(found.assignments).tolist()


def flat(features, clusters, seed):
    """Ids and centroids as faiss by itself finds them in all of the features' directions."""
    import faiss

    points = features.astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    settings = {"min_points_per_centroid": 1, "max_points_per_centroid": len(points)}
    kmeans = faiss.Kmeans(points.shape[1], clusters, niter=50, seed=seed, **settings)
    kmeans.train(points)
    return kmeans.assign(points)[1], kmeans.centroids


@pytest.mark.parametrize("settings", [{}, {"levels": 1}])
def test_one_level_is_the_flat_k_means_of_faiss(blobs, settings):
    before = cluster(blobs[0], clusters=20, seed=3, threads=1, **settings)
    assignments, centroids = flat(blobs[0], 20, 3)
    assert before.assignments.tobytes() == assignments.tobytes()
    assert before.centroids.tobytes() == centroids.tobytes()


@pytest.mark.parametrize("components", [0, 8])
def test_two_levels_come_near_the_flat_inertia_with_every_cluster_in_use(mixture, components):
    once, twice = (
        cluster(mixture, clusters=100, seed=0, components=components, threads=1, levels=levels) for levels in (1, 2)
    )
    assert (twice.clusters, twice.asked, twice.empty) == (100, 100, 0)
    assert sorted(set(twice.assignments.tolist())) == list(range(100))
    assert twice.inertia < 1.02 * once.inertia
    distances = ((twice.centroids[:, None] - twice.centroids[None]) ** 2).sum(2) + 9 * np.eye(100)
    assert distances.min() > 0


def test_a_sample_that_sees_few_centroids_moves_nearly_as_far(mixture, monkeypatch):
    every = cluster(mixture, clusters=100, seed=0, threads=1, levels=2)
    monkeypatch.setattr("ssl_models.two_level_clustering.CANDIDATES", 10)
    few = cluster(mixture, clusters=100, seed=0, threads=1, levels=2)
    assert few.inertia == pytest.approx(every.inertia, rel=0.02)
    assert few.inertia != every.inertia


def test_two_levels_leave_repeated_samples_in_one_cluster():
    draws = np.random.default_rng(0)
    features = np.concatenate([np.tile(draws.normal(size=(1, 8)), (900, 1)), draws.normal(size=(120, 8))])
    found = cluster(features, clusters=60, seed=0, levels=2)
    assert len(set(found.assignments[:900].tolist())) == 1
    assert found.clusters == 60
    assert cluster(features, clusters=120, seed=0, levels=2).clusters == 120


def test_two_levels_read_a_memory_map(mixture, tmp_path):
    np.save(tmp_path / "features.npy", mixture)
    stored = np.load(tmp_path / "features.npy", mmap_mode="r")
    first, again = (cluster(given, clusters=30, seed=0, threads=1, levels=2) for given in (mixture, stored))
    assert first.centroids.tobytes() == again.centroids.tobytes()


@pytest.mark.parametrize(
    ("sizes", "limits", "clusters", "expected"),
    [
        ([50, 30, 20], [50, 30, 20], 10, [5, 3, 2]),
        ([48, 33, 19], [48, 33, 19], 10, [5, 3, 2]),  # 4.8, 3.3 and 1.9: the remainders .8 and .9 take one more
        ([10, 10, 10], [10, 10, 10], 4, [2, 1, 1]),  # equal remainders: the first
        ([90, 5, 5], [3, 5, 5], 10, [3, 4, 3]),  # 9, .5 and .5, but 3 at most: the other 7 are 3.5 and 3.5
        ([90, 6, 4], [2, 6, 4], 12, [2, 6, 4]),  # all that there are
        ([97, 3, 0], [97, 3, 0], 5, [4, 1, 0]),  # 4.85 and .15: none would be left without, but one without samples
    ],
)
def test_shares_by_hand(sizes, limits, clusters, expected):
    assert shares(np.array(sizes), np.array(limits), clusters).tolist() == expected


def test_shares_sum_to_the_clusters_and_keep_their_limits():
    draws = np.random.default_rng(0)
    for _ in range(200):
        sizes = (draws.pareto(0.7, size=9) * 3).astype(np.int64)
        limits = np.minimum(sizes, draws.integers(1, 40, size=9))
        clusters = int(draws.integers(9, max(10, limits.sum() + 1)))
        if limits.sum() >= clusters:
            found = shares(sizes, limits, clusters)
            assert found.sum() == clusters
            assert (found <= limits).all()
            assert ((found > 0) == (sizes > 0)).all()


@pytest.mark.parametrize("levels", [1, 2])
def test_same_seed_same_clusters(blobs, levels):
    first, again = (cluster(blobs[0], clusters=20, seed=3, threads=1, levels=levels) for _ in range(2))
    assert first.assignments.tobytes() == again.assignments.tobytes()
    assert first.centroids.tobytes() == again.centroids.tobytes()
    other = cluster(blobs[0], clusters=20, seed=4, threads=1, levels=levels)
    assert (first.assignments != other.assignments).any()


def test_length_does_not_matter(blobs):
    features = blobs[0].astype(np.float32)
    longer = features * np.random.default_rng(1).choice([0.5, 2, 4], size=(300, 1))
    assert (cluster(features, clusters=6, seed=0).assignments == cluster(longer, clusters=6, seed=0).assignments).all()


@pytest.mark.parametrize("components", [0, 2])
def test_fewer_distinct_points_than_clusters_leave_no_empty_ids(components):
    features = np.repeat(np.random.default_rng(0).normal(size=(5, 8)), 20, axis=0)
    found = cluster(features, clusters=30, seed=0, components=components)
    assert sorted(set(found.assignments.tolist())) == list(range(found.clusters))
    assert (found.clusters, found.asked, found.empty, found.distinct) == (5, 30, 25, 5)
    assert (found.sizes == 20).all()


@pytest.mark.parametrize("levels", [1, 2])
def test_no_warning_of_faiss_reaches_the_terminal(blobs, capfd, levels):
    cluster(blobs[0], clusters=100, seed=0, levels=levels)
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_all_points_are_used_and_as_many_clusters_as_points_are_allowed():
    features = np.random.default_rng(0).normal(size=(40, 6))
    found = cluster(features, clusters=40, seed=0)
    assert found.sizes.tolist() == [1] * 40
    assert found.inertia == pytest.approx(0, abs=1e-6)
    # 4,000 samples in 2 clusters: faiss alone would look at 512 of them. The optimum is that of all of them.
    many = np.random.default_rng(0).normal(size=(4000, 2))
    found = cluster(many, clusters=2, seed=0)
    points = many / np.linalg.norm(many, axis=1, keepdims=True)
    for index in range(2):
        assert found.centroids[index] == pytest.approx(points[found.assignments == index].mean(0), abs=0.02)


def test_threads_are_given_back(blobs):
    import faiss

    before = faiss.omp_get_max_threads()
    cluster(blobs[0], clusters=2, seed=0, threads=1)
    assert faiss.omp_get_max_threads() == before


def test_summary_by_hand():
    found = Clustering(np.repeat([0, 1, 2], [2, 1, 1]), np.zeros((3, 2)), np.array([2, 1, 1]), 1.5, 4, 4, np.zeros(4))
    summary = found.summary()
    assert summary["balance"] == pytest.approx(1.5 * np.log(2) / np.log(3))
    assert (summary["smallest"], summary["median"], summary["largest"]) == (1, 1.0, 2)
    assert (summary["asked"], summary["clusters"], summary["empty"], summary["samples"]) == (4, 3, 1, 4)


def test_mutual_information_equals_scikit_learn():
    from sklearn.metrics import normalized_mutual_info_score

    draws = np.random.default_rng(0)
    first, second = draws.integers(7, size=200), draws.integers(100, 104, size=200)
    assert normalised_mutual_information(first, second) == pytest.approx(normalized_mutual_info_score(first, second))
    assert normalised_mutual_information(first, -first) == pytest.approx(1.0)
    assert normalised_mutual_information(first, np.zeros_like(first)) == pytest.approx(0.0, abs=1e-12)
    assert normalised_mutual_information(np.zeros(3), np.ones(3)) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": 1}, r"clusters = 1 must be at least 2 \(there are 10 samples"),
        ({"clusters": 11}, "more than the 10 samples"),
        ({"iterations": 0}, "iterations = 0"),
        ({"redo": 0}, "redo = 0"),
        ({"levels": 0}, r"levels = 0 must be 1 \(flat\) or 2"),
        ({"levels": 3, "clusters": 5}, r"levels = 3 must be 1 \(flat\) or 2"),
        ({"levels": 2, "clusters": 3}, "levels = 2 needs clusters of at least 4, not 3"),
        ({"threads": -1}, "threads = -1"),
        ({"components": 5}, r"components = 5 must lie between 0 \(no projection\) and 4: there are 10 samples of 4"),
        ({"components": -1}, "components = -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cluster(np.random.default_rng(0).normal(size=(10, 4)), **{"clusters": 2, "seed": 0, **settings})


def test_settings_may_be_checked_without_levels():
    refuse_settings((10, 4), clusters=2, iterations=50, components=0, redo=1, threads=1)


def test_features_that_cannot_be_clustered_are_refused():
    features = np.random.default_rng(0).normal(size=(10, 4))
    with pytest.raises(Collapsed, match="all 10 samples have the same features"):
        cluster(np.ones((10, 4)), clusters=2, seed=0)
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"features that are not finite \(1 of samples 0 to 9"):
        cluster(features, clusters=2, seed=0)
    with pytest.raises(ValueError, match=r"must be \(samples, features\)"):
        cluster(np.ones(10), clusters=2, seed=0)
    with pytest.raises(ValueError, match="two vectors of one length"):
        normalised_mutual_information(np.zeros(3), np.zeros(4))
