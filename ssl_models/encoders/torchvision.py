"""torchvision's classifiers of pictures without their last layer, with random weights."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ssl_models.encoders.library import (
    OWN,
    LibraryEncoder,
    Preparation,
    blocks_shown,
    built,
    installed,
    require_known,
    require_options,
    require_settings,
)
from ssl_models.encoders.shapes import hollow

if TYPE_CHECKING:
    pass

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of red, green and blue, as for all of torchvision's published weights."""
HEADS = ("fc", "classifier", "head", "heads")
AFTER = (*HEADS, "avgpool", "dropout")
"""Parts that follow the last map."""
TAKEN = {"image_size": "size", "input_size": "size", "num_classes": "", "weights": "", "aux_logits": ""}
"""Arguments that are no options, and the settings that give them."""
RESNET = {"conv1": "relu", "res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
FIXED = {"vit": "image_size", "maxvit": "input_size"}
"""Beginnings of the names of models that take pictures of one size, and what the library calls that size."""
ALONE = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}
"""Options of models that would have further classifiers in their middle."""
SIZE = 224
"""Side that layers are told apart at, and that of models of one size."""
SHRUNK = 0.75
"""A map at most this share as wide as the one before begins another layer."""


class Torchvision(LibraryEncoder):
    """A network of torchvision. Its vector is what the last linear layer was given.

    Layers: conv1 and res2 to res5 of a ResNet, ResNeXt or wide ResNet; block1, block2, ... of a ViT, the maps of its
    patches' tokens, every so manyth where there are more than 12 (its vector is the class token); stage1, stage2, ...
    of all others, the last map of each size.

    model: its name, such as "resnet50" or "vit_b_16"; `torchvision.models.list_models()` names all.
    size: side in pixels that all pictures, tiles too, are scaled to. Default 0: as they are; for a model of one size
        (vit_*, maxvit_t) 224. Such a model is made for another `size` where that can be.
    channels: of the input, 3; grey pictures (1) are shown as three equal channels. Default 3.
    normalise: "auto": the mean and deviation of ImageNet, which published weights expect, are taken out. "own": 1/2 and
        1/4, as by the other encoders. Default "auto".
    options: further arguments of the model, such as {"zero_init_residual": true}. Default none.
    """

    name = "torchvision"

    def __init__(
        self,
        *,
        model: str,
        size: int = 0,
        channels: int = 3,
        normalise: str = "auto",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        require_settings(size=size, normalise=normalise)
        require_options(options or {}, TAKEN)
        if channels not in (1, 3):
            raise ValueError(
                f"encoder 'torchvision' takes pictures of 3 channels, or of 1, and these have {channels}; 'resnet' and "
                "'timm' take any number"
            )
        with installed("torchvision"):
            from torchvision import models
        require_known(self.name, model, models.list_models(module=models))
        fixed = next((word for start, word in FIXED.items() if model.startswith(start)), None)
        size = size or (SIZE if fixed else 0)
        extra = {fixed: (size, size) if fixed == "input_size" else size} if fixed else {}
        given = ALONE.get(model, {}) | extra | (options or {})
        self.network = built(self.name, models.get_model, model, given)
        self.dim = remove_classes(self.network)
        self.settings = {
            "model": model,
            "size": size,
            "channels": channels,
            "normalise": normalise,
            "options": dict(options or {}),
        }
        self.preparation = Preparation(size, *(IMAGENET if normalise == "auto" else OWN))
        self.convolutional = not model.startswith("vit")
        self.places = places(self.network)

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [0, 1] -> (B, 3, size, size), standardised."""
        prepared: Tensor = self.preparation(inputs.expand(-1, 3, -1, -1))
        return prepared

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, C, H, W) -> the maps (B, channels, H', W') that the network makes on its way, and its vector (B, dim)."""
        found: dict[str, Tensor] = {}
        hooks = [
            self.network.get_submodule(place).register_forward_hook(partial(_keep, found, layer))
            for layer, (place, _) in self.places.items()
        ]
        try:
            vectors = self.vectors_of(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return {layer: as_map(found[layer], axes) for layer, (_, axes) in self.places.items()}, vectors

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The maps of `represent`."""
        return self.represent(*inputs)[0]

    def vectors_of(self, *inputs: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, dim)."""
        vectors: Tensor = self.network(self.standardise(*inputs))
        return vectors.contiguous()  # a class token is a slice of all tokens


def remove_classes(network: nn.Module) -> int:
    """Puts an identity in place of the last layer, which has an output for each class; what it was given is `dim`."""
    head = next(name for name in HEADS if hasattr(network, name))
    parts = [(name, part) for name, part in network.named_modules() if name.startswith(head)]
    place, last = [(name, part) for name, part in parts if isinstance(part, nn.Linear | nn.Conv2d)][-1]
    network.set_submodule(place, nn.Identity())
    return int(last.in_features if isinstance(last, nn.Linear) else last.in_channels)


def places(network: nn.Module) -> dict[str, tuple[str, str]]:
    """Layer -> the part of the network that makes its map, and the order of the map's axes: see `as_map`."""
    if hasattr(network, "layer4"):
        return {layer: (place, "BCHW") for layer, place in RESNET.items()}
    if hasattr(network, "encoder"):
        blocks = [f"encoder.layers.{name}" for name, _ in network.get_submodule("encoder.layers").named_children()]
        return {f"block{number + 1}": (blocks[number], "BNC") for number in blocks_shown(len(blocks))}
    ends: list[tuple[str, str, int]] = []
    for place, shape in traced(network):
        axes = "BCHW" if shape[2] == shape[3] else "BHWC"
        if ends and shape[2] > SHRUNK * ends[-1][2]:
            ends.pop()
        ends.append((place, axes, shape[2]))
    return {f"stage{number + 1}": (place, axes) for number, (place, axes, _) in enumerate(ends)}


def traced(network: nn.Module) -> list[tuple[str, torch.Size]]:
    """The parts that one after another make maps, and the shape of each map, for pictures of `SIZE`.

    Parts are the network's children, and for a sequence or list of several its members.
    """
    found: list[tuple[str, torch.Size]] = []
    empty = hollow(network).eval()
    for name, child in empty.named_children():
        if name in AFTER:
            continue
        several = isinstance(child, nn.Sequential | nn.ModuleList)
        parts = [(f"{name}.{own}", part) for own, part in child.named_children()] if several else [(name, child)]
        for place, part in parts:
            part.register_forward_hook(partial(_note, found, place))
    empty(torch.empty(1, 3, SIZE, SIZE, device="meta"))
    return found


def _note(found: list[tuple[str, torch.Size]], place: str, *call: Any) -> None:
    if call[-1].ndim == 4:
        found.append((place, call[-1].shape))


def _keep(found: dict[str, Tensor], layer: str, *call: Any) -> None:
    found[layer] = call[-1]


def as_map(activations: Tensor, axes: str) -> Tensor:
    """Activations whose axes are "BCHW", "BHWC" or "BNC", a class token before the patches' -> (B, C, H, W)."""
    if axes == "BNC":
        patches = activations[:, 1:].transpose(1, 2)  # (B, C, N)
        side = math.isqrt(patches.shape[2])
        return patches.reshape(*patches.shape[:2], side, side)
    return activations.permute(0, 3, 1, 2) if axes == "BHWC" else activations


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = Torchvision
