"""Small methods on two views of pictures, and their training steps: what tests of several such methods share."""

from __future__ import annotations

import io
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.vit import ViT
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.method import Scored
from ssl_models.modalities import image
from ssl_models.teacher import Teacher

torch.set_num_threads(1)

SIDE = 16
NO_CHANGE = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0, "solarise": 0.0}
"""Settings with which both views are the picture."""
OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"hidden": 0}, "hidden is 0; it must be greater than 0"),
    ({"projection": -1}, "projection is -1; it must be greater than 0"),
    ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
    ({"flip": -0.1}, r"flip is -0\.1"),
    ({"strength": -0.1}, r"strength is -0\.1"),
    ({"hue": 0.7}, r"hue is 0\.7"),
    ({"grey": 2.0}, r"grey is 2\.0"),
    ({"blur": 1.5}, r"blur is 1\.5"),
    ({"solarise": 1.5}, r"solarise is 1\.5"),
    ({"invert": -1.0}, r"invert is -1\.0"),
    ({"gamma": 1.1}, r"gamma is 1\.1"),
]
"""Settings that all of these methods refuse, and what they say."""

Kind = TypeVar("Kind", bound=JointEmbedding)


class Flat(Encoder):
    """One linear layer and a ReLU: an encoder that trains in milliseconds."""

    name = "flat"
    modalities = (image,)

    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.dim, self.settings = dim, {}
        self.linear = torch.nn.Linear(3 * SIDE * SIDE, dim)

    def standardise(self, *inputs: Tensor) -> Tensor:
        return (inputs[0] - 0.5) / 0.25

    def blocks(self) -> dict[str, Any]:
        return {"linear": lambda pictures: self.linear(pictures.flatten(1)).relu()}

    def pool(self, last: Tensor) -> Tensor:
        return last


ENCODERS = {
    "resnet": lambda: ResNet(depth=10, width=4),
    "flat": Flat,
    "vit": lambda: ViT(patch=4, width=16, depth=1, heads=2, size=[SIDE, SIDE]),
}


def method(kind: type[Kind], encoder: str = "flat", samples: int = 40, seed: int = 0, **settings: Any) -> Kind:
    """A method with small heads around a small encoder, the same at every call with the same seed."""
    torch.manual_seed(seed)
    data = DataSpec(samples, {"images": (3, SIDE, SIDE)})
    return kind(ENCODERS[encoder](), data, **({"hidden": 24, "projection": 16} | settings))  # type: ignore[call-arg]


def pictures(batch: int = 6, seed: int = 1) -> Tensor:
    """Smooth random pictures, (B, 3, 16, 16) uint8."""
    coarse = torch.rand(batch, 3, 4, 4, generator=Generator().manual_seed(seed))
    return (functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear") * 255).to(torch.uint8)


def made(scored: JointEmbedding, seed: int = 0, batch: int = 6) -> tuple[Tensor, ...]:
    """The two views of a batch."""
    return scored.views(pictures(batch), Generator().manual_seed(seed))


def score(scored: JointEmbedding, views: tuple[Tensor, ...]) -> Scored:
    return Scored.of(scored.loss(*views, index=torch.arange(len(views[0]))))


def loss_of(scored: JointEmbedding, views: tuple[Tensor, ...]) -> Tensor:
    return score(scored, views).terms["loss"]


def gradients(scored: JointEmbedding, loss: Tensor) -> dict[str, Tensor]:
    """What a loss asks of each parameter that is trained; zeros where it does not reach."""
    named = {name: parameter for name, parameter in scored.named_parameters() if parameter.requires_grad}
    found = torch.autograd.grad(
        loss, list(named.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(named, found, strict=True))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether gradients are equal, up to rounding."""
    return all(torch.allclose(value, other[name], rtol=1e-3, atol=1e-5) for name, value in one.items())


def moved(teacher: Teacher, amount: float = 0.1) -> None:
    """Takes a teacher elsewhere than the network, so that the two cannot be mistaken for each other."""
    generator = Generator().manual_seed(5)
    for parameter in teacher.parameters():
        parameter.add_(amount * torch.randn(parameter.shape, generator=generator))


def stepped(trained: JointEmbedding, seed: int = 0, progress: float = 0.1) -> float:
    """A training step's loss; the step is done."""
    scored = score(trained, made(trained, seed))
    trained.zero_grad()
    scored.terms["loss"].backward()
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
    trained.after_step(scored.handed_over, progress)
    return float(scored.terms["loss"].detach())


def restored(kind: type[Kind], first: Kind, **settings: Any) -> Kind:
    """Another method of other weights, given the state of the first by way of a file."""
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = method(kind, seed=9, **settings)
    second.load_state_dict(torch.load(file, weights_only=True))
    return second
