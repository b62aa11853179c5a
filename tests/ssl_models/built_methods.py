"""Every method around a small encoder, with a batch of what it reads: what tests of all methods share."""

from __future__ import annotations

import math
import pkgutil
from functools import cache

import torch
from torch import Generator, Tensor

import ssl_models.methods
from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import IMAGES
from ssl_models.encoders import build_encoder
from ssl_models.method import Method, Scored, method_class
from tests.ssl_models import densities
from tests.ssl_models.clips import FRAMES, clips
from tests.ssl_models.clips import SAMPLES as HEARD
from tests.ssl_models.voices import voices

torch.set_num_threads(1)

NAMES = sorted(module.name for module in pkgutil.iter_modules(ssl_models.methods.__path__))
TRAINED = [name for name in NAMES if method_class(name).trains]
SAMPLES, BATCH, SIDE = 2048, 16, 32
AUDIOVISUAL, OF_CLIPS = "audiovisual", "sound of clips"
BINARY, REALS = densities.KINDS
NO_OBJECTIVE = {"contrastive_divergence", "dino"}
"""Methods whose loss need not fall: it has the right gradient alone, or targets that move away from being all alike."""
AS_THEY_ARE = {"maximum_likelihood", "ratio_matching", "minimum_probability_flow"}
"""Methods whose first view is the samples as they are; these draw nothing for each of them."""
OF_REALS = ("denoising_score_matching",)
"""Methods on vectors of real numbers alone; others on vectors are tested with those of 0 and 1."""
COUNTS = [0, *(600 // word for word in range(1, 60))]  # of words, by Zipf's law
SHAPES = {
    "images": (3, SIDE, SIDE),
    "sound": (3200,),
    "length": (1,),
    "tokens": (24,),
    "frames": (FRAMES, 3, SIDE, SIDE),
    "tracks": (2, FRAMES, 4),
    "source": (1,),
    "vectors": (densities.UNITS,),
}
ENCODERS = {
    "images": ("resnet", {"depth": 10, "width": 8}),
    "sound": ("speech", {"width": 32, "hidden": 32}),
    "tokens": ("bag", {"vocabulary": len(COUNTS), "width": 16}),
    "frames": ("resnet", {"depth": 10, "width": 8}),
    AUDIOVISUAL: ("two_tower", {"depth": 10, "width": 8}),
    **densities.ENCODERS,
}
OWN_ENCODERS = {"mae": ("vit", {"patch": 4, "width": 32, "depth": 2, "heads": 2, "size": [SIDE, SIDE]})}
"""Of methods that take no other."""
LEARNING_RATES = {
    "images": 0.05,
    "sound": 0.2,
    "tokens": 20.0,
    "frames": 0.05,
    AUDIOVISUAL: 0.05,
    BINARY: 0.2,
    REALS: 0.1,
    "maximum_likelihood": 1.0,
    "ratio_matching": 3.0,
    "minimum_probability_flow": 3.0,
    "mae": 0.2,
}
FLOORS = {"maximum_likelihood": math.log(BATCH), "simsiam": -1.0}
"""The least loss that a batch of different samples can have, where that is not 0."""
LEFT = {"mae": 0.97}
"""What of the loss is left after a dozen steps of SGD, by which a transformer hardly learns; of others at most 0.9."""
RANGES = {
    "images": (0, 1),
    "frames": (0, 1),
    "sound": (-(2**0.5), 2**0.5),
    AUDIOVISUAL: (-(2**0.5), 2**0.5),
    BINARY: (0, 1),
    REALS: (-8, 8),
}  # of the views: the gain of a sound is at most 3 dB
INDEX = torch.arange(100, 100 + BATCH)


def build(name: str, channels: int = 3) -> Method:
    """A method with its default settings around a small encoder, the same at every call."""
    torch.manual_seed(0)
    labels = torch.randint(0, 8, (SAMPLES,), generator=Generator().manual_seed(0))
    targets = 2 * torch.randn(SAMPLES, 8, generator=Generator().manual_seed(0))
    encoder, settings = OWN_ENCODERS.get(name, ENCODERS[kind(name)])
    settings = settings | {"channels": channels} if kind(name) == IMAGES else settings
    shapes = (
        {part: SHAPES[part] for part in parts(name)}
        | ({"sound": (HEARD,)} if kind(name) == AUDIOVISUAL else {})
        | ({IMAGES: (channels, SIDE, SIDE)} if kind(name) == IMAGES else {})
        | ({"vectors": (settings["visible"],)} if kind(name) in densities.KINDS else {})
    )
    known = densities.known(kind(name)) if kind(name) in densities.KINDS else {"counts": COUNTS}
    return method_class(name)(build_encoder(encoder, **settings), DataSpec(SAMPLES, shapes, labels, 8, targets, known))


def parts(name: str) -> tuple[str, ...]:
    """What a method is tested with: those that read whatever there is are given pictures."""
    return method_class(name).parts or (IMAGES,)


def kind(name: str) -> str:
    """Of the data that a method is tested with."""
    if "vectors" in parts(name):
        return REALS if name in OF_REALS else BINARY
    return AUDIOVISUAL if {"frames", "sound"} <= set(parts(name)) else parts(name)[0]


@cache
def batch(part: str, channels: int = 3) -> Tensor:
    """Smooth random pictures, each unlike the others; toy speech and its lengths; words drawn by their counts; clips.

    The sound of clips is asked for as "sound of clips".
    """
    if part == "tokens":
        weights = torch.tensor(COUNTS, dtype=torch.float32)
        drawn = torch.multinomial(weights, BATCH * 24, replacement=True, generator=Generator().manual_seed(1))
        return drawn.view(BATCH, 24).int()
    if part in densities.KINDS:
        return (densities.binary if part == BINARY else densities.reals)(BATCH, seed=1)["vectors"]
    if part in ("frames", "tracks", "source", OF_CLIPS):
        return clips(BATCH, seed=1)["sound" if part == OF_CLIPS else part]
    if part != IMAGES:
        return dict(zip(("sound", "length"), voices(BATCH), strict=False))[part]
    coarse = torch.rand(BATCH, channels, 6, 6, generator=Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def seeded_views(method: Method, seed: int = 0, channels: int = 3) -> tuple[Tensor, ...]:
    return method.views(*given(method, channels), Generator().manual_seed(seed))


def given(method: Method, channels: int = 3) -> list[Tensor]:
    """A batch of each part that a method reads."""
    if "vectors" in method.parts:
        return [batch(BINARY if method.encoder.binary else REALS)]
    clipped = "frames" in method.parts
    return [batch(OF_CLIPS if clipped and part == "sound" else part, channels) for part in method.parts]


def score(method: Method, views: tuple[Tensor, ...]) -> Scored:
    return Scored.of(method.loss(*views, index=INDEX))


def total(terms: dict[str, Tensor]) -> Tensor:
    """What the trainer minimises."""
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()
