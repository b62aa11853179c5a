"""Which tensor of a checkpoint belongs to which of an encoder: by name and shape, below the prefixes that are usual.

A checkpoint of DINO names an encoder's `conv1.weight` "teacher/module.backbone.conv1.weight", one of MoCo
"state_dict/module.encoder_q.conv1.weight". Of all chains of such prefixes that a file has, that one is taken by which
most numbers of the encoder are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.library import Preparation
from ssl_models.encoders.transformer import resized
from ssl_models.weights.reading import Group

PREFIXES = (
    *("module", "_orig_mod", "model", "net", "network", "backbone", "trunk", "visual"),
    *("encoder", "encoder_q", "base_encoder", "online_encoder", "teacher", "student", "ema"),
)
AVERAGED, LEARNING = ("teacher", "ema"), ("student",)
"""Where a checkpoint has the average of a network over its steps besides the network, the average is taken."""
HEADS = ("fc", "head", "heads", "classifier", "projector", "predictor", "projection_head", "prediction_head")
"""The beginnings of what a network has besides its encoder: nobody misses it."""
POSITIONS = ("pos_embed", "pos_embedding")
LEAST = 0.9
"""The share of the encoder's numbers that weights must give."""
MOST_NAMED = 3


@dataclass(frozen=True)
class Fit:
    """What of some weights fits an encoder, tensor by tensor.

    weights: as the settings name them. encoder: its name. place: where in the file they stand, and below which prefix.
    tensors: the encoder's names -> what they are given. share: of the encoder's numbers, those that are given.
    missing: what the encoder has and the weights have not. other_shapes: what both have, as "NAME is (1, 3) there and
    (1, 4) here". unused: what the weights have besides; heads: those of them that belong to a classifier or projector.
    resampled: embeddings of positions that came from a grid of another size.
    """

    weights: str
    encoder: str
    place: str
    tensors: Mapping[str, Tensor]
    share: float
    missing: tuple[str, ...]
    other_shapes: tuple[str, ...]
    unused: tuple[str, ...]
    heads: tuple[str, ...]
    resampled: tuple[str, ...]

    def require(self, *, whole: bool) -> None:
        """Raises ValueError for weights of another network, for numbers that are not finite; whole: for any gap."""
        amiss = [*self.other_shapes, *(f"{name} is not there" for name in self.missing)]
        listed = "; ".join(amiss[:MOST_NAMED]) + (f"; and {len(amiss) - MOST_NAMED} more" * (len(amiss) > MOST_NAMED))
        if self.share < LEAST:
            raise ValueError(
                f"weights {self.weights}: these are weights of another network: they give {self.share:.0%} of the "
                f"numbers of the encoder '{self.encoder}'; {LEAST:.0%} is the least. {listed}"
            )
        if whole and amiss:
            raise ValueError(
                f"weights {self.weights}: a run that trains nothing needs all tensors of the encoder "
                f"'{self.encoder}', and {len(amiss)} do not fit. {listed}"
            )
        if broken := [name for name, tensor in self.tensors.items() if not tensor.sum(dtype=torch.float64).isfinite()]:
            raise ValueError(
                f"weights {self.weights}: {broken[0]} holds numbers that are not finite; they are of no use"
            )

    def copy_into(self, encoder: Encoder) -> None:
        """Overwrites the encoder's tensors."""
        own = encoder.state_dict()
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                own[name].copy_(tensor)

    def lines(self) -> Iterator[str]:
        """What a log says of it: where the weights were found, and each kind of what did not fit."""
        where = f" (below {self.place})" if self.place else ""
        yield f"weights {self.weights}{where}: {len(self.tensors)} tensors, {self.share:.1%} of the encoder's numbers"
        for what, names in (
            ("resampled to this size of pictures", self.resampled),
            ("left as they were initialised", self.missing),
            ("left as they were initialised, for their shape", self.other_shapes),
            ("not used, heads of a classifier or projector", self.heads),
            ("not used", self.unused),
        ):
            if names:
                more = ", ..." if len(names) > MOST_NAMED else ""
                yield f"  {len(names)} {what}: {', '.join(names[:MOST_NAMED])}{more}"

    def summary(self) -> dict[str, str | int | float]:
        """The same in numbers, for a training's record."""
        return {
            "weights": self.weights,
            "weights_share": self.share,
            "weights_tensors": len(self.tensors),
            "weights_missing": len(self.missing) + len(self.other_shapes),
            "weights_unused": len(self.unused) + len(self.heads),
        }


def best_fit(encoder: Encoder, groups: Iterable[Group], weights: str) -> Fit:
    """The fit by which the encoder is given most numbers; of equal ones an average before the network that learns."""
    inner = {""} | {f"{name}." for name, _ in encoder.named_children()}
    fits = [
        (_fit(encoder, group, Naming(below, inside, naming), weights), _preference(f"{group.place}.{below}"))
        for group in groups
        for below in chains(group.tensors)
        for inside in sorted(inner)
        for naming in (_as_here, encoder.published_name)
    ]
    return max(fits, key=lambda entry: (entry[0].share, entry[1], len(entry[0].tensors)))[0]


def chains(names: Iterable[str]) -> list[str]:
    """All beginnings of names that are made of usual prefixes alone, as "module.", "module.encoder_q."; and ""."""
    found = {""}
    for name in names:
        beginning = ""
        for word in name.split(".")[:-1]:
            if word not in PREFIXES:
                break
            beginning += f"{word}."
            found.add(beginning)
    return sorted(found)


def resample(positions: Tensor, length: int, grid: tuple[int, int] | None = None) -> Tensor | None:
    """Embeddings (1, P + g * g, D) of a square grid and P tokens before it -> (1, length, D), for another grid.

    Bicubic, as timm and torchvision do it; the tokens stay. grid: the other one; None for a square. None is returned
    where no P up to 9 makes the grids so.
    """
    for tokens in range(10):
        old, side = (math.isqrt(max(0, count - tokens)) for count in (positions.shape[1], length))
        new = (side, side) if grid is None else grid
        if old and side and (old**2 + tokens, math.prod(new) + tokens) == (positions.shape[1], length):
            before, places = positions[:, :tokens].float(), positions[:, tokens:].float()
            return torch.cat([before, resized(places, (old, old), new)], dim=1)
    return None


@dataclass(frozen=True)
class Naming:
    """How the names of an encoder's weights lead to those in a file.

    below: the prefix in the file. inside: the module of the encoder that stands for the whole network in the file.
    other: a name inside of that -> what the file calls it.
    """

    below: str
    inside: str
    other: Callable[[str], str]

    def there(self, name: str) -> str | None:
        """The name in the file; None for what the encoder has outside of the network."""
        return f"{self.below}{self.other(name[len(self.inside) :])}" if name.startswith(self.inside) else None


def _as_here(name: str) -> str:
    return name


def _fit(encoder: Encoder, group: Group, naming: Naming, weights: str) -> Fit:
    wanted, learnt = _of_network(encoder), {name for name, _ in encoder.named_parameters()}
    tensors: dict[str, Tensor] = {}
    used, missing, shapes, resampled = set(), [], [], []
    for name, own in wanted.items():
        there = naming.there(name)
        if there is None or there not in group.tensors:
            # Older files do not count batches.
            missing += [name] if name in learnt or (there is not None and own.is_floating_point()) else []
            continue
        used.add(there)
        found = group.tensors[there]
        if found.shape != own.shape and found.ndim == own.ndim == 3 and name.endswith(POSITIONS):
            found = next((new for new in [resample(found, own.shape[1], encoder.grid)] if new is not None), found)
            resampled += [name] if found.shape == own.shape else []
        if found.shape == own.shape:
            tensors[name] = found
        else:
            shapes.append(f"{name} is {tuple(found.shape)} there and {tuple(own.shape)} here")
    left = [name for name in group.tensors if name not in used]
    heads = [name for name in left if name.removeprefix(naming.below).split(".")[0] in HEADS]
    network = [name for name in wanted if name in learnt or naming.there(name) is not None]
    numbers = {name: wanted[name].numel() for name in network if wanted[name].is_floating_point()}
    given = sum(numbers.get(name, 0) for name in tensors)
    return Fit(
        weights=weights,
        encoder=encoder.name,
        place=" ".join(filter(None, (group.place, naming.below))),
        tensors=tensors,
        share=given / max(1, sum(numbers.values())),
        missing=tuple(missing),
        other_shapes=tuple(shapes),
        unused=tuple(name for name in left if name not in heads),
        heads=tuple(heads),
        resampled=tuple(resampled),
    )


def _of_network(encoder: Encoder) -> dict[str, Tensor]:
    """What an encoder saves, without what prepares its pictures: mean and deviation follow from its own settings."""
    preparing = tuple(f"{name}." for name, part in encoder.named_modules() if isinstance(part, Preparation))
    return {name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith(preparing)}


def _preference(place: str) -> int:
    words = place.replace("/", ".").split(".")
    return any(word in AVERAGED for word in words) - any(word in LEARNING for word in words)
