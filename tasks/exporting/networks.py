"""What the forms of torchvision and timm share: the weights' file, and lines that standardise pictures as we do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.exporting.form import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from ssl_models.encoders.encoder import Encoder
    from ssl_models.encoders.library import LibraryEncoder
    from ssl_models.encoders.resnet import ResNet
    from ssl_models.encoders.vit import ViT

LOAD = f'model.load_state_dict(load_file("{WEIGHTS}"))'
IMPORTS = ("import torch", "from safetensors.torch import load_file")
PAPER_WIDTH = 64
GROUPS = "norm_layer=lambda count, **_: torch.nn.GroupNorm(math.gcd(32, count, max(1, count // 4)), count)"


def save(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes weights in the form of safetensors, which other libraries take for those of torch."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


def apply(prepared: str) -> tuple[str, ...]:
    """The lines that compute `vectors` of an expression."""
    return ("with torch.inference_mode():", f"    vectors = model({prepared})")


def own_standardisation(encoder: ResNet | ViT) -> tuple[str, ...]:
    """As the own encoder's `standardise` does."""
    return apply(f"(pictures - {encoder.mean.item()}) / {encoder.deviation.item()}")


def library_standardisation(encoder: LibraryEncoder) -> tuple[str, ...]:
    """As `Preparation` does, and with grey pictures in three channels where the network takes only these."""
    preparation: Any = encoder.preparation
    lines = []
    if encoder.name == "torchvision" and encoder.settings["channels"] == 1:
        lines.append("pictures = pictures.expand(-1, 3, -1, -1)")
    if preparation.size is not None:
        lines.append(
            f"pictures = torch.nn.functional.interpolate(pictures, {preparation.size}, mode='bilinear', antialias=True)"
        )
    for name in ("mean", "deviation"):
        numbers = ", ".join(str(number) for number in getattr(preparation, name).flatten().numpy())
        lines.append(f"{name} = torch.tensor([{numbers}]).view(-1, 1, 1)")
    return (*lines, *apply("(pictures - mean) / deviation"))


def published_names(encoder: Encoder) -> dict[str, Tensor]:
    """The weights of an own encoder under the names that torchvision or timm has for them."""
    return {encoder.published_name(name): tensor for name, tensor in encoder.state_dict().items()}


def block_of(settings: Mapping[str, Any]) -> tuple[str, list[int]]:
    """The name of the block's class, and how many a stage has."""
    from ssl_models.encoders.resnet import BLOCKS, BOTTLENECK

    depth = settings["depth"]
    return "Bottleneck" if depth >= BOTTLENECK else "BasicBlock", list(BLOCKS[depth])


def own_stem(settings: Mapping[str, Any], *, also: str = "") -> str:
    """The line that puts our first convolution, and no maximum after it, in place of theirs; "" where they are ours.

    also: a part that becomes an identity too.
    """
    small, width, channels = settings["stem"] == "small", settings["width"], settings["channels"]
    kernel, stride = (3, settings["stem_stride"]) if small else (7, 2)
    parts = {}
    if small or width != PAPER_WIDTH or channels != 3:
        parts["conv1"] = f"torch.nn.Conv2d({channels}, {width}, {kernel}, {stride}, {kernel // 2}, bias=False)"
    if small:
        parts["maxpool"] = "torch.nn.Identity()"
    if also:
        parts[also] = "torch.nn.Identity()"
    return f"{', '.join(f'model.{name}' for name in parts)} = {', '.join(parts.values())}" if parts else ""


def as_arguments(settings: Mapping[str, Any]) -> str:
    """Settings as they stand in a call, each after a comma: ", size=64, mode='a'"."""
    return "".join(f", {name}={value!r}" for name, value in settings.items())


def normalised(settings: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The argument for our norm, and the imports that it needs; both empty for batch norm, which they have."""
    return (f", {GROUPS}", ("import math",)) if settings["norm"] == "group" else ("", ())
