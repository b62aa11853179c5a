"""The order of three frames, as Shuffle & Learn asks for it, from what needs no idea of the object.

Letters: B clips of T frames, E examples of a clip, H W height and width.
"""

from __future__ import annotations

import numpy
import torch
from numpy import ndarray
from torch import Generator, Tensor
from torch.nn import functional

from benchmarks.answering import Answer, accuracies, answered, learnt, trained
from ssl_models.boxes import there
from ssl_models.datasets._common.split import Split
from ssl_models.methods.shuffle_and_learn import FIVE, ORDERS, RIGHT
from ssl_models.modalities.inputs import inputs
from ssl_models.trainer import Settings
from ssl_models.views.frame_choice import motion, times_by_weight

CELLS = 4
"""A side of the thumbnails of a background."""
MARGIN = 1
"""Pixels around the object's box that are masked with it."""
GROUPS = "labels.action"


def measure(train: Split, test: Split, actions: int, settings: Settings) -> list[Answer]:
    """Answers from the background, the place, the box, and the frames by the method itself; in all and by action.

    The splits have frames, and of each clip one object's frame_boxes and an action as truth.
    """
    groups = [(test.truth[GROUPS] == action).numpy() for action in range(actions)]
    times = [_times(split.parts["frames"], seed) for seed, split in enumerate((train, test))]
    rows = {
        "the background, the object masked": backgrounds,
        "the place of the object": places,
        "its box: place, width and height": boxes,
    }
    found = []
    for what, features in rows.items():
        known, asked = (features(split, drawn) for split, drawn in zip((train, test), times, strict=True))
        found.append(answered(what, _right(known, asked), groups))
    method = trained("shuffle_and_learn", "resnet", train, settings)
    return [*found, answered("the frames: `shuffle_and_learn`", accuracies(method, test, 1), groups)]


def backgrounds(split: Split, times: Tensor) -> ndarray:
    """(B, E, D): thumbnails of three frames, and how much they differ, all without the object.

    Where the object is in any frame of a clip, all frames of it are filled with their mean: the mask is the same in
    all, or it would tell the place.
    """
    frames, box = inputs(split.parts["frames"]), split.truth["frame_boxes"][:, 0]  # (B, T, C, H, W), (B, T, 4)
    height, width = frames.shape[-2:]
    followed = there(box)[..., None]
    first = torch.where(followed, box[..., :2], torch.inf).amin(1).floor() - MARGIN  # (B, 2): left, top
    last = torch.where(followed, box[..., 2:], -torch.inf).amax(1).ceil() + MARGIN
    across, down = torch.arange(width), torch.arange(height)
    inside = ((across >= first[:, :1]) & (across < last[:, :1]))[:, None] & (
        (down >= first[:, 1:]) & (down < last[:, 1:])
    )[:, :, None]  # (B, H, W)
    seen = (~inside)[:, None, None]  # (B, 1, 1, H, W)
    mean = (frames * seen).sum((3, 4), keepdim=True) / seen.sum((3, 4), keepdim=True).clamp(min=1)
    masked = torch.where(seen, frames, mean)
    small = functional.adaptive_avg_pool2d(masked.flatten(0, 1), CELLS).view(*frames.shape[:2], -1)
    shown = _taken(small, times)  # (B, E, 3, D)
    return numpy.asarray(torch.cat([shown.flatten(2), _differences(shown).abs().mean(3)], 2))


def places(split: Split, times: Tensor) -> ndarray:
    """(B, E, D): the centre of the object's box in three frames, and how they lie to each other."""
    box = split.truth["frame_boxes"][:, 0]
    return numpy.asarray(_lying(_taken((box[..., :2] + box[..., 2:]) / 2, times)))


def boxes(split: Split, times: Tensor) -> ndarray:
    """(B, E, D): `places`, and the same of the width and height."""
    box = split.truth["frame_boxes"][:, 0]
    sides = _lying(_taken(box[..., 2:] - box[..., :2], times))
    return numpy.concatenate([places(split, times), numpy.asarray(sides)], 2)


def _lying(shown: Tensor) -> Tensor:
    """(B, E, 3, 2) -> (B, E, 10): the numbers, their distances, and how far the second lies between first and third."""
    one, two, three = shown.unbind(2)
    lengths = _differences(shown).norm(dim=3)  # (B, E, 3)
    along = ((two - one) * (three - one)).sum(2) / (three - one).square().sum(2).clamp(min=1e-3)
    return torch.cat([shown.flatten(2), lengths, along[..., None]], 2)


def _differences(shown: Tensor) -> Tensor:
    """(B, E, 3, D) -> second less first, third less second, third less first."""
    one, two, three = shown.unbind(2)
    return torch.stack([two - one, three - two, three - one], 2)


def _times(frames: Tensor, seed: int) -> Tensor:
    """(B, E, 3): all examples of each clip, of times drawn as the method draws them."""
    drawn = times_by_weight(Generator().manual_seed(seed), motion(frames), FIVE)
    return drawn[:, torch.tensor(ORDERS)]


def _taken(values: Tensor, times: Tensor) -> Tensor:
    """(B, T, D) and (B, E, 3) -> (B, E, 3, D)."""
    return values[torch.arange(len(values))[:, None, None], times]


def _right(known: ndarray, asked: ndarray) -> ndarray:
    """(B,): the share of each clip's examples that is answered rightly, of right and wrong orders half each."""
    in_order = numpy.arange(len(ORDERS)) < RIGHT
    flat = known.reshape(-1, known.shape[2])
    answers = learnt(flat, numpy.tile(in_order, len(known)), asked.reshape(-1, asked.shape[2]))
    hits = answers.reshape(asked.shape[:2]) == in_order
    return numpy.asarray((hits[:, in_order].mean(1) + hits[:, ~in_order].mean(1)) / 2)
