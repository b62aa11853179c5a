"""SimCLR's views, batched, against the same views picture by picture: torchvision on PIL in a DataLoader."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import Effort, compare, pictures, rate_of, threads
from benchmarks.page import Page
from benchmarks.rows import Row, Target
from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.methods.simclr import METHOD, SimCLR

BATCH, WORKERS = 256, 2
HOW = (
    f"two views of each of {BATCH} pictures a batch, 32 px, on the CPU: crop, flip, colour jitter, grey, with the "
    f"same probabilities and ranges. Ours on {WORKERS} threads. The other in a DataLoader of {WORKERS} workers over "
    "PIL pictures held in memory; the start of the workers is not counted."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the row of the views."""
    images = pictures(BATCH).images
    method = METHOD(build_encoder("resnet", width=4), DataSpec(len(images), {"images": tuple(images.shape[1:])}))
    generator = torch.Generator().manual_seed(0)

    def ours(batches: int) -> None:
        for _ in range(batches):
            method.views(images, generator)

    transformed = PicturePairs(images, pillow_views(method))
    batches = WORKERS if effort.quick else 3 * WORKERS
    with threads(WORKERS):
        own = rate_of(ours, 2 * BATCH, effort.seconds)
        mine, others, ratio = compare(own, lambda: loader_rate(transformed, batches), effort.pairs)
    target = Target("≥", 10, ratio=True)
    page.add(Row("SimCLR's views", "views/s", mine, HOW, target, "torchvision on PIL", others, ratio))


def pillow_views(method: SimCLR) -> Any:
    """The transform of one PIL picture that draws what a view of `method` draws."""
    from torchvision import transforms

    augment = method.multi_crop.first
    spread = 0.8 * augment.strength
    jitter = transforms.ColorJitter(spread, spread, spread, augment.hue)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(32, scale=(augment.smallest_crop, 1)),
            transforms.RandomHorizontalFlip(augment.flip),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(augment.grey),
            transforms.ToTensor(),
        ]
    )


class PicturePairs(Dataset):
    """PIL pictures in memory, over and over; an item is two views of one, each (3, 32, 32) float."""

    def __init__(self, images: Tensor, transform: Any) -> None:
        from torchvision.transforms.functional import to_pil_image

        self.pictures = [to_pil_image(image) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return 1000 * len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture = self.pictures[index % len(self.pictures)]
        return self.transform(picture), self.transform(picture)


def loader_rate(dataset: PicturePairs, batches: int) -> float:
    """Views a second over `batches`, a multiple of the workers, once each worker has handed in its first.

    A worker makes a batch by itself, so the batches come in as many at a time as there are workers.
    """
    loader = iter(DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS))
    for _ in range(WORKERS):
        next(loader)
    started = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return 2 * BATCH * batches / (time.perf_counter() - started)
