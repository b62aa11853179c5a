"""Which sound belongs to a frame, and where it comes from, from what needs no idea of the object that sounds.

Letters: B clips, S samples of sound, H W height and width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import torch
from numpy import ndarray
from torch import Generator, Tensor

from benchmarks.answering import BATCH, Answer, accuracies, answered, learnt, trained
from ssl_models.datasets._common.split import Split
from ssl_models.method import Method
from ssl_models.methods.audio_visual import derangement
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols._localisation.fixed import fixed_place
from ssl_models.protocols._localisation.measures import enlarged, holds, of_range, peaks
from ssl_models.trainer import Settings

PAIR = 2
"""Clips of which each has the other's sound in its false pair."""


def measure(train: Split, test: Split, settings: Settings) -> tuple[list[Answer], list[Answer]]:
    """Whether a pair belongs together, and whether a place lies in the box of what sounds; the method itself in both.

    The splits have frames, sound and source; truth: source_box, boxes and present; factors: objects.
    """
    rows: dict[str, tuple[Callable[[Split], ndarray] | None, Callable[[Split], ndarray] | None]] = {
        "loudness alone": (None, loudness),
        "the frame's mean colour alone": (colour, None),
        "the number of objects alone": (objects, None),
        "loudness and mean colour": (colour, loudness),
        "loudness and the number of objects": (objects, loudness),
        "loudness, colour and number": (lambda split: numpy.hstack([colour(split), objects(split)]), loudness),
    }
    pairs = [derangement(split.parts["source"][:, 0], Generator().manual_seed(0)) for split in (train, test)]
    found = []
    for what, (seen, heard) in rows.items():
        known, asked = (paired(split, pair, seen, heard) for split, pair in zip((train, test), pairs, strict=True))
        belongs = numpy.arange(len(known)) < len(train)
        hits = learnt(known, belongs, asked) == (numpy.arange(len(asked)) < len(test))
        found.append(answered(what, hits.reshape(2, -1).mean(0)))
    method = trained("audio_visual", "two_tower", train, settings)
    found.append(answered("frame and sound: `audio_visual`", accuracies(method, test, PAIR)))
    found.append(answered("*whether the class that sounds is seen*", _ceiling(test, pairs[1])))
    return found, located(train, test, method)


def loudness(split: Split) -> ndarray:
    """(B, 2): decibels of the mean power and of the largest sample."""
    heard = inputs(split.parts["sound"])
    both = torch.stack([heard.square().mean(1).sqrt(), heard.abs().amax(1)], 1)
    return numpy.asarray(20 * both.clamp(min=1e-5).log10())


def colour(split: Split) -> ndarray:
    """(B, 5): mean red, green and blue, their mean, and its deviation over the frame."""
    frame = inputs(split.parts["frames"]).mean(1)  # (B, C, H, W)
    means, grey = frame.mean((2, 3)), frame.mean(1).flatten(1)
    return numpy.asarray(torch.cat([means, grey.mean(1, keepdim=True), grey.std(1, keepdim=True)], 1))


def objects(split: Split) -> ndarray:
    """(B, 1): how many the frame shows."""
    return numpy.asarray(split.factors["objects"])[:, None]


def paired(
    split: Split,
    others: Tensor,
    seen: Callable[[Split], ndarray] | None,
    heard: Callable[[Split], ndarray] | None,
) -> ndarray:
    """(2 B, D): what is known of frame and sound, of the true pairs and then of the false ones."""
    frames = seen(split) if seen else numpy.empty((len(split), 0))
    sounds = heard(split) if heard else numpy.empty((len(split), 0))
    return numpy.concatenate([numpy.hstack([frames, sounds]), numpy.hstack([frames, sounds[others.numpy()]])])


def _ceiling(split: Split, others: Tensor) -> ndarray:
    """(B,): how many of both pairs are told by whether an object of the class that sounds is in the frame."""
    assert split.labels is not None
    present = split.truth["present"] > 0
    row = torch.arange(len(split))
    hits = torch.stack([present[row, split.labels], ~present[row, split.labels[others]]])
    return numpy.asarray(hits.double().mean(0))


def located(train: Split, test: Split, method: Method) -> list[Answer]:
    """How often a place lies in the box of what sounds: the middle, a learnt place, any object's, the map's maximum."""
    size = test.parts["frames"].shape[-2:]
    height, width = size
    best = fixed_place(train.truth["source_box"].numpy(), size)
    guesses = {
        "the middle of the frame": numpy.array([[width / 2, height / 2]]),
        "the place that lies in most boxes of the training clips": best[None],
        "the middle of any object": _any_object(test),
        "the map of `audio_visual`": loudest(method, test),
    }
    boxes = test.truth["source_box"].numpy()
    return [answered(what, holds(boxes, place).astype(float)) for what, place in guesses.items()]


def _any_object(split: Split) -> ndarray:
    """x, y (B, 2): the middle of one of the frame's objects, drawn."""
    boxes = split.truth["boxes"]
    drawn = boxes[torch.randperm(len(boxes), generator=Generator().manual_seed(0))]
    found = torch.full((len(split), 2), -1.0)
    found[drawn[:, 0].long()] = (drawn[:, 2:4] + drawn[:, 4:6]) / 2
    return found.numpy()


@torch.inference_mode()
def loudest(method: Method, split: Split) -> ndarray:
    """x, y (B, 2): the maximum of the map, enlarged to the first frame."""
    found = []
    for index in torch.arange(len(split)).split(BATCH):
        frame, sound = split.parts["frames"][index, 0], split.parts["sound"][index]
        heat: Tensor = method.encoder.heat(inputs(frame), inputs(sound))  # type: ignore[operator]
        found.append(peaks(enlarged(of_range(heat.numpy()), frame.shape[-2:])))
    return numpy.concatenate(found)
