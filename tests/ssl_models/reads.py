"""An encoder that is one function of the picture, and labels that are not there: for tests of protocols."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsLabels
from ssl_models.modalities import image


class Reads(Encoder):
    """An encoder that is one function of the picture."""

    name = "reads"
    modalities = (image,)

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.dim, self.settings = function, 0, {}

    def standardise(self, inputs: Tensor) -> Tensor:
        return inputs

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return {"last": self.function}

    def pool(self, last: Tensor) -> Tensor:
        return last.flatten(1)


def no_labels(*_: str) -> np.ndarray:
    raise NeedsLabels("there are neither labels nor annotations")
