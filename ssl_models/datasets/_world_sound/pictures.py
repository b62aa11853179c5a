"""Pictures of objects of the rendered world, of which one sounds; nothing in the picture says which.

Legend: B pictures, O objects at most, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ssl_models.datasets._world import truth
from ssl_models.datasets._world.grid import MOST, stand
from ssl_models.datasets._world.render import render_objects
from ssl_models.datasets._world.scene import Scene, sample_scene
from ssl_models.datasets._world.shapes import CLASSES
from ssl_models.datasets._world_sound.notes import uniform


@dataclass(frozen=True)
class Pictures:
    """B pictures to draw, and which object of each sounds.

    objects: a scene of B rows for each of O objects, later ones over earlier ones. many: (B,) int64, how many of them a
    picture has, the first ones. sounding: (B,) int64, the place among them of the one that sounds.
    """

    objects: Sequence[Scene]
    many: Tensor
    sounding: Tensor

    def __len__(self) -> int:
        return len(self.many)

    @property
    def labels(self) -> Tensor:
        """(B,) int64: the class that sounds."""
        return self.of_places().gather(1, self.sounding[:, None])[:, 0]

    @property
    def silent(self) -> Tensor:
        """(B,) int64: the class of the other of two objects, K where there is one alone."""
        classes = self.of_places()[:, :2]
        other = classes.gather(1, (self.sounding == 0).long()[:, None])[:, 0]
        return torch.where(self.many > 1, other, len(CLASSES))

    def of_places(self) -> Tensor:
        """(B, O) int64: the classes of the objects, also of those that a picture does not have."""
        return torch.stack([scene.labels for scene in self.objects], 1)


def sample_pictures(samples: int, objects: int, generator: torch.Generator, dials: Mapping[str, float]) -> Pictures:
    """`samples` pictures of 1 to `objects` objects, of different classes.

    The first of a longer draw are those of a shorter one.
    Each number of objects, each cell of the grid and each place in the order of drawing is as frequent for the object
    that sounds. Every len(CLASSES) samples in turn hold each class as the one that sounds once.
    """
    scenes = [sample_scene(samples, generator, dials) for _ in range(objects)]
    seed = int(torch.randint(2**32, (), generator=generator))
    many = 1 + (uniform(seed, "many", samples) * objects).long().clamp(max=objects - 1)
    sounding = torch.minimum((uniform(seed, "sounding", samples) * many).long(), many - 1)
    others = 1 + uniform(seed, "others", samples, len(CLASSES) - 1).argsort(1)[:, : objects - 1]
    ahead = torch.cat([torch.zeros(samples, 1, dtype=torch.int64), others], 1)  # (B, O), of the class that sounds
    place = (torch.arange(objects) - sounding[:, None]) % objects
    labels = (scenes[0].labels[:, None] + ahead.gather(1, place)) % len(CLASSES)
    scenes = [replace(scene, labels=labels[:, number].contiguous()) for number, scene in enumerate(scenes)]
    if objects > 1:
        scenes = stand(scenes, uniform(seed, "cells", samples, MOST).argsort(1), many)
    return Pictures(scenes, many, sounding)


def draw(pictures: Pictures, size: int) -> Tensor:
    """(B, 3, size, size) uint8. What a picture does not have is left out: quicker, and no different."""
    found = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
    for number in range(1, len(pictures.objects) + 1):
        rows = (pictures.many == number).nonzero()[:, 0]
        found[rows] = render_objects([scene[rows] for scene in pictures.objects[:number]], size)
    return found


def annotations(pictures: Pictures, size: int) -> dict[str, Tensor]:
    """boxes, present and source_box, as datasets/_common/split.py says."""
    shown = torch.zeros(len(pictures), size, size, dtype=torch.uint8)
    whole = []
    for number, scene in enumerate(pictures.objects):
        rows = (pictures.many > number).nonzero()[:, 0]
        own = torch.zeros(len(pictures), size, size, dtype=torch.bool)
        own[rows] = truth.masks([scene[rows]], size) > 0
        whole.append(own.flatten(1).count_nonzero(1))
        shown[own] = number + 1
    boxes = truth.boxes_around([scene.labels for scene in pictures.objects], shown, whole)
    sample = boxes[:, 0].long()
    sounds = boxes[:, 1].long() == pictures.labels[sample]  # the classes of a picture's objects differ
    source_box = torch.zeros(len(pictures), 4)
    source_box[sample[sounds]] = boxes[sounds, 2:6]
    return {
        "boxes": boxes,
        "present": truth.present(boxes, len(pictures), len(CLASSES)),
        "source_box": source_box,
    }
