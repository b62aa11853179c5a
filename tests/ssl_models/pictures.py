"""Pictures that say where their pixels were; and files as the reader of folders shows them."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._pictures import decoding
from ssl_models.datasets._pictures.arrangement import Entry, Listing


def located(batch: int) -> Tensor:
    """(B, 3, 32, 32) uint8 pictures whose channels hold the numbers of the row, the column and the sample."""
    number = torch.arange(32, dtype=torch.uint8)
    rows, columns = number[:, None].expand(32, 32), number.expand(32, 32)
    samples = torch.arange(batch, dtype=torch.uint8).view(batch, 1, 1, 1).expand(batch, 1, 32, 32)
    return torch.cat([torch.stack([rows, columns]).expand(batch, -1, -1, -1), samples], dim=1)


def read(train: list[Path | bytes], test: list[Path | bytes], size: int, **settings) -> Dataset:
    """Files, or their bytes, as a data set; each is named by its file name, or by its place in its list."""
    entries = [
        [Entry(each.name if isinstance(each, Path) else f"{index}.bin", each) for index, each in enumerate(given)]
        for given in (train, test)
    ]
    return decoding.read(Listing(*entries), "here", size=size, **settings)


def shown(content: Path | bytes, size: int) -> np.ndarray:
    """(size, size, 3) of one picture that is a data set by itself."""
    return read([content], [content], size, unreadable="refuse").train.images[0].permute(1, 2, 0).numpy()


def encoded(values, form="PNG", **options):
    """The bytes of a file of these values."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(values)).save(stream, form, **options)
    return stream.getvalue()


def noise(count, side=24):
    """Files of different content."""
    return [encoded(a) for a in np.random.default_rng(0).integers(256, size=(count, side, side, 3), dtype=np.uint8)]
