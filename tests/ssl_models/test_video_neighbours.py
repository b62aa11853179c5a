"""Video neighbours: frames of a clip, close in time, find each other among frames of other videos."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsParts, NeedsSamples
from ssl_models.methods.video_neighbours import VideoNeighbours
from ssl_models.modalities.inputs import inputs
from ssl_models.trainer import Settings, Training
from tests.ssl_models.clips import clips

torch.set_num_threads(1)

PLAIN = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
"""Frames are shown as they are."""


def method(frames_there: int = 6, norm: str = "batch", **settings: Any) -> VideoNeighbours:
    torch.manual_seed(0)
    data = DataSpec(64, {"frames": (frames_there, 3, 32, 32), "source": (1,)})
    return VideoNeighbours(ResNet(depth=10, width=8, norm=norm), data, **({"hidden": 32, "projection": 16} | settings))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def sources(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32)[:, None]


def numbered(batch: int, frames: int) -> Tensor:
    """Clips in which frame t of clip b has the grey 10 t in two channels, and b in the third."""
    grey = (torch.arange(frames, dtype=torch.uint8) * 10)[None, :, None, None, None].repeat(batch, 1, 3, 8, 8)
    grey[:, :, 2] = torch.arange(batch, dtype=torch.uint8)[:, None, None, None]
    return grey


@pytest.mark.parametrize(("count", "distance"), [(2, 4), (2, 1), (4, 4), (3, 11)])
def test_frames_of_a_clip_lie_next_to_each_other_and_close_in_time(count: int, distance: int) -> None:
    neighbours = method(12, frames=count, distance=distance, **PLAIN)
    shown, source = neighbours.views(numbered(200, 12), sources(*range(3, 203)), seeded())
    values = (shown.mean((2, 3)) * 255).round().long().view(200, count, 3)
    assert torch.equal(values[:, :, 2], torch.arange(200)[:, None].expand(200, count))
    times = (values[:, :, 0] // 10).sort(1).values
    assert (times.diff(dim=1) > 0).all()
    assert int((times[:, -1] - times[:, 0]).max()) == distance
    assert torch.equal(source, torch.arange(3, 203))


def test_each_frame_is_cropped_and_coloured_by_itself() -> None:
    picture = torch.randint(0, 256, (1, 1, 3, 32, 32), dtype=torch.uint8, generator=seeded(1))
    shown = method().views(picture.repeat(20, 6, 1, 1, 1), sources(*range(20)), seeded())[0]
    assert len({round(float(frame.std()), 5) for frame in shown}) == 40


@pytest.mark.parametrize("count", [2, 3])
def test_the_loss_is_nt_xent_over_frames_of_other_sources(count: int) -> None:
    """Four clips, of which the first and the third are of one video: a loop from the equation."""
    neighbours = method(frames=count, temperature=0.3).eval()
    shown, source = neighbours.views(clips(4)["frames"], sources(8, 5, 8, 6), seeded())
    scored = neighbours.loss(shown, source, index=torch.arange(4))
    z = functional.normalize(neighbours.head(neighbours.encoder(shown)), dim=1)
    video = [8] * count + [5] * count + [8] * count + [6] * count
    losses, hits, levels = [], [], []
    for i in range(4 * count):
        negatives = [k for k in range(4 * count) if video[k] != video[i]]
        assert len(negatives) == (2 if video[i] == 8 else 3) * count
        rest = torch.stack([(z[i] @ z[k] / 0.3).exp() for k in negatives])
        for j in range(i // count * count, (i // count + 1) * count):
            if j != i:
                own = (z[i] @ z[j] / 0.3).exp()
                losses.append(-(own / (own + rest.sum())).log())
                hits.append(float(own > rest.max()))
                levels.append(math.log(1 + len(negatives)))
    torch.testing.assert_close(scored.terms["loss"], torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    assert float(scored.terms["accuracy"]) == pytest.approx(sum(hits) / len(hits))
    assert not scored.terms["accuracy"].requires_grad
    assert scored.chance == pytest.approx(sum(levels) / len(levels))


class Told(torch.nn.Module):
    """A head that gives the vectors it is told."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def forward(self, features: Tensor) -> Tensor:  # noqa: ARG002
        return self.vectors


def test_equal_vectors_cost_chance_and_those_of_an_oracle_little() -> None:
    neighbours = method(temperature=0.1)
    views = neighbours.views(clips(8)["frames"], sources(*range(8)), seeded())
    neighbours.head = Told(torch.ones(16, 8))
    scored = neighbours.loss(*views, index=torch.arange(8))
    assert scored.chance == pytest.approx(math.log(15))
    assert float(scored.terms["loss"]) == pytest.approx(math.log(15), rel=1e-5)
    neighbours.head = Told(torch.eye(8).repeat_interleave(2, 0))
    terms = neighbours.loss(*views, index=torch.arange(8)).terms
    assert float(terms["loss"]) == pytest.approx(math.log(1 + 14 * math.exp(-10)), rel=1e-3)
    assert float(terms["accuracy"]) == 1


def test_the_order_of_clips_and_the_numbers_of_videos_do_not_matter() -> None:
    neighbours = method(frames=3).eval()
    shown, source = neighbours.views(clips(6)["frames"], sources(0, 0, 1, 1, 2, 3), seeded())
    expected = neighbours.loss(shown, source, index=torch.arange(6))
    order = torch.tensor([5, 2, 0, 1, 4, 3])
    again = neighbours.loss(
        shown.unflatten(0, (6, 3))[order].flatten(0, 1), 100 - 7 * source[order], index=torch.arange(6)
    )
    torch.testing.assert_close(again.terms, expected.terms)
    assert again.chance == pytest.approx(expected.chance)


def test_a_frame_is_encoded_by_itself_under_group_norm_and_not_under_batch_norm() -> None:
    """What the comparison of both is about: the encoder's vectors of one clip, with other clips beside it."""
    for norm, alike in (("group", True), ("batch", False)):
        neighbours = method(norm=norm).train()
        shown = inputs(clips(8)["frames"][:, 0])
        few, many = neighbours.encoder(shown[:2]), neighbours.encoder(shown)[:2]
        assert torch.allclose(few, many, atol=1e-5) == alike


def colours_told(neighbours: VideoNeighbours) -> float:
    """Share of new clips whose nearest of other clips, by cosine, has a square of the same colour."""
    given = clips(256, seed=5)
    with torch.no_grad():
        vectors = functional.normalize(neighbours.encoder.eval()(inputs(given["frames"])), dim=1)
    nearest = (vectors @ vectors.T).fill_diagonal_(-1).argmax(1)
    return float((given["colour"][nearest] == given["colour"]).float().mean())


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_in_seconds_its_neighbours_are_of_one_colour_more_often_than_untrained(norm: str) -> None:
    neighbours = method(norm=norm, hue=0.05, grey=0.0, strength=0.2)
    before, given = colours_told(neighbours), clips(384)
    settings = Settings(epochs=6, batch_size=32, optimizer="adamw", learning_rate=0.1)
    Training(neighbours, [given["frames"], given["source"]], settings, seed=0).run()
    after = colours_told(neighbours)
    assert after > before + 0.1, (before, after)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 1}, "frames is 1; clips of 6 frames allow 2 to 6"),
        ({"frames": 7, "distance": 9}, "frames is 7; clips of 6 frames allow 2 to 6"),
        ({"frames": 4, "distance": 2}, "distance is 2; 4 frames of a clip are 3 apart at least"),
        ({"distance": 0}, "distance is 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": 0}, "projection is 0"),
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


def test_clips_of_one_frame_and_pictures_are_refused() -> None:
    with pytest.raises(NeedsSamples, match="compares frames of a clip, and these clips have 1"):
        method(1)
    with pytest.raises(NeedsParts, match="it reads frames, and these samples have images"):
        VideoNeighbours(ResNet(depth=10, width=8), DataSpec(8, {"images": (3, 32, 32)}))


def test_a_batch_of_one_video_costs_nothing() -> None:
    neighbours = method()
    views = neighbours.views(clips(4)["frames"], sources(3, 3, 3, 3), seeded())
    scored = neighbours.loss(*views, index=torch.arange(4))
    scored.terms["loss"].backward()
    assert float(scored.terms["loss"].detach()) == scored.chance == 0
    assert all(not parameter.grad.any() for parameter in neighbours.parameters() if parameter.grad is not None)


def test_clips_of_one_video_alone_are_refused_before_anything_is_learnt() -> None:
    encoder = ResNet(depth=10, width=4)
    shapes = {"frames": (6, 3, 32, 32), "source": (1,)}
    VideoNeighbours(encoder, DataSpec(40, shapes, sources=2))
    with pytest.raises(NeedsSamples, match="all training clips are of one video"):
        VideoNeighbours(encoder, DataSpec(40, shapes, sources=1))
