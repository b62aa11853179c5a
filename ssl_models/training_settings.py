"""The settings of a training: the block `training` of params.yaml."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ssl_models.bounds import require_choice
from ssl_models.optimizers import OPTIMIZERS, SCHEDULES, require_steps


@dataclass(frozen=True)
class Settings:
    """How a method is trained.

    epochs: passes over the data.
    batch_size: of the whole batch, however many processes share it. In params.yaml also "auto", see batch_size.py.
    optimizer: one of OPTIMIZERS.
    learning_rate: its peak for a batch of 256; it is scaled with the batch (Goyal et al. 2017, arXiv:1706.02677).
    momentum: of SGD and LARS, and beta 1 of AdamW.
    weight_decay: of weights; biases and norms are not decayed.
    warmup_epochs: epochs of linear warm-up before the schedule begins.
    schedule: how the learning rate falls from its peak, one of SCHEDULES, see `learning_rate_at`. Default "cosine".
    milestones: for "steps" only: when it falls, as rising shares of the training, warm-up included. Default [0.6, 0.8],
        epochs 120 and 160 of 200, as in NPID and MoCo (arXiv:1805.01978, 1911.05722).
    decay: for "steps" only: what the learning rate is multiplied by at each milestone. Default 0.1, as there.
    monitor: whether the representation is measured after an epoch, see monitor.py.
    """

    epochs: int = 12
    batch_size: int = 256
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0005
    warmup_epochs: float = 1.0
    schedule: str = "cosine"
    milestones: list[float] = field(default_factory=lambda: [0.6, 0.8])
    decay: float = 0.1
    monitor: bool = True

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer '{self.optimizer}' is unknown; choose one of {', '.join(OPTIMIZERS)}")
        for name, lowest in (("epochs", 1), ("batch_size", 2), ("warmup_epochs", 0), ("weight_decay", 0)):
            if not lowest <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {lowest}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate {self.learning_rate} must be over 0, and finite")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum {self.momentum} must lie in [0, 1)")
        require_choice("schedule", self.schedule, SCHEDULES)
        require_steps(self.milestones, self.decay)
