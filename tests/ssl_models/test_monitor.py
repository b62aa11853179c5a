"""What is measured while a training runs: right by hand, on any kind of data, and without a trace in the training."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ssl_models.chunks import as_written
from ssl_models.data import DataSpec
from ssl_models.dimensions import deviation, rankme
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class
from ssl_models.monitor import BUDGET, Monitor, drawn, evaluating, operations, operations_beside, probe
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper, images

CPU = torch.device("cpu")
LABELS = np.arange(48) % 4


def monitor(labels=LABELS):
    return Monitor({"images": images().numpy()}, labels, seed=1)


def trained(name, watched=None, keeper=None, stop=None, **more):
    """The state that a training ends in."""
    torch.manual_seed(3)
    data = DataSpec(48, {"images": (3, 32, 32)}, torch.from_numpy(LABELS), 4, torch.zeros(48, 4))
    encoder = build_encoder("resnet", depth=10, width=4)
    method = method_class(name)(encoder, data, **({"negatives": 8} if name == "pirl" else {}))
    settings = Settings(**{"epochs": 2, "batch_size": 16, "warmup_epochs": 0.5} | more.pop("settings", {}))
    run = Training(method, images(), settings, seed=5, checkpoint_steps=1, observer=keeper, monitor=watched, **more)
    run.run(stop)
    return {key: value.clone() for key, value in method.state_dict().items()}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_rankme_by_hand():
    assert rankme(np.eye(5)) == pytest.approx(5)
    assert rankme(np.ones((7, 3))) == pytest.approx(1)
    assert rankme(np.zeros((7, 3))) == 1
    three_to_one = np.array([[3.0, 0], [0, 1]])  # shares 3/4 and 1/4
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert rankme(three_to_one) == pytest.approx(expected)


def test_rankme_is_that_of_the_equation_whatever_the_scale_and_the_longer_side():
    vectors = np.random.default_rng(0).normal(size=(40, 12))
    share = np.linalg.svd(vectors, compute_uv=False)
    share /= share.sum()
    expected = math.exp(-(share * np.log(share)).sum())
    for same in (vectors, vectors.T, 1000 * vectors):
        assert rankme(same) == pytest.approx(expected, rel=1e-9)


def test_deviation_is_0_for_one_direction_and_1_for_all():
    axes = np.concatenate([np.eye(6), -np.eye(6)])  # each number: mean 0, variance 2 / 12 = 1 / D
    assert deviation(axes) == pytest.approx(1)
    assert deviation(axes * np.arange(1, 13)[:, None]) == pytest.approx(1)  # lengths do not count
    assert deviation(np.ones((9, 4)) * np.arange(1, 10)[:, None]) == pytest.approx(0, abs=1e-12)
    assert deviation(np.zeros((9, 4))) == 0
    assert deviation(np.eye(2)) == pytest.approx(math.sqrt(2) / 2)  # deviations 1/2


def test_the_probe_is_ridge_regression_on_each_half():
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (60,), generator=draws)
    vectors = (torch.randn(60, 8, generator=draws) + functional.one_hot(labels, 8)).double() * 5 + 2
    right = 0
    for fitted, measured in ((slice(0, 30), slice(30, 60)), (slice(30, 60), slice(0, 30))):
        x, t = vectors[fitted].numpy(), np.eye(3)[labels[fitted].numpy()]
        mean, spread = x.mean(0), x.std(0)
        x = (x - mean) / spread
        weights = np.linalg.inv(x.T @ x + 8 * np.eye(8)) @ x.T @ (t - t.mean(0))
        answers = (vectors[measured].numpy() - mean) / spread @ weights + t.mean(0)
        right += (answers.argmax(1) == labels[measured].numpy()).sum()
    assert 0.4 < right / 60 < 1
    assert probe(vectors, labels) == right / 60


def test_the_probe_of_an_oracle_is_1_and_of_equal_vectors_the_share_of_the_usual_class():
    labels = torch.tensor([0, 1, 1, 2, 1] * 12)
    assert probe(functional.one_hot(labels).double(), labels) == 1
    assert probe(torch.ones(60, 5).double(), labels) == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("count", "size"), [(3, 2), (48, 24), (256, 128), (2000, 256), (8192, 512), (50_000, 1024), (10**6, 1024)]
)
def test_a_piece_is_drawn_by_its_seed_alone(count, size):
    piece = drawn(count, 7)
    assert len(piece) == len(set(piece.tolist())) == size
    assert 0 <= piece.min() <= piece.max() < count
    assert np.array_equal(piece, drawn(count, 7))
    assert count == 3 or not np.array_equal(piece, drawn(count, 8))


def test_the_halves_of_a_piece_mix_the_data_however_they_are_sorted():
    piece = drawn(8192, 0)
    assert abs((piece[:256] < 4096).mean() - 0.5) < 0.15


def due(watched, encoder, epochs, trained_on):
    return [epoch for epoch in range(1, epochs + 1) if watched.due(encoder, epoch, epochs, trained_on)]


def test_small_sets_are_measured_after_every_nth_epoch_and_the_last_and_short_trainings_not_at_all(monkeypatch):
    encoder, watched, number = build_encoder("resnet", depth=10, width=4), monitor(), 3 * 32 * 32
    monkeypatch.setattr(watched, "cost", lambda _: 24 * number)
    # A view of 48 samples an epoch, thrice each: 3 % are 4.32 samples an epoch; a measurement takes 24, the first 48.
    assert due(watched, encoder, 11, 48 * number) == []  # 47.52
    assert due(watched, encoder, 12, 48 * number) == [12]  # 51.84
    assert due(watched, encoder, 17, 48 * number) == [8, 17]  # 73.44: two, and the first again
    assert due(watched, encoder, 8, 4 * 48 * number) == [2, 4, 6, 8]  # 138.24: four, and the first again
    assert due(watched, encoder, 8, 16 * 24 * number) == [*range(1, 9)]


@pytest.mark.parametrize("views", [1, 2, 4])
@pytest.mark.parametrize("count", [48, 192, 512, 2048, 8192])
@pytest.mark.parametrize("epochs", [1, 3, 8, 50])
def test_no_training_is_measured_for_more_than_the_budget(count, epochs, views):
    encoder, number = build_encoder("resnet", depth=10, width=4), 3 * 32 * 32
    stored = np.broadcast_to(np.zeros((1, 3, 32, 32), np.uint8), (count, 3, 32, 32))
    watched, trained_on = Monitor({"images": stored}, np.arange(count) % 4, seed=1), views * count * number
    found = due(watched, encoder, epochs, trained_on)
    taken = (len(found) + 1) * watched.cost(encoder)
    assert not found or taken <= BUDGET * 3 * epochs * trained_on
    assert not found or found[-1] == epochs
    assert found or 2 * watched.cost(encoder) > BUDGET * 3 * epochs * trained_on
    assert watched.cost(encoder) > len(watched.labels) * number


def test_operations_are_those_of_the_layers_of_the_encoder_or_two_a_weight():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 5, 3, bias=False), nn.Linear(5 * 4, 7, bias=False)

        def forward(self, pictures):
            return self.second(self.first(pictures).flatten(1))

    pictures = np.zeros((1, 3, 4, 4), np.uint8)
    assert operations(Plain(), [pictures]) == 2 * (3 * 5 * 9) * 4 + 2 * 20 * 7
    words = np.ones((1, 6), np.int32)
    assert operations(build_encoder("bag", vocabulary=20, width=5), [words]) >= 2 * 20 * 5


def test_what_is_computed_beside_the_forward_pass_counts_too():
    ranks = 2 * (2 * 100 * 30 * 30 + 9 * 30**3)
    assert operations_beside(100, 30, False) == ranks
    assert operations_beside(100, 30, True) == pytest.approx(ranks + 4 * (4 * 50**2 * 30 + 2 / 3 * 50**3))
    assert operations_beside(30, 100, False) == ranks  # the smaller of the two Gram matrices


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("rotation", {}),
        ("simclr", {"chunk": 8}),
        ("moco", {"precision": "bf16"}),
        ("pirl", {"channels_last": False}),
        ("denoising_autoencoder", {}),
    ],
)
def test_a_training_that_is_watched_ends_in_the_same_bytes(name, more, monkeypatch):
    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    keeper = Keeper()
    alone, watched = trained(name, **more), trained(name, monitor(), keeper, **more)
    assert [{"probe_top1", "rankme", "deviation"} <= set(values) for _, values in keeper.epochs] == [True, True]
    assert all(torch.equal(value, watched[key]) for key, value in alone.items())


@pytest.mark.parametrize("stop", [2, 21, 28])
def test_a_training_that_is_resumed_measures_the_same(stop):
    whole, first = Keeper(), Keeper()

    def train(*how):
        trained("simclr", monitor(), *how, settings={"epochs": 14})

    train(whole)
    train(first, stop)
    second = Keeper(first.content)
    train(second)
    assert first.epochs + second.epochs == whole.epochs
    measured = [("rankme" in values) for _, values in whole.epochs]
    assert measured[-1]
    assert 2 <= sum(measured) < 14


def test_an_encoder_is_measured_as_it_is_written_in_evaluation_mode_and_left_as_it_was():
    encoder = build_encoder("resnet", depth=10, width=4)
    encoder.train()
    encoder.res5.eval()  # frozen by its method
    modes = {name: part.training for name, part in encoder.named_modules()}
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    replaced = encoder.layers

    def compiled(*given):  # noqa: ARG001
        raise AssertionError("it would be compiled again, for another batch")

    vars(encoder)["layers"] = compiled
    state = torch.get_rng_state()
    found = monitor().measure(encoder, CPU, "float32", 256)
    assert vars(encoder)["layers"] is compiled
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: part.training for name, part in encoder.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    vars(encoder)["layers"] = replaced
    encoder.eval()
    piece = drawn(48, 1)
    with torch.no_grad():
        vectors = encoder(images()[piece].float() / 255).double()
    assert found["rankme"] == pytest.approx(rankme(vectors.numpy()), rel=1e-5)
    assert found["deviation"] == pytest.approx(deviation(vectors.numpy()), rel=1e-5)
    assert found["probe_top1"] == probe(vectors, torch.from_numpy(LABELS[piece]))
    assert monitor().rank(encoder) == 24  # samples, of which there are fewer than numbers


def test_modes_and_functions_come_back_after_an_error_too():
    encoder = build_encoder("resnet", depth=10, width=4).train()
    vars(encoder)["layers"] = own = encoder.layers
    seen = []

    def fails():
        with as_written(encoder), evaluating(encoder):
            seen.extend((encoder.training, "layers" in vars(encoder)))
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert seen == [False, False]
    assert all(part.training for part in encoder.modules())
    assert vars(encoder)["layers"] is own


def test_without_labels_there_is_no_probe():
    found = monitor(None).measure(build_encoder("resnet", depth=10, width=4), CPU, "float32", 8)
    assert set(found) == {"rankme", "deviation"}


def test_vectors_that_are_no_numbers_are_not_measured():
    encoder = build_encoder("resnet", depth=10, width=4)
    nn.init.constant_(encoder.conv1[0].weight, math.nan)
    assert monitor().measure(encoder, CPU, "float32", 8) == {}


def test_it_can_be_turned_off():
    keeper = Keeper()
    trained("rotation", monitor(), keeper, settings={"monitor": False})
    assert not any("rankme" in values for _, values in keeper.epochs)


def test_clips_sound_and_words_are_measured_too():
    draws = np.random.default_rng(0)
    clips = {"frames": draws.integers(0, 256, (12, 3, 3, 32, 32), dtype=np.uint8)}
    sound = {
        "sound": draws.integers(-9000, 9000, (12, 3200), dtype=np.int16),
        "length": np.full((12, 1), 3200, np.int32),
    }
    words = {"tokens": draws.integers(1, 20, (12, 8), dtype=np.int32)}
    encoders = [
        (clips, build_encoder("resnet", depth=10, width=4)),
        (sound, build_encoder("speech", width=8, hidden=8)),
        (words, build_encoder("bag", vocabulary=20, width=5)),
    ]
    for samples, encoder in encoders:
        found = Monitor(samples, np.arange(12) % 2, seed=0).measure(encoder, CPU, "float32", 4)
        assert 1 <= found["rankme"] <= 6
        assert 0 < found["deviation"] <= 1
        assert 0 <= found["probe_top1"] <= 1
