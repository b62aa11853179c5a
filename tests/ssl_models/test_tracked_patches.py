"""Tracked patches: what is cut out, the ranking loss, its negatives, and clips that do not count."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsParts
from ssl_models.methods.tracked_patches import TrackedPatches, drawn, hardest, other_clips
from tests.ssl_models.clips import COLOURS, FRAMES, SIDE, clips

torch.set_num_threads(1)

SHAPES = {"frames": (FRAMES, 3, SIDE, SIDE), "tracks": (2, FRAMES, 4)}
PLAIN = {"flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0, "jitter": 0.0}


def method(encoder: Encoder | None = None, **settings: Any) -> TrackedPatches:
    torch.manual_seed(0)
    settings = {"hidden": 32, "projection": 16} | settings
    return TrackedPatches(encoder or ResNet(depth=10, width=8), DataSpec(64, SHAPES), **settings)


def made(tracked: TrackedPatches, given: dict[str, Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    return tracked.views(given["frames"], given["tracks"], torch.Generator().manual_seed(seed))


class Constant(nn.Module):
    """A head that gives each patch the vector it is told."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def forward(self, features: Tensor) -> Tensor:
        return self.vectors + 0 * features.sum()


def test_patches_show_what_is_followed_and_nothing_around_it() -> None:
    given = clips(8)
    patches, counts, draws = made(method(**PLAIN), given)
    assert patches.shape == (16, 3, 32, 32)
    assert counts.all()
    assert draws.shape == (8, 4)
    colour = COLOURS[given["colour"]].repeat_interleave(2, dim=0)[:, :, None, None].float() / 255
    torch.testing.assert_close(patches[:, :, 2:-2, 2:-2], colour.expand(-1, -1, 28, 28))
    around, _, _ = made(method(**PLAIN, context=2.0), given)
    assert (around[:, :, 0, 0] - colour[:, :, 0, 0]).abs().amax(1).min() > 0.05


def test_each_patch_is_moved_and_coloured_by_itself() -> None:
    given = {name: part[:1].repeat(200, *[1] * (part.ndim - 1)) for name, part in clips(1).items()}
    patches, _, _ = made(method(**PLAIN | {"jitter": 0.3}), given)
    shown = (patches - COLOURS[0].view(3, 1, 1) / 255).abs().amax(1) < 0.02  # (2 B, 32, 32): the square
    share = shown.float().mean((1, 2))
    assert (share[::2] != share[1::2]).float().mean() > 0.9
    assert share.amin() > 0.4
    coloured, _, _ = made(method(**PLAIN | {"hue": 0.5}), given)
    first, second = coloured[::2].mean((2, 3)), coloured[1::2].mean((2, 3))
    assert ((first - second).abs().amax(1) > 0.02).float().mean() > 0.8


def test_a_clip_without_a_track_of_two_frames_does_not_count() -> None:
    given = clips(4)
    given["tracks"][0] = 0
    given["tracks"][1, 0, 1:] = 0
    given["tracks"][2, 0, 2:] = 0
    patches, counts, _ = made(method(), given)
    assert counts.tolist() == [False, False, True, True]
    assert patches.isfinite().all()
    assert torch.equal(other_clips(counts).nonzero(), torch.tensor([[2, 6], [2, 7], [3, 4], [3, 5]]))


@pytest.mark.parametrize("counting", [0, 1])
@pytest.mark.parametrize("objective", ["triplet", "margin"])
@pytest.mark.parametrize("done", [0.1, 0.9])
def test_a_batch_in_which_nothing_is_compared_costs_nothing(counting: int, objective: str, done: float) -> None:
    given = clips(4)
    given["tracks"][counting:] = 0
    tracked = method(objective=objective)
    tracked.after_step(None, done)
    terms = tracked.loss(*made(tracked, given), index=torch.arange(4)).terms
    loss = torch.stack([term for term in terms.values() if term.requires_grad]).sum()
    assert float(loss.detach()) == 0
    assert float(terms["accuracy"]) == 0
    loss.backward()
    assert all(one.grad is not None and not one.grad.any() for one in tracked.parameters())


def test_clips_that_do_not_count_change_nothing_for_others() -> None:
    given = clips(6)
    tracked = method(negatives=64).eval()
    patches, _, draws = made(tracked, given)
    some = torch.tensor([True, True, False, True, True, False])
    fewer = tracked.loss(patches, some, draws, index=torch.arange(6)).terms["accuracy"]
    own = tracked.loss(patches[some.repeat_interleave(2)], some[some], draws[some], index=torch.arange(4)).terms
    assert float(fewer) == float(own["accuracy"])
    changed = torch.where(some.repeat_interleave(2)[:, None, None, None], patches, 0.5)
    losses = [
        tracked.loss(shown, some, draws, index=torch.arange(6)).terms["loss"].detach() for shown in (patches, changed)
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("objective", ["triplet", "margin"])
@pytest.mark.parametrize("done", [0.2, 0.8])
def test_the_loss_is_that_of_a_plain_loop(objective: str, done: float) -> None:
    given = clips(6)
    given["tracks"][4] = 0
    tracked = method(objective=objective, margin=0.3, negatives=3, hard=2).eval()
    tracked.after_step(None, done)
    views = made(tracked, given)
    terms = tracked.loss(*views, index=torch.arange(6)).terms
    z = functional.normalize(tracked.head(tracked.encoder(views[0])), dim=1)
    ranked, pull, push, hits = [], [], [], []
    for clip in (0, 1, 2, 3, 5):
        others = [2 * other + time for other in (0, 1, 2, 3, 5) if other != clip for time in (0, 1)]
        own = 1 - z[2 * clip] @ z[2 * clip + 1]
        apart = torch.stack([1 - z[2 * clip] @ z[other] for other in others])
        chosen = apart.sort().values[:2] if done > 0.5 else apart[views[2][clip] % 8]
        ranked += [(own - far + 0.3).clamp(min=0) for far in chosen]
        pull.append(own**2 / 2)
        push += [(0.3 - far).clamp(min=0) ** 2 / 2 for far in chosen]
        hits.append(float(own < apart.min()))
    expected = {"triplet": {"loss": ranked}, "margin": {"similar": pull, "dissimilar": push}}[objective]
    for name, values in expected.items():
        torch.testing.assert_close(terms[name], torch.stack(values).mean(), rtol=1e-4, atol=1e-6)
    assert float(terms["accuracy"]) == pytest.approx(sum(hits) / 5)
    assert not terms["accuracy"].requires_grad


def test_values_by_hand() -> None:
    """Two clips in the plane: the other time at 60 degrees, the negatives at 90 and at 150."""
    degrees = torch.tensor([0.0, 60, 90, 150]).deg2rad()
    tracked = method(negatives=1, hard=1)
    tracked.head = Constant(torch.stack([degrees.cos(), degrees.sin()], 1))
    counts = torch.tensor([True, True])
    patches = torch.rand(4, 3, 32, 32)
    tracked.after_step(None, 0.75)
    found = tracked.loss(patches, counts, torch.zeros(2, 1).long(), index=torch.arange(2)).terms
    # Clip 0: own .5, nearest other 1. Clip 1, from 90 degrees: own .5, nearest other 1 - cos 30.
    assert float(found["loss"].detach()) == pytest.approx((0 + 0.5 + 0.5 - (1 - 3**0.5 / 2)) / 2, rel=1e-5)
    assert float(found["accuracy"]) == 0.5
    tracked.head = Constant(torch.ones(4, 2))
    for objective, chance in (("triplet", 0.5), ("margin", 0.125)):
        tracked.objective = objective
        terms = tracked.loss(patches, counts, torch.zeros(2, 1).long(), index=torch.arange(2)).terms
        total = sum(float(terms[name].detach()) for name in terms if name != "accuracy")
        assert total == pytest.approx(chance)
    assert method(margin=0.3).chance == 0.3
    assert method(margin=0.4, objective="margin").chance == pytest.approx(0.04)


def test_hard_negatives_are_the_nearest_and_random_ones_are_any() -> None:
    counts = torch.tensor([True, True, False, True])
    others = other_clips(counts)
    distances = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    chosen = hardest(distances, others, 2)
    for clip in (0, 1, 3):
        left = distances[clip][others[clip]].sort().values
        assert torch.equal(distances[clip, chosen[clip]], left[:2])
    assert hardest(distances, others, 99).shape == (4, 8)
    taken = drawn(others, torch.arange(400).expand(4, -1))
    for clip in (0, 1, 3):
        assert torch.equal(taken[clip].bincount(minlength=8), 100 * others[clip].int())


def test_the_second_half_is_hard_also_after_a_resume() -> None:
    given = clips(8)
    first, second, never = (method(**settings).eval() for settings in ({}, {}, {"hard": 0}))
    views = made(first, given)
    before = first.loss(*views, index=torch.arange(8)).terms["loss"]
    for tracked in (first, never):
        tracked.after_step(None, 0.6)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    hard, resumed, random = (one.loss(*views, index=torch.arange(8)).terms["loss"] for one in (first, second, never))
    assert float(hard.detach()) > float(before.detach())
    assert torch.equal(hard, resumed)
    assert torch.equal(random, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "softmax"}, "objective is 'softmax'; choose one of triplet, margin"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"margin": 2.5}, "margin is 2.5; 1 - cosine is at most 2"),
        ({"apart": 1.5}, "apart is 1.5"),
        ({"context": 0.0}, "context is 0.0"),
        ({"jitter": -0.1}, "jitter is -0.1"),
        ({"size": 0}, "size is 0"),
        ({"negatives": 0}, "negatives is 0"),
        ({"hard": -1}, "hard is -1"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": 0}, "projection is 0"),
        ({"strength": 2.0}, "colour strength is 2.0"),
        ({"hue": 0.7}, "hue is 0.7"),
        ({"flip": -1.0}, "flip is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_clips_of_one_frame_and_data_without_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="clips have one frame"):
        TrackedPatches(ResNet(depth=10, width=4), DataSpec(9, {"frames": (1, 3, 32, 32), "tracks": (1, 1, 4)}))
    with pytest.raises(NeedsParts, match="frames"):
        TrackedPatches(ResNet(depth=10, width=4), DataSpec(9, {"images": (3, 32, 32)}))
