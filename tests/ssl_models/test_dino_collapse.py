"""DINO with its centre and its sharpening, and without each: to one output, or to all alike (section 5.3)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator

from tests.ssl_models.test_dino import method, pictures

torch.set_num_threads(1)


def trained(**settings: Any) -> tuple[float, float]:
    """After some steps on 16 pictures: the teacher's mean entropy, and how much less it is than that of the mean
    distribution, which is what a picture decides; both as shares of chance."""
    easy = {"strength": 0.0, "hue": 0.0, "grey": 0.0, "solarise": 0.0, "smallest_crop": 0.6}
    quick = {"teacher_momentum": 0.9, "centre_momentum": 0.9}
    dino = method(outputs=16, small_crops=0, freeze=0.0, **easy, **quick | settings)
    optimizer = torch.optim.AdamW(dino.parameters(), lr=0.003)
    generator, images = Generator().manual_seed(2), pictures(16)
    for step in range(40):
        views = dino.views(images, generator)
        scored = dino.loss(*views, index=torch.arange(16))
        optimizer.zero_grad()
        scored.terms["loss"].backward()
        optimizer.step()
        dino.after_step(scored.handed_over, (step + 1) / 40)
    targets = ((dino.teacher(dino.views(images, generator)[0]) - dino.centre) / dino.teacher_temperature).softmax(1)
    own = float(torch.special.entr(targets).sum(1).mean()) / math.log(16)
    return own, float(torch.special.entr(targets.mean(0)).sum()) / math.log(16) - own


def test_with_centre_and_sharpening_the_outputs_tell_pictures_apart() -> None:
    entropy, told = trained()
    assert 0.1 < entropy < 0.9
    assert told > 0.2


def test_without_a_centre_one_output_is_everyone_s() -> None:
    entropy, told = trained(centre_momentum=1.0)
    assert entropy < 0.02
    assert told < 0.02


def test_without_sharpening_all_outputs_are_alike() -> None:
    entropy, told = trained(teacher_temperature=1.0)
    assert entropy > 0.99
    assert told < 0.01
