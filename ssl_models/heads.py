"""Heads: the layers between an encoder's vector and a loss. They are removed after training."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def mlp(*widths: int, norm_last: bool = False) -> nn.Sequential:
    """(B, widths[0]) -> (B, widths[-1]): linear layers, with a batch normalisation and a ReLU after each but the last.

    norm_last: a batch normalisation without parameters ends it. With three widths it is SimCLR's g(h) = W2 relu(W1 h)
    (Chen et al. 2020, arXiv:2002.05709, section 2.1), with the batch normalisation of the authors' code.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    last = nn.Linear(widths[-2], widths[-1], bias=not norm_last)
    return nn.Sequential(*layers, last, *([nn.BatchNorm1d(widths[-1], affine=False)] if norm_last else []))


def centred(head: nn.Module, projection: int, centre: bool) -> nn.Sequential:
    """A head, followed by a batch normalisation without parameters where `centre`, (B, projection) as before.

    It removes the component that the vectors of all samples share, so that they spread over the sphere from the first
    step. SimCLR's code ends its head with one too.
    """
    return nn.Sequential(head, nn.BatchNorm1d(projection, affine=False)) if centre else nn.Sequential(head)


class TilesProjection(nn.Module):
    """(B * tiles, dim) -> (B, projection): PIRL's g for a jigsaw (Misra & van der Maaten 2020, arXiv:1912.01991).

    Section 3.2: each patch's vector goes through one linear layer (2048 -> 128), the results are concatenated in the
    order shown (9 x 128 = 1152), and a second linear layer gives 128.
    """

    def __init__(self, dim: int, projection: int, tiles: int) -> None:
        super().__init__()
        self.tiles = tiles
        self.each = nn.Linear(dim, projection)
        self.together = nn.Linear(tiles * projection, projection)

    def forward(self, features: Tensor) -> Tensor:
        each = self.each(features)  # (B * tiles, projection)
        output: Tensor = self.together(each.view(-1, self.tiles * each.shape[1]))
        return output


class TilesClassifier(nn.Module):
    """(B * tiles, dim) -> (B, classes): the tiles' vectors concatenated, one hidden layer, one logit a class.

    Noroozi & Favaro 2016 (arXiv:1603.09246, section 3.1): the outputs of the shared part "are concatenated and given as
    input to fc7", which is followed by fc8.
    """

    def __init__(self, dim: int, hidden: int, classes: int, tiles: int) -> None:
        super().__init__()
        self.tiles = tiles
        self.layers = nn.Sequential(
            nn.Linear(tiles * dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features.view(-1, self.tiles * features.shape[1]))
        return output
