"""Several pretext tasks on one encoder, each with its own head (Doersch & Zisserman 2017, arXiv:1708.07860).

One task needs features that another discards. The paper found that combining tasks always helps, even in the simplest
way. Each step trains one task, which is drawn at random, and costs what that task costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.lightness import Lightness
from ssl_models.method import Method, Scored
from ssl_models.methods import colorization, denoising_autoencoder, inpainting, jigsaw, relative_position, rotation

# Imported by name: a stage becomes stale when a file that its method imports has changed.
TASKS: dict[str, ModuleType] = {
    "colorization": colorization,
    "denoising_autoencoder": denoising_autoencoder,
    "inpainting": inpainting,
    "jigsaw": jigsaw,
    "relative_position": relative_position,
    "rotation": rotation,
}
"""The tasks that can be combined: they train the given encoder, and do not compare samples with each other."""

DEFAULT_TASKS = ["relative_position", "colorization"]


class MultiPretext(Method):
    """The loss of the task that is drawn for the step; all tasks are equally likely. There is no common chance.

    Tasks differ in chance (rotation log 4, jigsaw log 100), and how often each is drawn in an epoch is random, so the
    mean loss cannot be compared with one level. Each task's own loss can. Terms carry the name of their task, and
    "<task>_chance" is logged beside "<task>_loss" where the task has a chance. Batch normalisation keeps one running
    average of the inputs of all tasks: tiles, grey pictures and whole pictures. The paper combines relative position,
    colorization, exemplar and motion segmentation on the first three blocks of a ResNet-101. Where colorization is one
    of the tasks, the encoder sees lightness alone in all of them, as in the paper, which makes inputs alike between
    tasks in this way. A part of it is left out: a sparse choice of layers for each head.

    tasks: two or more names of TASKS, each with its own default settings. Default [relative_position, colorization].
        Paper: these two, exemplar and motion segmentation.
    """

    family = "predictive"
    reference = "Doersch & Zisserman 2017, arXiv:1708.07860"
    crops = by_rows = True

    def __init__(self, encoder: Encoder, data: DataSpec, *, tasks: list[str] = DEFAULT_TASKS) -> None:
        require_tasks(tasks)
        super().__init__(Lightness.over(encoder) if "colorization" in tasks else encoder)
        self.names = tuple(tasks)
        # The encoder is one object, under its own name and in each task: trained, moved and saved as one.
        self.tasks = nn.ModuleDict({name: TASKS[name].METHOD(self.encoder, data) for name in tasks})

    def task(self, number: Tensor) -> tuple[str, Method]:
        """Name and task of that number (1,) int64, in the order in which they were named."""
        name = self.names[int(number)]
        return name, cast(Method, self.tasks[name])

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, ...) uint8 -> the number (1,) int64 of the task that was drawn, and that task's views."""
        number = torch.randint(len(self.names), (1,), generator=generator, device=generator.device)
        return number, *self.task(number)[1].views(images, generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:
        number, *shown = views
        return 0, *self.task(number)[1].layout(shown)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The terms of the drawn task as "<task>_<term>", with its whole loss and its chance (only logged).

        Hands over the name of the task, and what the task handed over.
        """
        number, *shown = views
        name, task = self.task(number)
        scored = Scored.of(task.loss(*shown, index=index))
        terms = dict(scored.terms)
        if "loss" not in terms:
            terms["loss"] = torch.stack([term.detach().float() for term in terms.values() if term.requires_grad]).sum()
        chance = task.chance if scored.chance is None else scored.chance
        if chance is not None:
            terms["chance"] = torch.full((), chance, device=index.device)
        return Scored({f"{name}_{term}": value for term, value in terms.items()}, (name, scored.handed_over))

    def after_step(self, handed_over: tuple[str, Any], progress: float) -> None:
        """Calls `after_step` of every task with the progress of the whole training.

        A task that was not drawn has scored no batch in this step, and is given None.
        """
        drawn, own = handed_over
        for name, task in self.tasks.items():
            cast(Method, task).after_step(own if name == drawn else None, progress)


def require_tasks(tasks: list[str]) -> None:
    """Refuses tasks that are unknown, named twice, or fewer than two."""
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"tasks has '{task}', which is none of {', '.join(TASKS)}")
        if tasks.count(task) > 1:
            raise ValueError(f"tasks has '{task}' twice; name each task once")
    if len(tasks) < 2:
        raise ValueError(f"tasks is {tasks}; name at least two of {', '.join(TASKS)}")


METHOD = MultiPretext
