"""Tracked patches learn what is followed; and what is left of the way round it, the mean colour of a patch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.metric import cosine_energy
from ssl_models.methods.tracked_patches import TrackedPatches, other_clips
from ssl_models.modalities import image
from tests.ssl_models.clips import clips
from tests.ssl_models.test_tracked_patches import PLAIN, made, method

torch.set_num_threads(1)

MILD = {"strength": 0.4, "hue": 0.1, "grey": 0.0}
"""Colours remain those that they are: the squares of the made-up clips differ in nothing else."""


class MeanColour(Encoder):
    """Knows nothing of a picture but its mean colour."""

    name = "mean_colour"
    modalities = (image,)

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.settings = 32, {}
        self.net = nn.Sequential(
            nn.Conv2d(3, 64, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.BatchNorm2d(32)
        )

    def standardise(self, images: Tensor) -> Tensor:
        return images.mean((2, 3), keepdim=True)

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return {"net": self.net}

    def pool(self, last: Tensor) -> Tensor:
        return last.flatten(1)


def trained(encoder: Encoder, given: dict[str, Tensor], steps: int, **settings: Any) -> TrackedPatches:
    tracked = method(encoder, **settings)
    optimizer = torch.optim.AdamW(tracked.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        index = torch.randint(len(given["frames"]), (48,), generator=generator)
        views = tracked.views(given["frames"][index], given["tracks"][index], generator)
        loss = tracked.loss(*views, index=index).terms["loss"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        tracked.after_step(None, (step + 1) / steps)
    return tracked.eval()


@torch.no_grad()
def neighbours_alike(tracked: TrackedPatches, given: dict[str, Tensor]) -> float:
    """How often the nearest patch of another clip, by the encoder's vectors, shows a square of the same colour."""
    vectors = tracked.eval().encoder(made(tracked, given)[0])
    clip = torch.arange(len(vectors)) // 2
    apart = cosine_energy(vectors - vectors.mean(0), vectors - vectors.mean(0))
    nearest = apart.masked_fill(clip[:, None] == clip, torch.inf).argmin(1)
    return float((given["colour"][clip[nearest]] == given["colour"][clip]).float().mean())


def test_it_learns_what_is_followed() -> None:
    other = clips(64, seed=1)
    before = neighbours_alike(method(ResNet(depth=10, width=8), **MILD), other)
    torch.manual_seed(0)
    after = neighbours_alike(trained(ResNet(depth=10, width=8), clips(192), 40, **MILD), other)
    assert after > before + 0.03
    assert after > 0.97


@torch.no_grad()
def ranked_right(tracked: TrackedPatches, given: dict[str, Tensor]) -> float:
    """How often the other time is nearer than a patch of another clip; 1/2 is chance."""
    patches, counts, _ = made(tracked, given)
    vectors = tracked.head(tracked.encoder(patches))
    distances, others = cosine_energy(vectors[::2], vectors), other_clips(counts)
    own = distances[torch.arange(len(counts)), 2 * torch.arange(len(counts)) + 1]
    return float((own[:, None] < distances)[others].float().mean())


@pytest.mark.parametrize(("hard", "most"), [(0, 0.77), (4, 0.75)])
def test_the_jitter_of_colours_takes_most_of_the_mean_colour_away(hard: int, most: float) -> None:
    """Of four saturated colours something is left: a quarter of the other clips has the same one in any case."""
    given, other = clips(192), clips(96, seed=1)
    ranked = []
    for settings in (PLAIN, {}):
        torch.manual_seed(0)
        ranked.append(ranked_right(trained(MeanColour(), given, 60, hard=hard, **settings), other))
    assert ranked[0] > 0.9
    assert ranked[1] < most
