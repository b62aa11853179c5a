"""DeepCluster v2: clusters of kept projections, when they are named anew, and the loss that learns their names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.first_pass import show_all
from ssl_models.method import Scored
from ssl_models.methods import deepcluster
from ssl_models.methods.deepcluster import DeepCluster
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper

torch.set_num_threads(1)

CPU = torch.device("cpu")


def method(samples: int = 40, **settings: Any) -> DeepCluster:
    torch.manual_seed(0)
    settings = {"clusters": 4, "projection": 16, "hidden": 16} | settings
    return DeepCluster(ResNet(depth=10, width=4), DataSpec(samples, {"images": (3, 16, 16)}), **settings)


def pictures(samples: int = 40) -> Tensor:
    """Smooth random pictures, (N, 3, 16, 16) uint8."""
    coarse = torch.rand(samples, 3, 4, 4, generator=Generator().manual_seed(1))
    return (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)


def training(method: DeepCluster, batch: int, epochs: int = 3, observer: Keeper | None = None) -> Training:
    settings = Settings(epochs=epochs, batch_size=batch, learning_rate=1.0, warmup_epochs=0)
    images = pictures(len(method.assignments))
    return Training(method, images, settings, seed=5, checkpoint_steps=1, observer=observer or Keeper())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, dict[str, int]]]:
    """What k-means was given, each time. In its place samples go to the nearest of some that the seed draws."""
    given = []

    def nearest_drawn(features: np.ndarray, **settings: int) -> tuple[np.ndarray, np.ndarray]:
        given.append((features.copy(), settings))
        drawn = np.random.default_rng(settings["seed"]).permutation(len(features))[: settings["clusters"]]
        return (features @ features[drawn].T).argmax(1), features[drawn]

    monkeypatch.setattr(deepcluster, "cluster_apart", nearest_drawn)
    return given


def test_the_first_pass_names_clusters_by_the_untrained_network() -> None:
    dc = method(iterations=20).eval()  # in evaluation a projection depends on no other picture
    assert dc.meets
    before = {name: value.clone() for name, value in dc.named_parameters()}
    show_all(dc, [pictures()], 16, lambda *parts: 100 + parts[-1], CPU, "float32")
    expected = torch.zeros(40, 16)
    for number, start in enumerate((0, 16, 24)):
        rows = torch.arange(start, start + 16)
        first = dc.views(pictures()[rows], Generator().manual_seed(100 + number))[0]
        with torch.no_grad():
            expected[rows] = functional.normalize(dc.projector(dc.encoder(first)), dim=1)
    torch.testing.assert_close(dc.bank.rows, expected)
    assert sorted(set(dc.assignments.tolist())) == [0, 1, 2, 3]
    means = torch.stack([expected[dc.assignments == name].mean(0) for name in range(4)])
    torch.testing.assert_close(dc.centroids, functional.normalize(means, dim=1), rtol=0, atol=0.02)
    torch.testing.assert_close(dc.centroids.norm(dim=1), torch.ones(4))
    assert (torch.cdist(expected, means).argmin(1) == dc.assignments).float().mean() > 0.9
    assert (int(dc.rounds), int(dc.seen)) == (1, 0)
    assert all(torch.equal(value, before[name]) for name, value in dc.named_parameters())


@pytest.mark.parametrize(("samples", "batch", "steps"), [(24, 8, 3), (24, 9, 2), (24, 13, 1), (16, 16, 1)])
def test_clusters_are_named_anew_after_each_epoch_but_the_last(
    samples: int, batch: int, steps: int, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dc, named = method(samples), []
    after_step = dc.after_step

    def watched(handed_over: Any, progress: float) -> None:
        before = dc.assignments.clone(), dc.centroids.clone(), len(calls)
        after_step(handed_over, progress)
        same = torch.equal(dc.assignments, before[0]) and torch.equal(dc.centroids, before[1])
        assert same == (len(calls) == before[2])
        named.append(len(calls))

    monkeypatch.setattr(dc, "after_step", watched)
    training(dc, batch).run()
    assert named == [1] * (steps - 1) + [2] * steps + [3] * (steps + 1)  # one was before the first step
    assert int(dc.rounds) == 3


def test_k_means_is_given_the_newest_projections_and_another_seed_each_time(calls: list[Any]) -> None:
    dc = method(clusters=6, iterations=3)
    training(dc, 20).run()
    assert [settings for _, settings in calls] == [
        {"clusters": 6, "iterations": 3, "seed": number, "threads": 1} for number in range(3)
    ]
    features = [found for found, _ in calls]
    for found in features:
        assert found.shape == (40, 16)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert (np.abs(features[1] - features[0]).max(1) > 1e-3).all(), "an old projection is left"


def test_the_projections_of_the_first_view_are_kept_after_the_step_and_no_others_change() -> None:
    dc = method()
    index, before = torch.tensor([3, 30, 7, 12]), dc.bank.rows.clone()
    first, second = dc.views(pictures()[index], Generator().manual_seed(0))
    handed_over = dc.loss(first, second, index=index).handed_over
    assert torch.equal(dc.bank.rows, before)
    dc.after_step(handed_over, 0.1)
    with torch.no_grad():
        expected = functional.normalize(dc.projector(dc.encoder(first)), dim=1)  # of a batch by itself, as in the loss
    torch.testing.assert_close(dc.bank.rows[index], expected)
    others = torch.ones(40, dtype=torch.bool)
    others[index] = False
    assert torch.equal(dc.bank.rows[others], before[others])
    assert (int(dc.seen), int(dc.rounds)) == (4, 0)


def test_the_loss_and_the_accuracy_by_a_loop() -> None:
    dc = method(temperature=0.3).eval()
    index = torch.tensor([3, 30, 7, 12])
    dc.assignments[index] = torch.tensor([1, 0, 3, 3])
    views = dc.views(pictures()[index], Generator().manual_seed(0))
    terms = Scored.of(dc.loss(*views, index=index)).terms
    losses, right = [], 0
    for view in views:
        with torch.no_grad():
            projections = functional.normalize(dc.projector(dc.encoder(view)), dim=1)
        for projection, name in zip(projections, (1, 0, 3, 3), strict=True):
            logits = [float(projection @ centroid) / 0.3 for centroid in dc.centroids]
            losses.append(math.log(sum(map(math.exp, logits))) - logits[name])
            right += logits[name] == max(logits)
    assert len(losses) == 8
    assert float(terms["loss"].detach()) == pytest.approx(sum(losses) / 8, rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(right / 8)
    assert not terms["accuracy"].requires_grad


def test_equal_centroids_cost_the_chance() -> None:
    dc = method()
    dc.centroids.copy_(dc.centroids[:1].expand(4, -1).clone())
    index = torch.arange(6)
    terms = Scored.of(dc.loss(*dc.views(pictures()[index], Generator().manual_seed(0)), index=index)).terms
    assert dc.chance == pytest.approx(math.log(4))
    assert float(terms["loss"].detach()) == pytest.approx(math.log(4), rel=1e-5)


def test_centroids_learn_from_k_means_alone() -> None:
    dc = method()
    assert {name.partition(".")[0] for name, _ in dc.named_parameters()} == {"encoder", "projector"}
    kept = {"centroids", "assignments", "seen", "rounds", "bank.rows"}
    assert kept <= dict(dc.named_buffers()).keys()
    assert kept <= dc.state_dict().keys()


def test_fewer_distinct_pictures_than_clusters_leave_centroids_of_zeros() -> None:
    dc = method(clusters=6)
    distinct = functional.normalize(torch.randn(3, 16, generator=Generator().manual_seed(0)), dim=1)
    dc.bank.rows.copy_(distinct[torch.arange(40) % 3])
    dc.cluster()
    assert sorted(set(dc.assignments.tolist())) == [0, 1, 2]
    torch.testing.assert_close(dc.centroids[dc.assignments], dc.bank.rows)
    assert torch.equal(dc.centroids[3:], torch.zeros(3, 16))
    index = torch.arange(6)
    loss = Scored.of(dc.loss(*dc.views(pictures()[index], Generator().manual_seed(0)), index=index)).terms["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in dc.parameters())


def test_fewer_clusters_leave_no_centroid_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    dc = method(clusters=4)
    assert float(dc.centroids[2:].abs().max()) > 0
    names, centroids = np.arange(40) % 2, 3 * np.eye(2, 16, dtype=np.float32)
    monkeypatch.setattr(deepcluster, "cluster_apart", lambda *_, **__: (names, centroids))
    dc.cluster()
    assert torch.equal(dc.centroids, torch.eye(4, 16) * torch.tensor([[1.0], [1.0], [0.0], [0.0]]))
    assert dc.assignments.tolist() == names.tolist()


def test_projections_that_are_all_alike_end_the_training_with_the_reason() -> None:
    dc = method()
    dc.bank.rows.fill_(0.25)
    with pytest.raises(RuntimeError, match=r"all 40 samples have the same features.*collapsed"):
        dc.cluster()


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_stopped_training_goes_on_with_the_same_bytes(stop: int, calls: list[Any]) -> None:
    """Of three epochs of two batches, with samples left over, in the middle of an epoch and right after one."""
    whole, first = Keeper(), Keeper()
    reference = method(20)
    training(reference, 9, observer=whole).run()
    features = [found for found, _ in calls]
    calls.clear()
    training(method(20), 9, observer=first).run(stop_after=stop)
    resumed, second = method(20), Keeper(first.content)
    training(resumed, 9, observer=second).run()
    assert [found.tobytes() for found, _ in calls] == [found.tobytes() for found in features]
    expected, found = reference.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert first.epochs + second.epochs == whole.epochs


def test_clusters_are_128_or_a_quarter_of_the_samples_by_default() -> None:
    found = {samples: method(samples, clusters=None).clusters for samples in (2, 9, 40, 512, 600)}
    assert found == {2: 2, 9: 2, 40: 10, 512: 128, 600: 128}


def test_faiss_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_models.clustering_apart.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="deepcluster clusters by faiss, which is not installed: pip install faiss"):
        method()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": 1}, "clusters is 1; 40 samples allow 2 to that many"),
        ({"clusters": 41}, "clusters is 41; 40 samples allow 2 to that many"),
        ({"iterations": 0}, "iterations is 0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": -2}, "projection is -2"),
        ({"solarise": 1.5}, r"solarise is 1\.5"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"hue": 0.7}, r"hue is 0\.7"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"deepcluster needs pictures of shape \(C, H, W\)"):
        DeepCluster(ResNet(depth=10, width=4), DataSpec(40, {"images": (16,)}))
