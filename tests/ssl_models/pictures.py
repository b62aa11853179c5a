"""Pictures that say where their pixels were."""

import torch
from torch import Tensor


def located(batch: int) -> Tensor:
    """(B, 3, 32, 32) uint8 pictures whose channels hold the numbers of the row, the column and the sample."""
    number = torch.arange(32, dtype=torch.uint8)
    rows, columns = number[:, None].expand(32, 32), number.expand(32, 32)
    samples = torch.arange(batch, dtype=torch.uint8).view(batch, 1, 1, 1).expand(batch, 1, 32, 32)
    return torch.cat([torch.stack([rows, columns]).expand(batch, -1, -1, -1), samples], dim=1)
