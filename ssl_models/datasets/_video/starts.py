"""Where to begin a track: the square boxes of a clip's first frame in which most moves.

Wang & Gupta 2015 (arXiv:1505.00687, section 3) take the patch with most moving interest points, and no frame in which
nothing moves or nearly everything does, as with a moving camera. Here what moves is told by the differences of the
first frames. A camera's movement is not taken out of them: a piece of a background with strong contrasts may then be
followed in place of what moves before it.

All sums are of whole numbers below 2^24, so they are exact in float32: no result depends on the other clips of a batch
or on the number of threads.

Letters: N clips, T frames, C channels, H W height and width, K candidate boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

AHEAD = 4
"""The first frame is compared with so many after it."""
LEAST_DIFFERENCE = 4.0
"""Mean difference of a box, in grey levels of 255, below which nothing is said to move."""
ABOVE_THE_REST = 2.0
"""How many times the difference of the quietest quarter of boxes a box must have. Noise is nearly the same in all."""
FOR_SIZE = 1.25
"""A box counts by its mean difference times its side to this power. With 0 the mean alone counts, which is highest in a
box that is smaller than the object; with 2 the sum, which is highest in one that is larger. On 1,024 clips of
`world_video` (32 px, seed 0) the mean overlap of the first box with the object's was 0.43 with 0, 0.66 with 1, 0.70
with 1.25 to 1.5, and 0.62 with 2."""


def start_boxes(frames: Tensor, sides: tuple[int, ...], most: int) -> Tensor:
    """(N, T, C, H, W) float32 whole numbers, of 0 to 255 -> (N, most, 4) left, top, right, bottom, all 0 for none.

    Boxes of the given sides that move most, see FOR_SIZE, the best first. Those that come after do not overlap those
    before.
    """
    means, rest, weights, boxes = candidates(differences(frames), sides)
    score = torch.where((means >= LEAST_DIFFERENCE) & (means >= ABOVE_THE_REST * rest), means * weights, 0.0)  # (N, K)
    found = []
    for _ in range(most):
        best = score.argmax(1)
        chosen = boxes[best]  # (N, 4)
        found.append(torch.where(score.gather(1, best[:, None]) > 0, chosen, 0.0))
        score = score.masked_fill(overlaps(chosen, boxes), 0.0)
    return torch.stack(found, 1)


def differences(frames: Tensor) -> Tensor:
    """(N, T, C, H, W) -> (N, 1, H, W) whole numbers: how much each pixel of the first frame differs from later ones.

    The largest difference of any channel; of the frames compared, the lower half counts. What was in the first frame
    differs from most frames after it, and a place where it comes by later from few.
    """
    later = frames[:, 1 : 1 + AHEAD]
    apart = (later - frames[:, :1]).abs().amax(2).sort(1).values
    return apart[:, : (apart.shape[1] + 1) // 2].mean(1, keepdim=True).round()


def candidates(moved: Tensor, sides: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N, 1, H, W) -> of every box: its mean difference and the lower quartile of those of its side, (N, K) both; what
    its side counts (K,); and its edges (K, 4)."""
    means, rest, weights, boxes = [], [], [], []
    for side in sides:
        sums = functional.avg_pool2d(moved, side, 1, divisor_override=1)[:, 0]  # (N, H - side + 1, W - side + 1)
        mean = sums.flatten(1) / side**2
        top, left = torch.meshgrid(*(torch.arange(extent) for extent in sums.shape[1:]), indexing="ij")
        corner = torch.stack([left.flatten(), top.flatten()], 1).float()
        means.append(mean)
        rest.append(mean.kthvalue(1 + mean.shape[1] // 4, dim=1, keepdim=True).values.expand_as(mean))
        weights.append(torch.full((mean.shape[1],), side**FOR_SIZE))
        boxes.append(torch.cat([corner, corner + side], 1))
    return torch.cat(means, 1), torch.cat(rest, 1), torch.cat(weights), torch.cat(boxes)


def overlaps(chosen: Tensor, boxes: Tensor) -> Tensor:
    """(N, 4) and (K, 4) -> (N, K) bool: whether two boxes share a pixel."""
    left, top, right, bottom = chosen[:, None].unbind(2)  # (N, 1) each
    beside = (boxes[:, 0] >= right) | (boxes[:, 2] <= left)
    above = (boxes[:, 1] >= bottom) | (boxes[:, 3] <= top)
    return ~(beside | above)
