"""What all tests of models share: the same random numbers in whatever order they run, and one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
