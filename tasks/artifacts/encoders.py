"""Trained encoders on disk: the weights, a description to build the encoder again, and a classifier if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts.classifier import HEAD
from tasks.process.files import legible, read_json, whole_file, write_json

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder
    from ssl_models.method import Method

DESCRIPTION = "encoder.json"


def write_encoder(folder: Path, method: Method, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A method's encoder; the same weights give the same bytes. shapes: of a sample's parts.

    A method's classifier goes beside it: distillation asks a teacher for its outputs.
    """
    from safetensors.torch import save_file

    from ssl_models.encoders import SAVED

    folder.mkdir(parents=True, exist_ok=True)
    encoder, head = method.encoder, method.classifier()
    for name, module in ((SAVED, encoder), (HEAD, head)):
        if module is not None:
            tensors = {key: value.contiguous().cpu() for key, value in module.state_dict().items()}
            with whole_file(folder / name) as temporary:
                save_file(tensors, temporary)
    read = {part: list(shapes[part]) for part in encoder.reads(shapes)}
    write_json(folder / DESCRIPTION, {"name": encoder.name, "settings": encoder.settings, "shapes": read})


def read_encoder(folder: Path) -> Encoder:
    """The encoder in `folder`, on the CPU and in evaluation mode. Raises FileNotFoundError where there is none."""
    from safetensors.torch import load_file

    from ssl_models.encoders import SAVED, build_encoder

    description = folder / DESCRIPTION
    if not description.exists():
        raise FileNotFoundError(f"{folder} holds no {DESCRIPTION}: it is not the folder of a trained encoder")
    content = read_json(description)
    with legible(description):
        encoder = build_encoder(content["name"], **content["settings"])
    with legible(folder / SAVED):
        encoder.load_state_dict(load_file(folder / SAVED))
    return encoder.eval()


def input_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Part of a sample -> its shape, of what the encoder in `folder` reads and was trained on."""
    with legible(folder / DESCRIPTION):
        return {part: tuple(shape) for part, shape in read_json(folder / DESCRIPTION)["shapes"].items()}
