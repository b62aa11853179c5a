"""Files of weights: named tensors, wherever in a checkpoint they stand. No code of a file is ever run."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_models.encoders import SAVED
from ssl_models.errors import first_line

SAFE = ".safetensors"
PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar")
DEEPEST = 3
"""So many mappings inside one another are looked into: a checkpoint holds the network besides an optimiser's state."""


@dataclass(frozen=True)
class Group:
    """Named tensors that stand together. place: the keys that lead to them, as "teacher"; empty for the outermost."""

    place: str
    tensors: Mapping[str, Tensor]


def read(path: Path) -> list[Group]:
    """The groups of tensors in a file, or in the folder of a trained encoder, on the CPU.

    Raises FileNotFoundError where there is none, ValueError for a file without tensors or that cannot be read safely.
    """
    file = path / SAVED if path.is_dir() else path
    if not file.is_file():
        hint = f"the folder holds no {SAVED}" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(f"weights {path}: {hint}")
    if file.suffix not in (SAFE, *PICKLED):
        raise ValueError(f"weights {path}: a file of weights ends in {', '.join((SAFE, *PICKLED))}")
    content = _safe(file) if file.suffix == SAFE else _pickled(file)
    groups = list(_groups(content))
    if not groups:
        raise ValueError(f"weights {path}: there are no named tensors in it, such as a state_dict has")
    for group in groups:
        for name, tensor in group.tensors.items():
            if not _is_plain(tensor):
                raise ValueError(
                    f"weights {path}: '{name}' is a sparse, nested, quantised or empty (meta) tensor; save it as an "
                    "ordinary one, as tensor.to_dense() or tensor.dequantize() gives it, or leave it out"
                )
    return groups


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds a number for each of its places."""
    return tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)


def _safe(file: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"weights {file}: this is no whole safetensors file ({first_line(error, 120)})") from error


def _pickled(file: Path) -> Any:
    """What torch.save wrote, as far as it is tensors, containers and plain values, as argparse's settings are."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise ValueError(
                f"weights {file}: it holds more than tensors, and reading that would run code of the file. Save the "
                "tensors alone: torch.save(model.state_dict(), FILE)"
            ) from error
        raise ValueError(f"weights {file}: it cannot be read ({first_line(error, 120)})") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"weights {file}: it cannot be read, or was cut short ({first_line(error, 120)})") from error


def _groups(content: Any, place: str = "", depth: int = 0) -> Iterator[Group]:
    if not isinstance(content, Mapping):
        return
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    if tensors := {name: value for name, value in named.items() if isinstance(value, Tensor)}:
        yield Group(place, tensors)
    if depth < DEEPEST:
        for name, value in named.items():
            yield from _groups(value, f"{place}/{name}" if place else name, depth + 1)
