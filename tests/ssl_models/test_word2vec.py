"""word2vec: losses by hand and by a naive loop, windows, subsampling, noise, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.bag import Bag
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import DoesNotApply
from ssl_models.losses import negative_sampling
from ssl_models.method import Method
from ssl_models.methods.word2vec import Word2Vec
from ssl_models.trainer import Settings, Training
from ssl_models.views import word_windows

torch.set_num_threads(1)
COUNTS = [0, 50, 30, 20, 10, 5, 1]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def method(counts: list[int] = COUNTS, width: int = 8, **settings: Any) -> Word2Vec:
    torch.manual_seed(0)
    spec = DataSpec(64, {"tokens": (12,)}, known={"counts": counts})
    return Word2Vec(Bag.from_data(spec, width=width), spec, **settings)


def filled(**settings: Any) -> Word2Vec:
    """Both tables at random, so that no product is zero."""
    found = method(**settings)
    with torch.no_grad():
        for table in (found.encoder.table, found.predicted):
            table.weight.normal_(generator=seeded(1))
            table.weight[0] = 0
    return found


def texts(rows: int = 16, length: int = 12, seed: int = 0) -> Tensor:
    ids = torch.randint(1, len(COUNTS), (rows, length), generator=seeded(seed), dtype=torch.int32)
    ends = torch.randint(0, length + 1, (rows, 1), generator=seeded(seed + 1))
    return ids * (torch.arange(length) < ends)


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def naive(found: Word2Vec, ids: Tensor, paired: Tensor, noise: Tensor) -> float:
    """Equation 4 of the paper, pair after pair, with the draws of `views`."""
    inner, outer = found.encoder.vectors.tolist(), found.predicted.weight.tolist()
    window, total, count = paired.shape[2] // 2, 0.0, 0
    offsets = [*range(-window, 0), *range(1, window + 1)]
    share = found.negatives / noise.shape[1]

    def product(left: list[float], right: list[float]) -> float:
        return sum(a * b for a, b in zip(left, right, strict=True))

    def against(vector: list[float], row: int) -> float:
        return share * sum(log_sigmoid(-product(vector, outer[word])) for word in noise[row].tolist())

    for row, line in enumerate(ids.tolist()):
        for place, word in enumerate(line):
            around = [line[place + o] for slot, o in enumerate(offsets) if paired[row, place, slot]]
            if found.objective == "skip_gram":
                for other in around:
                    total -= log_sigmoid(product(inner[word], outer[other])) + against(inner[word], row)
                    count += 1
            elif around:
                mean = [sum(inner[other][d] for other in around) / len(around) for d in range(len(inner[0]))]
                total -= log_sigmoid(product(mean, outer[word])) + against(mean, row)
                count += 1
    return total / count


@pytest.mark.parametrize("objective", ["skip_gram", "cbow"])
def test_the_loss_is_the_papers_pair_after_pair(objective: str) -> None:
    found = filled(objective=objective, window=3, negatives=4, shared=5, subsample=0.2)
    ids, paired, noise = found.views(texts(), seeded())
    (loss,) = found.loss(ids, paired, noise, index=torch.arange(16)).values()
    assert loss.item() == pytest.approx(naive(found, ids, paired, noise), rel=1e-5)


def test_three_words_by_hand() -> None:
    """The text "1 2", each in the window of the other, one word of noise, 3, with K = 2."""
    inner, outer = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[[0.5, 0.0], [3.0, 1.0]]])
    paired = torch.tensor([[[False, True], [True, False]]])
    noise = torch.tensor([[[1.0, 1.0]]])
    # 1 -> 2: product 3, noise 1; 2 -> 1: product 0, noise 2.
    expected = -(log_sigmoid(3) + 2 * log_sigmoid(-1) + log_sigmoid(0) + 2 * log_sigmoid(-2)) / 2
    assert float(negative_sampling.skip_gram(inner, outer, paired, noise, 2)) == pytest.approx(expected)
    # CBOW: 1 is told from 2: (0, 2) . (.5, 0) = 0, noise 2; 2 from 1: (1, 0) . (3, 1) = 3, noise 1. The same products.
    assert float(negative_sampling.cbow(inner, outer, paired, noise, 2)) == pytest.approx(expected)


@pytest.mark.parametrize("objective", ["skip_gram", "cbow"])
def test_the_first_loss_is_that_of_chance(objective: str) -> None:
    found = method(objective=objective, negatives=7)
    (loss,) = found.loss(*found.views(texts(), seeded()), index=torch.arange(16)).values()
    assert loss.item() == pytest.approx(8 * math.log(2), rel=1e-6) == found.chance


def test_views_are_a_naive_loop_over_the_same_draws() -> None:
    """Words are dropped first, then windows are laid over what remains, row after row."""
    found, rows = method(window=3, subsample=0.05), texts(rows=32)
    ids, paired, _ = found.views(rows, seeded(3))
    again = seeded(3)
    kept = (torch.rand(rows.shape, generator=again) < found.keep[rows.long()]).tolist()
    lines = [[w for w, k in zip(*row, strict=True) if k] for row in zip(rows.tolist(), kept, strict=True)]
    assert 0 < sum(map(len, lines)) < int((rows != 0).sum())
    sizes = word_windows.window_sizes(ids, 3, again).tolist()
    for row, line in enumerate(lines):
        assert ids[row].tolist() == line + [0] * (ids.shape[1] - len(line))
        for place in range(ids.shape[1]):
            expected = {
                other - place
                for other in range(len(line))
                if place < len(line) and 0 < abs(other - place) <= sizes[row][place]
            }
            slots = paired[row, place].nonzero().flatten().tolist()
            assert {(-3, -2, -1, 1, 2, 3)[slot] for slot in slots} == expected


def test_windows_do_not_cross_rows() -> None:
    """The loss of a batch is that of its rows, each alone, weighted by their pairs."""
    rows = torch.tensor([[1] * 6, [2] * 6, [3] * 6], dtype=torch.int32)
    found = filled(subsample=0.0, window=5)
    ids, paired, noise = found.views(rows, seeded())
    assert paired.any(2).all()
    whole = found.loss(ids, paired, noise, index=torch.arange(3))["loss"]
    alone = [found.loss(ids[r : r + 1], paired[r : r + 1], noise[r : r + 1], index=torch.arange(1)) for r in range(3)]
    pairs = paired.sum((1, 2))
    expected = sum(float(one["loss"].detach()) * int(n) for one, n in zip(alone, pairs, strict=True)) / int(pairs.sum())
    assert whole.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["skip_gram", "cbow"])
def test_a_vocabulary_of_one_word_has_a_finite_loss_and_gradient(objective: str) -> None:
    """Every word of noise is then the true one."""
    found = method(counts=[0, 9], objective=objective, subsample=0.0)
    rows = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.int32)
    ids, paired, noise = found.views(rows, seeded())
    assert noise.unique().tolist() == [1]
    loss = found.loss(ids, paired, noise, index=torch.arange(2))["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(6 * math.log(2), rel=1e-6)
    gradient = found.predicted.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient[1].any()
    assert not gradient[0].any()


def test_padding_changes_nothing() -> None:
    found = filled(subsample=0.0)
    ids, paired, noise = found.views(texts(), seeded())
    more = torch.nn.functional.pad(ids, (0, 5))
    wider = torch.zeros(len(ids), more.shape[1], paired.shape[2], dtype=torch.bool)
    wider[:, : paired.shape[1]] = paired
    losses = [
        found.loss(*views, index=torch.arange(16))["loss"] for views in ((ids, paired, noise), (more, wider, noise))
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)


@pytest.mark.parametrize("objective", ["skip_gram", "cbow"])
@pytest.mark.parametrize("rows", [torch.zeros(4, 12, dtype=torch.int32), torch.eye(4, 12, dtype=torch.int32)])
def test_a_batch_without_a_pair_costs_nothing_and_has_a_gradient(objective: str, rows: Tensor) -> None:
    found = filled(objective=objective, subsample=0.0)
    (loss,) = found.loss(*found.views(rows, seeded()), index=torch.arange(4)).values()
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss) == 0
    assert found.encoder.table.weight.grad is not None
    assert found.encoder.table.weight.grad.isfinite().all()


class Kept:
    """An observer that keeps the last checkpoint."""

    def __init__(self) -> None:
        self.checkpoint: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        return self.checkpoint

    def discard(self, reason: str) -> None:
        raise AssertionError(reason)

    def epoch(self, step: int, values: dict[str, float]) -> None: ...

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        self.checkpoint = checkpoint

    def progress(self, *_: Any) -> None: ...


def trained(found: Method, rows: Tensor, epochs: int, rate: float = 0.02, **stop: Any) -> Training:
    settings = Settings(
        epochs=epochs, batch_size=16, optimizer="adamw", learning_rate=16 * rate, weight_decay=0.0, warmup_epochs=0
    )
    training = Training(found, rows, settings, seed=0, observer=stop.pop("observer", None), checkpoint_steps=3)
    training.run(**stop)
    return training


def test_a_training_that_is_resumed_ends_in_the_same_bytes() -> None:
    whole, halves, observer = method(), method(), Kept()
    trained(whole, texts(64), 3)
    trained(halves, texts(64), 3, observer=observer, stop_after=6)
    again = method()
    trained(again, texts(64), 3, observer=observer)
    assert torch.equal(whole.encoder.vectors, again.encoder.vectors)
    assert torch.equal(whole.predicted.weight, again.predicted.weight)


@pytest.mark.parametrize("objective", ["skip_gram", "cbow"])
def test_words_of_the_same_contexts_come_to_lie_together(objective: str) -> None:
    """Two families of ten words; a text has words of one. An untrained table does not know them."""
    family = torch.arange(256) % 2
    rows = torch.randint(1, 11, (256, 12), generator=seeded(), dtype=torch.int32) + 10 * family[:, None].int()
    counts = torch.bincount(rows.flatten(), minlength=21).tolist()
    settings = {"counts": counts, "width": 16, "objective": objective, "subsample": 0.0}

    def apart(found: Word2Vec) -> float:
        vectors = torch.nn.functional.normalize(found.encoder.vectors.detach()[1:])
        cosine = vectors @ vectors.T
        own = (torch.arange(20) // 10)[:, None] == torch.arange(20) // 10
        return float(cosine[own & ~torch.eye(20, dtype=torch.bool)].mean() - cosine[~own].mean())

    found = method(**settings)
    assert abs(apart(found)) < 0.1
    training = trained(found, rows, 6, rate=0.1)
    assert apart(found) > 0.8
    (loss,) = found.loss(*found.views(rows, seeded(9)), index=torch.arange(256)).values()
    assert found.chance is not None
    assert float(loss) < 0.9 * found.chance
    assert training.step == training.steps


def test_settings_that_cannot_be_are_refused() -> None:
    for settings in ({"window": 0}, {"negatives": 0}, {"shared": 0}, {"objective": "glove"}, {"subsample": 1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            method(**settings)
    with pytest.raises(ValueError, match="one above 0"):
        method(counts=[0, 0, 0])
    spec = DataSpec(64, {"tokens": (12,)}, known={"counts": COUNTS})
    with pytest.raises(ValueError, match="counts of 7 words"):
        Word2Vec(Bag(vocabulary=9), spec)
    with pytest.raises(DoesNotApply, match="the encoder 'resnet' has none"):
        Word2Vec(ResNet(depth=10, width=4), spec)
