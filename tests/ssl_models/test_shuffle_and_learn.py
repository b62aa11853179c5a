"""Shuffle and learn: three frames in order or not, either way round, and nothing but what moves tells."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsParts, NeedsSamples
from ssl_models.methods.shuffle_and_learn import EXAMPLES, ORDERS, ShuffleAndLearn
from ssl_models.trainer import Settings, Training
from tests.ssl_models.clips import clips

torch.set_num_threads(1)

ONE = {"examples": "one"}
PLAIN = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
"""Frames are shown as they are."""


def method(frames: int = 6, side: int = 32, **settings: Any) -> ShuffleAndLearn:
    torch.manual_seed(0)
    data = DataSpec(64, {"frames": (frames, 3, side, side)})
    return ShuffleAndLearn(ResNet(depth=10, width=8), data, **({"hidden": 64} | settings))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def numbered(batch: int, frames: int) -> Tensor:
    """Clips in which frame t has the grey 10 t everywhere."""
    grey = torch.arange(frames, dtype=torch.uint8) * 10
    return grey[None, :, None, None, None].expand(batch, frames, 3, 8, 8).contiguous()


def shown_times(shuffle: ShuffleAndLearn, frames: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(B, K) which frames are shown, and whether the order of each example is said to be right, of `numbered` clips."""
    pictures, right = shuffle.views(frames, seeded(seed))
    return (pictures.mean((1, 2, 3)) * 25.5).round().long().view(len(frames), -1), right


def in_order(times: Tensor) -> Tensor:
    """(N, 3) -> (N,): whether the middle one lies between the others."""
    first, middle, last = times.unbind(1)
    return (torch.minimum(first, last) < middle) & (middle < torch.maximum(first, last))


def test_of_five_frames_the_six_examples_of_the_paper_are_shown() -> None:
    times, right = shown_times(method(5, **PLAIN, **ONE, positives=0.25), numbered(24_000, 5))
    counts = Counter(zip(map(tuple, times.tolist()), right.tolist(), strict=True))
    expected = {((1, 2, 3), 1): 3000, ((3, 2, 1), 1): 3000} | {
        (order, 0): 4500 for order in ((1, 0, 3), (3, 0, 1), (1, 4, 3), (3, 4, 1))
    }
    assert counts.keys() == expected.keys()
    assert all(counts[example] == pytest.approx(number, rel=0.06) for example, number in expected.items())


def test_all_six_are_of_the_same_five_frames() -> None:
    times, right = shown_times(method(12, **PLAIN), numbered(500, 12))
    assert times.shape == (500, 5)
    assert (times.diff(dim=1) > 0).all()
    assert set(times.flatten().tolist()) == set(range(12))
    assert right.tolist() == 500 * [1, 1, 0, 0, 0, 0]
    assert len(set(ORDERS)) == 6
    assert [bool(told) for told in in_order(torch.tensor(ORDERS))] == [True, True, False, False, False, False]


def test_an_order_is_right_where_the_middle_frame_lies_between_the_others() -> None:
    times, right = shown_times(method(12, **PLAIN, **ONE), numbered(3000, 12))
    assert torch.equal(in_order(times).long(), right)
    assert all(len(set(row)) == 3 for row in times.tolist())
    assert set(times.flatten().tolist()) == set(range(12))
    assert float(right.float().mean()) == pytest.approx(0.5, abs=0.04)


def test_time_backwards_keeps_the_answer() -> None:
    """A clip that runs backwards has the same examples with the same answers."""
    shuffle, frames = method(5, **PLAIN, **ONE), numbered(2000, 5)
    (there, right), (back, answer) = shown_times(shuffle, frames), shown_times(shuffle, frames.flip(1))
    assert torch.equal(back, 4 - there)
    assert torch.equal(answer, right)
    known = dict(zip(map(tuple, there.tolist()), right.tolist(), strict=True))
    assert all(known[tuple(order)] == told for order, told in zip(back.tolist(), answer.tolist(), strict=True))
    forwards = there[:, 0] < there[:, 2]
    for told in (0, 1):
        assert float(forwards[right == told].float().mean()) == pytest.approx(0.5, abs=0.05), "the direction tells"


def test_a_clip_backwards_costs_the_same() -> None:
    """All six examples stay the same ones, so that the loss does, too."""
    shuffle, frames = method(5, **PLAIN).eval(), clips(20)["frames"][:, :5]
    there, back = (
        shuffle.loss(*shuffle.views(given, seeded()), index=torch.arange(20)) for given in (frames, frames.flip(1))
    )
    torch.testing.assert_close(there, back)


def test_the_frames_of_an_example_are_cropped_flipped_and_coloured_alike() -> None:
    picture = torch.randint(0, 256, (40, 1, 3, 32, 32), dtype=torch.uint8, generator=seeded(1))
    shown = method().views(picture.repeat(1, 6, 1, 1, 1), seeded())[0].view(40, 5, 3, 32, 32)
    torch.testing.assert_close(shown, shown[:, :1].expand_as(shown))
    same = method().views(picture[:1].repeat(40, 6, 1, 1, 1), seeded())[0].view(40, 5, 3, 32, 32)
    assert len({round(float(example.std()), 5) for example in same}) == 40, "each example by itself"
    flipped = method(**PLAIN | {"flip": 1.0}).views(picture.repeat(1, 6, 1, 1, 1), seeded())[0]
    torch.testing.assert_close(flipped[::5], picture[:, 0].flip(3) / 255)


def test_frames_are_chosen_where_much_moves() -> None:
    """Light that changes between frames 4 and 9 of 14 only; frames 3 and 10 stand still."""
    light = torch.tensor([0, 0, 0, 0, 0, 40, 80, 120, 160, 200, 200, 200, 200, 200], dtype=torch.uint8)
    frames = light[None, :, None, None, None].expand(600, 14, 3, 8, 8)
    moving = method(14, motion=1.0, **PLAIN).views(frames, seeded())[0].mean((1, 2, 3)).view(600, 5)
    assert float((moving.sort(1).values.diff(dim=1) > 0.1).all(1).float().mean()) > 0.99
    even = method(14, motion=0.0, **PLAIN).views(frames, seeded())[0].mean((1, 2, 3)).view(600, 5)
    assert float((even.sort(1).values.diff(dim=1) > 0.1).all(1).float().mean()) < 0.5


class Told(torch.nn.Module):
    """A head that gives the logits it is told."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, features: Tensor) -> Tensor:  # noqa: ARG002
        return self.logits[:, None]


def test_the_loss_by_hand() -> None:
    shuffle = method(**ONE)
    shuffle.head = Told(torch.tensor([math.log(3), -math.log(3), math.log(4), 0.0]))
    terms = shuffle.loss(torch.zeros(12, 3, 32, 32), torch.tensor([1, 0, 0, 1]), index=torch.arange(4))
    expected = -(math.log(3 / 4) + math.log(3 / 4) + math.log(1 / 5) + math.log(1 / 2)) / 4
    assert float(terms["loss"]) == pytest.approx(expected)
    assert float(terms["accuracy"]) == 0.5
    assert not terms["accuracy"].requires_grad


def test_the_loss_of_all_six_by_hand() -> None:
    """Of a clip both right ones are told with 3/4, and of the four wrong ones three with 4/5; the last has 1/2."""
    shuffle = method(positives=0.25)
    shuffle.head = Told(torch.tensor([math.log(3)] * 2 + [-math.log(4)] * 3 + [1e-9]))
    right = torch.tensor([1, 1, 0, 0, 0, 0])
    terms = shuffle.loss(torch.zeros(5, 3, 32, 32), right, index=torch.arange(1))
    expected = -0.25 * math.log(3 / 4) - 0.75 * (3 * math.log(4 / 5) + math.log(1 / 2)) / 4
    assert float(terms["loss"]) == pytest.approx(expected)
    assert float(terms["accuracy"]) == pytest.approx(0.25 + 0.75 * 3 / 4)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_the_loss_is_of_one_logit_from_the_vectors_of_three_frames(examples: str) -> None:
    shuffle = method(examples=examples, positives=0.4).eval()
    frames, right = shuffle.views(clips(6)["frames"], seeded())
    found = shuffle.loss(frames, right, index=torch.arange(6))["loss"]
    each, costs = len(frames) // 6, {0: [], 1: []}
    for clip in range(6):
        vectors = shuffle.encoder(frames[clip * each : (clip + 1) * each])
        orders = ORDERS if examples == "all" else [(0, 1, 2)]
        answers = right[clip * len(orders) : (clip + 1) * len(orders)].tolist()
        for (a, b, c), answer in zip(orders, answers, strict=True):
            assert answer == (b == 2) or examples == "one"
            logit = shuffle.head.layers(torch.cat([vectors[a], vectors[b], vectors[c]])[None])[0, 0]
            costs[answer].append(-functional.logsigmoid(logit if answer else -logit))
    wrong, told = (torch.stack(costs[answer]) for answer in (0, 1))
    expected = 0.6 * wrong.mean() + 0.4 * told.mean() if examples == "all" else torch.cat([wrong, told]).mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("positives", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("examples", EXAMPLES)
def test_who_says_how_many_are_right_pays_chance(positives: float, examples: str) -> None:
    shuffle, one = method(positives=positives, examples=examples), examples == "one"
    shuffle.head = Told(torch.full((20 if one else 120,), math.log(positives / (1 - positives))))
    right = torch.arange(20) < 20 * positives if one else torch.tensor([1, 1, 0, 0, 0, 0]).repeat(20)
    frames = torch.zeros(60 if one else 100, 3, 32, 32)
    loss = shuffle.loss(frames, right.long(), index=torch.arange(20))["loss"]
    assert float(loss) == pytest.approx(shuffle.chance, rel=1e-5)
    assert shuffle.chance == pytest.approx({0.25: 0.5623, 0.5: math.log(2), 0.8: 0.5004}[positives], abs=1e-4)


def trained(frames: Tensor, epochs: int) -> ShuffleAndLearn:
    shuffle = method()
    settings = Settings(epochs=epochs, batch_size=32, optimizer="adamw", learning_rate=0.1)
    Training(shuffle, [frames], settings, seed=0).run()
    return shuffle.eval()


@torch.no_grad()
def held_out(shuffle: ShuffleAndLearn, frames: Tensor) -> tuple[float, float]:
    """Loss and accuracy of other clips."""
    terms = shuffle.loss(*shuffle.views(frames, seeded(9)), index=torch.arange(len(frames)))
    return float(terms["loss"]), float(terms["accuracy"])


def test_in_seconds_it_tells_the_order_of_new_clips() -> None:
    before = held_out(method().eval(), clips(512, seed=2)["frames"])
    loss, accuracy = held_out(trained(clips(512)["frames"], 6), clips(512, seed=2)["frames"])
    assert loss < 0.7 * math.log(2), (loss, accuracy)
    assert accuracy > 0.75, (loss, accuracy)
    assert before[1] == pytest.approx(0.5, abs=0.07)


def test_a_background_alone_does_not_tell() -> None:
    """Without what moves, before a camera that stands still: equal frames, which stay at chance."""
    coarse = torch.rand(768, 3, 5, 5, generator=seeded(3))
    still = (functional.interpolate(coarse, size=(32, 32), mode="bilinear") * 255).to(torch.uint8)
    frames = still[:, None].repeat(1, 6, 1, 1, 1)
    shuffle = trained(frames[:256], 4)
    shown = shuffle.views(frames, seeded())[0].view(768, 5, 3, 32, 32)
    torch.testing.assert_close(shown, shown[:, :1].expand_as(shown))
    loss, accuracy = held_out(shuffle, frames[256:])
    assert loss > math.log(2) - 0.02
    assert accuracy == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": "two"}, "examples is 'two'; choose one of all, one"),
        ({"positives": 0.0}, "positives is 0.0; it must lie between 0 and 1: both orders"),
        ({"positives": 1.0}, "positives is 1.0"),
        ({"motion": 1.5}, "motion is 1.5"),
        ({"hidden": 0}, "hidden is 0"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 2.0}, "flip is 2.0"),
        ({"strength": 2.0}, "colour strength is 2.0"),
        ({"hue": 0.7}, "hue is 0.7"),
        ({"grey": 1.1}, "grey is 1.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_clips_of_fewer_than_five_frames_are_refused() -> None:
    with pytest.raises(
        NeedsSamples, match="draws 5 frames of a clip, and these clips have 4; raise the reader's setting `frames`"
    ):
        method(4)
    assert method(5).views(numbered(3, 5), seeded())[0].shape == (15, 3, 8, 8)


def test_pictures_are_refused() -> None:
    with pytest.raises(NeedsParts, match="it reads frames, and these samples have images"):
        ShuffleAndLearn(ResNet(depth=10, width=8), DataSpec(8, {"images": (3, 32, 32)}))
