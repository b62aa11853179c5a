"""For timm: weights under its own names, for a model of its own that has no classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.exporting import networks
from tasks.exporting.form import Loading, Sample

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

LIBRARY = "timm"
ENCODERS = ("resnet", "timm", "vit")

POOLS = {"token": "token", "mean": "avg"}
"""Our pooling -> what timm calls it."""


def refusal(encoder: str, settings: Mapping[str, Any]) -> str:
    """timm's ResNet has 64 channels in its first layer or, with its deep stem, any even number."""
    if encoder == "resnet" and settings.get("width", 0) % 2:
        return f"timm's ResNet has an even number of channels in its first layer, and this one has {settings['width']}"
    return ""


def write(encoder: Encoder, sample: Sample, source: Path, folder: Path) -> Loading:  # noqa: ARG001
    """Writes the weights."""
    kinds = {"resnet": _own_resnet, "vit": _own_vit, "timm": _theirs}
    return kinds[encoder.name](encoder, folder)


def _own_resnet(encoder: Any, folder: Path) -> Loading:
    """timm's ResNet of the same blocks. With its deep stem the number of channels is free; our own stem replaces it."""
    settings = encoder.settings
    block, blocks = networks.block_of(settings)
    norm, imports = networks.normalised(settings)
    width, given = settings["width"], {}
    if width != networks.PAPER_WIDTH:
        given = {"channels": tuple(width * 2**number for number in range(4)), "stem_type": "deep"}
        given |= {"stem_width": width // 2}
    networks.save(folder, networks.published_names(encoder))
    begin = f"model = ResNet({block}, {blocks}, num_classes=0{networks.as_arguments(given)}{norm}).eval()"
    return Loading(
        (*imports, *networks.IMPORTS, f"from timm.models.resnet import {block}, ResNet"),
        tuple(filter(None, (begin, networks.own_stem(settings), networks.LOAD))),
        networks.own_standardisation(encoder),
        ("torch", "timm", "safetensors"),
    )


def _own_vit(encoder: Any, folder: Path) -> Loading:
    """timm's ViT. For pictures of another size it interpolates positions, as ours does where they are learnt."""
    settings = encoder.settings
    learnt = settings["positions"] == "learnt"
    given = {"img_size": tuple(settings["size"]), "patch_size": settings["patch"], "in_chans": settings["channels"]}
    given |= {"embed_dim": settings["width"], "depth": settings["depth"], "num_heads": settings["heads"]}
    given |= {"mlp_ratio": settings["mlp_ratio"], "global_pool": POOLS[settings["pooling"]]}
    given |= {"dynamic_img_size": True} if learnt else {}
    networks.save(folder, networks.published_names(encoder))
    return Loading(
        (*networks.IMPORTS, "from timm.models.vision_transformer import VisionTransformer"),
        (f"model = VisionTransformer(num_classes=0{networks.as_arguments(given)}).eval()", networks.LOAD),
        networks.own_standardisation(encoder),
        ("torch", "timm", "safetensors"),
        fixed=not learnt,
    )


def _theirs(encoder: Any, folder: Path) -> Loading:
    import timm

    settings = encoder.settings
    model, size, channels = (settings[name] for name in ("model", "size", "channels"))
    stated: Any = timm.get_pretrained_cfg(model)
    fixed = stated is not None and stated.fixed_input_size
    given = {"img_size": size} if fixed and size != stated.input_size[-1] else {}
    given |= settings["options"] | ({"in_chans": channels} if channels != 3 else {})
    networks.save(folder, encoder.network.state_dict())
    return Loading(
        (*networks.IMPORTS, "import timm"),
        (
            f'model = timm.create_model("{model}", num_classes=0{networks.as_arguments(given)}).eval()',
            networks.LOAD,
        ),
        networks.library_standardisation(encoder),
        ("torch", "timm", "safetensors"),
    )
