"""Several pretext tasks on one encoder, each with a head of its own (Doersch & Zisserman 2017, arXiv:1708.07860).

What one task lets an encoder forget, another asks for: the paper found that combining tasks always helps, even without
further ado. The type of a batch picks the head. Each step is on one task, drawn anew, and costs what that task costs.
"""

from __future__ import annotations

from types import ModuleType
from typing import cast

import torch
from torch import Generator, Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.method import DataSpec, Method
from ssl_models.methods import colorization, denoising_autoencoder, inpainting, jigsaw, relative_position, rotation

# A stage is stale when a file that its method imports has changed: what may be combined is imported here by name.
TASKS: dict[str, ModuleType] = {
    "colorization": colorization,
    "denoising_autoencoder": denoising_autoencoder,
    "inpainting": inpainting,
    "jigsaw": jigsaw,
    "relative_position": relative_position,
    "rotation": rotation,
}
"""Those that train the encoder as it is, and compare no sample with others."""

DEFAULT_TASKS = ["relative_position", "colorization"]


class MultiPretext(Method):
    """The loss of the one task that is drawn for the step, each as likely as another. There is no common chance.

    Tasks differ in chance (rotation log 4, jigsaw log 100), and how often each is drawn in an epoch is a matter of
    luck: the mean loss has no level that it could be held against. Each task's own loss has one. Terms carry the name
    of their task, and beside "<task>_loss" stands "<task>_chance" where the task has a chance.
    The paper: relative position, colorization, exemplar and motion segmentation on the first three blocks of a
    ResNet-101. Its inputs made alike between tasks, and its sparse choice of layers for each head, are left out.
    Batch normalisation keeps one running average of all that the tasks show it: tiles, grey and whole pictures.
    tasks: two or more names of TASKS; each has its own default settings, which stand in the task's docstring.
    """

    family = "predictive"
    reference = "Doersch & Zisserman 2017, arXiv:1708.07860"

    def __init__(self, encoder: Encoder, data: DataSpec, *, tasks: list[str] = DEFAULT_TASKS) -> None:
        super().__init__(encoder)
        require_tasks(tasks)
        self.names = tuple(tasks)
        # The encoder is one object, under its own name and in each task: trained, moved and saved as one.
        self.tasks = nn.ModuleDict({name: TASKS[name].METHOD(encoder, data) for name in tasks})

    def task(self, number: Tensor) -> tuple[str, Method]:
        """Name and task of that number (1,) int64, in the order in which they were named."""
        name = self.names[int(number)]
        return name, cast(Method, self.tasks[name])

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, ...) uint8 -> the number (1,) int64 of the task that was drawn, and that task's views."""
        number = torch.randint(len(self.names), (1,), generator=generator, device=generator.device)
        return number, *self.task(number)[1].views(images, generator)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The drawn task's terms as "<task>_<term>"; its whole loss and its chance are among them (only logged)."""
        number, *shown = views
        name, task = self.task(number)
        terms = dict(task.loss(*shown, index=index))
        if "loss" not in terms:
            terms["loss"] = torch.stack([term.detach().float() for term in terms.values() if term.requires_grad]).sum()
        if task.chance is not None:
            terms["chance"] = torch.full((), task.chance, device=index.device)
        return {f"{name}_{term}": value for term, value in terms.items()}

    def after_step(self, progress: float) -> None:
        """Told to all tasks: `progress` is the whole training's, and a task that was not drawn has nothing pending."""
        for task in self.tasks.values():
            cast(Method, task).after_step(progress)


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
