"""Losses and what belongs to them, against those of `lightly` (MIT), an independent library of the same methods.

It is no dependency of the project, and these tests are skipped where it is not installed. They were last run with
lightly 1.6.0. `pip install --no-deps --target DIR lightly` is enough, with DIR in PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.transformer import sine_positions
from ssl_models.losses.assignment import sharpened, sinkhorn, swapped
from ssl_models.losses.contrastive import info_nce, nt_xent, similarity, unit
from ssl_models.losses.decorrelation import barlow_twins, cosine, vicreg
from ssl_models.method import Method, Scored, method_class
from ssl_models.methods.dino import Head
from ssl_models.teacher import momentum_at

torch.set_num_threads(1)
peers = pytest.importorskip("lightly.loss", reason="lightly is not installed, so there is no peer to agree with")
modules, utils = import_module("lightly.models.modules"), import_module("lightly.models.utils")
SAMPLES, DIM = 24, 16
INDEX = torch.arange(SAMPLES)
NEAR = {"rtol": 1e-5, "atol": 1e-5}

Loss = Callable[[Tensor, Tensor], Tensor]
PAIRS: dict[str, tuple[Loss, Loss]] = {
    "nt_xent at 0.5": (lambda one, two: nt_xent(one, two, 0.5), peers.NTXentLoss(0.5)),
    "nt_xent at 0.07": (lambda one, two: nt_xent(one, two, 0.07), peers.NTXentLoss(0.07)),
    "barlow_twins": (lambda one, two: sum_of(barlow_twins(one, two, 0.005)), peers.BarlowTwinsLoss()),
    "barlow_twins at 0.5": (lambda one, two: sum_of(barlow_twins(one, two, 0.5)), peers.BarlowTwinsLoss(0.5)),
    "vicreg": (lambda one, two: weighted(vicreg(one, two), 25, 25, 1), peers.VICRegLoss()),
    "invariance": (lambda one, two: vicreg(one, two)[0], peers.VICRegLoss(1, 0, 0)),
    "variance": (lambda one, two: vicreg(one, two)[1], peers.VICRegLoss(0, 1, 0)),
    "covariance": (lambda one, two: vicreg(one, two)[2], peers.VICRegLoss(0, 0, 1)),
    "cosine": (lambda one, two: -cosine(one, two), peers.NegativeCosineSimilarity()),
}
"""Ours and theirs of the same two views, (B, D) each."""


def sum_of(terms: tuple[Tensor, ...]) -> Tensor:
    return torch.stack(terms).sum()


def weighted(terms: tuple[Tensor, ...], *weights: float) -> Tensor:
    return sum_of(tuple(weight * term for weight, term in zip(weights, terms, strict=True)))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosines(count: int, seed: int = 0) -> list[Tensor]:
    """Scores (B, K) of views, in [-1, 1]."""
    prototypes = unit(drawn(40, DIM, seed=99))
    return [similarity(unit(drawn(SAMPLES, DIM, seed=seed + view)), prototypes) for view in range(count)]


@pytest.mark.parametrize("name", PAIRS)
def test_a_loss_of_two_views_and_its_gradients_are_the_peer_s(name: str) -> None:
    found = []
    for loss in PAIRS[name]:
        first = (0.8 * drawn(SAMPLES, DIM)).requires_grad_()
        second = (0.5 * drawn(SAMPLES, DIM) + 0.4 * drawn(SAMPLES, DIM, seed=1)).requires_grad_()
        value = loss(first, second)
        found.append((value, *torch.autograd.grad(value, [first, second])))
    torch.testing.assert_close(*found, **NEAR)
    assert abs(float(found[0][0].detach())) > 0.01


def test_nt_xent_with_a_bank_of_negatives_is_info_nce_of_moco() -> None:
    peer = peers.NTXentLoss(0.2, memory_bank_size=(50, DIM))
    queries, keys = drawn(SAMPLES, DIM), drawn(SAMPLES, DIM, seed=1)
    negatives = peer.memory_bank.bank.clone()
    positive = (unit(queries) * unit(keys)).sum(1) / 0.2
    ours = info_nce(positive, similarity(unit(queries), negatives) / 0.2).mean()
    torch.testing.assert_close(ours, peer(queries, keys), **NEAR)


@pytest.mark.parametrize("iterations", [1, 3, 20])
@pytest.mark.parametrize("sharpness", [0.05, 0.5])
def test_sinkhorn_gives_the_peer_s_codes(iterations: int, sharpness: float) -> None:
    scores = cosines(1)[0]
    found = sinkhorn(scores, sharpness, iterations)
    theirs = import_module("lightly.loss.swav_loss").sinkhorn(scores, iterations, sharpness)
    torch.testing.assert_close(found, theirs, **NEAR)
    assert float(found.std(0).mean()) > 1e-3


@pytest.mark.parametrize("small", [0, 3])
def test_swav_s_loss_of_large_and_small_views_is_the_peer_s(small: int) -> None:
    scores = cosines(2 + small)
    codes = [sinkhorn(each, 0.05) for each in scores[:2]]
    ours = swapped(codes, [each / 0.1 for each in scores])
    theirs = peers.SwaVLoss()(scores[:2], scores[2:])
    torch.testing.assert_close(ours, theirs.squeeze(), **NEAR)


@pytest.mark.parametrize("small", [0, 3])
def test_dino_s_loss_of_large_and_small_views_is_the_peer_s(small: int) -> None:
    """Theirs sums over samples and pairs and divides by the number of both, which is the mean of the pairs' means."""
    student, teacher = cosines(2 + small), cosines(2, seed=50)
    peer, centre = peers.DINOLoss(40, teacher_temp=0.05, student_temp=0.2), 0.3 * drawn(40)
    peer.center.copy_(centre)
    ours = swapped([sharpened(each, centre, 0.05) for each in teacher], [each / 0.2 for each in student])
    torch.testing.assert_close(ours, peer(teacher, student), **NEAR)


def method(name: str, **settings: float) -> Method:
    """In evaluation, so that no running statistics change between two looks at the same views."""
    torch.manual_seed(0)
    data = DataSpec(64, {"images": (3, 16, 16)})
    return method_class(name)(ResNet(depth=10, width=4), data, hidden=DIM, **settings).eval()


def made(built: Method, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (SAMPLES, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return built.views(pictures, generator)


def crops(views: tuple[Tensor, ...], network: nn.Module) -> list[Tensor]:
    """What a network gives for each large and each small view, (B, K) each."""
    return [found for view in views for found in network(view).split(SAMPLES)]


def scored(built: Method, views: tuple[Tensor, ...]) -> Scored:
    return Scored.of(built.loss(*views, index=INDEX))


@torch.no_grad()
def test_swav_with_a_queue_is_the_peer_with_a_queue() -> None:
    swav = method("swav", queue=32, queue_from=0.0, prototypes=40, small_crops=2, sharpness=0.05)
    swav.kept.fill_(32)
    views = made(swav)
    prototypes = swav.prototypes
    vectors = crops(views, swav.encoder)
    projections = swav.projector(torch.cat(vectors)).split(len(vectors[0]))
    scores = [similarity(unit(each), prototypes) for each in projections]
    queued = [similarity(queue.rows, prototypes) for queue in swav.queues]
    theirs = peers.SwaVLoss()(scores[:2], scores[2:], queued).squeeze()
    torch.testing.assert_close(scored(swav, views).terms["loss"], theirs, **NEAR)
    assert abs(float(theirs - peers.SwaVLoss()(scores[:2], scores[2:]))) > 1e-4, "the queue has to matter"


@torch.no_grad()
def test_dino_s_centre_goes_where_the_peer_s_goes() -> None:
    """Over three steps with the same teacher: a loss is that of the centre before its own batch."""
    dino = method("dino", outputs=40, teacher_momentum=1.0, centre_momentum=0.6, small_crops=2)
    peer = peers.DINOLoss(40, center_momentum=0.6)
    for step in range(3):
        views = made(dino, step)
        student = crops(views, dino.network())
        theirs = peer(crops(views[:2], dino.teacher), student)
        found = scored(dino, views)
        torch.testing.assert_close(found.terms["loss"], theirs, **NEAR)
        dino.after_step(found.handed_over, (step + 1) / 3)
        torch.testing.assert_close(dino.centre, peer.center.flatten(), **NEAR)
    assert float(dino.centre.abs().max()) > 1e-3


@torch.no_grad()
def test_nnclr_finds_the_neighbours_that_the_peer_finds() -> None:
    """The losses are no peers: theirs is NT-Xent of neighbours and predictions, with both as negatives of both."""
    nnclr, peer = method("nnclr", support=32, projection=DIM), modules.NNMemoryBankModule(size=(32, DIM))
    peer.bank.copy_(nnclr.support.rows)
    vectors = drawn(SAMPLES, DIM)
    found = nnclr.neighbours(unit(vectors))
    torch.testing.assert_close(found, peer(vectors), **NEAR)
    assert len(found.unique(dim=0)) > 1


@torch.no_grad()
@pytest.mark.parametrize(("name", "scale", "offset"), [("simsiam", 1 / 2, 0), ("byol", 2, 4)])
def test_simsiam_and_byol_are_the_peer_s_negative_cosines(name: str, scale: float, offset: float) -> None:
    built, peer = method(name), peers.NegativeCosineSimilarity()
    views = made(built)
    online = [built.projector(built.encoder(view)) for view in views]
    targets = online if name == "simsiam" else [built.teacher(view) for view in views]
    both = peer(built.predictor(online[0]), targets[1]) + peer(built.predictor(online[1]), targets[0])
    torch.testing.assert_close(scored(built, views).terms["loss"], offset + scale * both, **NEAR)


@pytest.mark.parametrize(("start", "end"), [(0.996, 1.0), (0.9, 0.99)])
def test_a_teacher_s_momentum_rises_as_the_peer_s(start: float, end: float) -> None:
    theirs = import_module("lightly.utils.scheduler").cosine_schedule
    for step in range(11):
        assert momentum_at(start, end, step / 10) == pytest.approx(theirs(step, 11, start, end), abs=1e-9)


@pytest.mark.parametrize(("side", "width"), [(4, 8), (14, 64)])
def test_sine_positions_are_the_peer_s_of_mae(side: int, width: int) -> None:
    theirs = torch.from_numpy(utils.get_2d_sine_cosine_positional_embedding(width, side, cls_token=False)).float()
    torch.testing.assert_close(sine_positions(side, side, width)[0], theirs, **NEAR)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_dino_s_head_gives_what_the_peer_s_gives_with_the_same_weights() -> None:
    ours, theirs = Head(12, 20, DIM, 40), modules.DINOProjectionHead(12, 20, DIM, 40)
    layers = [[layer for layer in head.layers if isinstance(layer, nn.Linear)] for head in (ours, theirs)]
    for own, peer in zip(*layers, strict=True):
        peer.load_state_dict(own.state_dict())
    theirs.last_layer.weight_v.copy_(ours.outputs)
    vectors = 50 * drawn(SAMPLES, 12)
    torch.testing.assert_close(ours(vectors), theirs(vectors), **NEAR)
