"""Small made-up vectors whose densities are known: what tests of energies share.

Binary ones are exact draws of an Ising model on a ring of nine units. Real ones are of four Gaussians at
(+-1, +-1).
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ssl_models.encoders import build_encoder
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.states import states
from ssl_models.errors import NeedsTruth
from ssl_models.extraction import extract_features, feature_layers
from ssl_models.partition import log_partition
from ssl_models.protocols._common.score import Representation

UNITS, COUPLING, FIELD = 9, 0.5, 0.2
GRID = [3, 3]
CENTRES = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
DEVIATION = 0.3
EXTENT = [[-4.0, 4.0], [-4.0, 4.0]]
KINDS = ("binary", "reals")
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "binary": ("rbm", {"visible": UNITS, "binary": True, "hidden": 6}),
    "reals": ("energy_net", {"visible": 2, "binary": False, "width": 16}),
}


def ring() -> Boltzmann:
    """The true model of the binary vectors: each unit is coupled to its two neighbours, alternately by + and -."""
    model = Boltzmann(visible=UNITS)
    rows, columns = torch.triu_indices(UNITS, UNITS, 1)
    with torch.no_grad():
        near = (columns - rows == 1) | (columns - rows == UNITS - 1)
        model.upper.copy_(torch.where(near, torch.where(rows % 2 == 0, COUPLING, -COUPLING), 0.0))
        model.fields.copy_(FIELD * torch.linspace(-1, 1, UNITS))
    return model


def every_state(units: int = UNITS) -> Tensor:
    """(2^units, units)."""
    return torch.cat(list(states(units)))


@torch.no_grad()
def probabilities(model: Any) -> Tensor:
    """(2^D,) of every state."""
    return (-model.energy(every_state(model.visible)) - log_partition(model)).exp()


def binary(count: int, seed: int) -> dict[str, Tensor]:
    """vectors (count, 9), log_density (count,), label: the first unit."""
    shares = probabilities(ring())
    rows = torch.multinomial(shares, count, replacement=True, generator=Generator().manual_seed(seed))
    vectors = every_state()[rows]
    return {"vectors": vectors, "log_density": shares[rows].log(), "label": vectors[:, 0].long()}


def mixture_log_density(x: Tensor) -> Tensor:
    """(B, 2) -> (B,) nats."""
    apart = (x.unsqueeze(1) - CENTRES).square().sum(2) / (2 * DEVIATION**2)
    return (-apart).logsumexp(1) - math.log(4 * 2 * math.pi * DEVIATION**2)


def reals(count: int, seed: int) -> dict[str, Tensor]:
    """vectors (count, 2), log_density (count,), label: the Gaussian that it is of."""
    generator = Generator().manual_seed(seed)
    label = torch.randint(4, (count,), generator=generator)
    vectors = CENTRES[label] + DEVIATION * torch.randn(count, 2, generator=generator)
    return {"vectors": vectors, "log_density": mixture_log_density(vectors), "label": label}


def known(kind: str) -> dict[str, Any]:
    """What a reader tells of such data."""
    if kind == "binary":
        model, mean = ring(), (probabilities(ring()).unsqueeze(1) * every_state()).sum(0)
        return {
            "binary": True,
            "mean": mean.tolist(),
            "deviation": (mean * (1 - mean)).sqrt().tolist(),
            "grid": GRID,
            "couplings": model.couplings.tolist(),
            "fields": model.fields.tolist(),
        }
    axis = torch.linspace(-4, 4, 65)[:-1] + 1 / 16
    surface = mixture_log_density(torch.cartesian_prod(axis, axis)).view(64, 64)
    deviation = [math.sqrt(1 + DEVIATION**2)] * 2
    return {
        "binary": False,
        "mean": [0.0, 0.0],
        "deviation": deviation,
        "extent": EXTENT,
        "surface": surface.tolist(),
    }


def representation(
    kind: str, encoder: Encoder | None = None, train: int = 96, test: int = 64, **changed: Any
) -> Representation:
    """Of an encoder, untrained unless it is given, on vectors of a kind of KINDS."""
    make = {"binary": binary, "reals": reals}[kind]
    data = {"train": make(train, 0), "test": make(test, 1)}
    torch.manual_seed(0)
    name, settings = ENCODERS[kind]
    own = build_encoder(name, **settings) if encoder is None else encoder
    samples = {split: {"vectors": data[split]["vectors"]} for split in data}
    rows = {split: list(extract_features(own, stored, torch.device("cpu"))) for split, stored in samples.items()}

    def truth(split: str, name: str) -> np.ndarray:
        if name != "log_density":
            raise NeedsTruth(f"there are no {name}")
        return data[split][name].numpy()

    given: dict[str, Any] = {
        "layers": feature_layers(own, samples["train"]),
        "features": lambda split, layer: torch.cat([batch[layer] for batch in rows[split]]).numpy(),
        "labels": lambda split: data[split]["label"].numpy(),
        "classes": 2 if kind == "binary" else 4,
        "encoder": lambda: deepcopy(own),
        "samples": lambda split: {"vectors": samples[split]["vectors"].numpy()},
        "truth": truth,
        "precision": "float32",
        "known": known(kind),
    }
    return Representation(**(given | changed))
