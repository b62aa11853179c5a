"""timm's classifiers of pictures (Wightman 2019) without their last layer, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

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

if TYPE_CHECKING:
    pass

TAKEN = {"in_chans": "channels", "img_size": "size", "num_classes": "", "pretrained": "", "features_only": ""}
"""Arguments that are no options, and the settings that give them."""
RESNET = {"act1": "conv1", "layer1": "res2", "layer2": "res3", "layer3": "res4", "layer4": "res5"}


class Timm(LibraryEncoder):
    """A network of timm. Its vector is what the last linear layer was given: a class token or a mean, as pooled there.

    Layers: conv1 and res2 to res5 of a ResNet; block1, block2, ... of a network of equal blocks such as a ViT, the maps
    of its patches' tokens, at most 12 of them at equal distances; stage1, stage2, ... of all others.

    model: its name, such as "vit_small_patch16_224"; `timm.list_models()` names all. What follows a dot, as in
        "resnet50.a1_in1k", names weights, and with them the mean, the deviation and the size that they expect.
    size: side in pixels that all pictures, tiles too, are scaled to. Default 0: as they are; for a model of one size,
        such as a ViT, its own. Such a model is made for another `size` where that can be.
    channels: of the input. Default 3.
    normalise: "auto": the mean and deviation that timm states for the model are taken out. "own": 1/2 and 1/4, as by
        the other encoders. Default "auto".
    options: further arguments of `timm.create_model`, such as {"patch_size": 8} or {"global_pool": "avg"}. Default
        none.
    """

    name = "timm"

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
        if (options or {}).get("global_pool") == "":
            raise ValueError("encoder options.global_pool is '', which gives maps and no vectors; name one, as avg")
        with installed("timm"):
            import timm
        require_known(self.name, model.partition(".")[0], timm.list_models())
        stated: Any = built(self.name, timm.get_pretrained_cfg, model, {})
        fixed = stated is not None and stated.fixed_input_size
        size = size or (stated.input_size[-1] if fixed else 0)
        other = {"img_size": size} if fixed and size != stated.input_size[-1] else {}
        given = other | dict(options or {}) | {"in_chans": channels, "num_classes": 0}
        self.network = built(self.name, timm.create_model, model, given)
        self.dim = int(self.network.head_hidden_size)
        self.settings = {
            "model": model,
            "size": size,
            "channels": channels,
            "normalise": normalise,
            "options": dict(options or {}),
        }
        self.preparation = Preparation(size, *(statistics(stated, channels) if normalise == "auto" else OWN))
        self.shown = layer_numbers(self.network)
        self.convolutional = "block1" not in self.shown

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, C, size, size), standardised."""
        prepared: Tensor = self.preparation(inputs)
        return prepared

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, C, H, W) -> the maps (B, channels, H', W') that the network makes on its way, and its vector (B, dim)."""
        network: Any = self.network
        last, maps = network.forward_intermediates(
            self.standardise(*inputs), indices=list(self.shown.values()), output_fmt="NCHW"
        )
        return dict(zip(self.shown, maps, strict=True)), network.forward_head(last).contiguous()

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The maps of `represent`."""
        return self.represent(*inputs)[0]

    def vectors_of(self, *inputs: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, dim)."""
        vectors: Tensor = self.network(self.standardise(*inputs))
        return vectors.contiguous()  # a class token is a slice of all tokens


def statistics(stated: Any, channels: int) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of each channel that timm states; for other than red, green and blue their means."""
    mean, deviation = stated.mean, stated.std
    if channels == len(mean):
        return mean, deviation
    return [sum(mean) / len(mean)], [sum(deviation) / len(deviation)]


def layer_numbers(network: Any) -> dict[str, int]:
    """Layer -> its number among the maps of `forward_intermediates`, from first to last."""
    parts = [stated["module"] for stated in network.feature_info]
    if parts == list(RESNET):
        return {layer: number for number, layer in enumerate(RESNET.values())}
    if len({stated["reduction"] for stated in network.feature_info}) == 1:
        return {f"block{number + 1}": number for number in blocks_shown(len(parts))}
    return {f"stage{number + 1}": number for number in range(len(parts))}


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = Timm
