"""SwAV: codes that use all prototypes, predicted from the other views; prototypes, their beginning, and the queue."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.assignment import sinkhorn
from ssl_models.methods.swav import SwAV

torch.set_num_threads(1)

INDEX = torch.tensor([11, 2, 7, 5, 30, 31])


def method(**settings: Any) -> SwAV:
    torch.manual_seed(0)
    settings = {"prototypes": 8, "projection": 16, "hidden": 16, "sharpness": 0.05} | settings
    return SwAV(ResNet(depth=10, width=4), DataSpec(40, {"images": (3, 16, 16)}), **settings)


def made(swav: SwAV, seed: int = 0) -> tuple[Tensor, ...]:
    """Views of six smooth random pictures, (6, 3, 16, 16) uint8."""
    coarse = torch.rand(6, 3, 4, 4, generator=Generator().manual_seed(1))
    smooth = (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)
    return swav.views(smooth, Generator().manual_seed(seed))


def stepped(swav: SwAV, seed: int = 0, progress: float = 0.5, rate: float = 0.1) -> float:
    """A training step's loss; the step is done, with weight decay where there is a gradient."""
    scored = swav.loss(*made(swav, seed), index=INDEX)
    swav.zero_grad()
    scored.terms["loss"].backward()
    torch.optim.SGD(swav.parameters(), lr=rate, weight_decay=0.1).step()
    swav.after_step(scored.handed_over, progress)
    return float(scored.terms["loss"].detach())


def crops_of(views: tuple[Tensor, ...]) -> list[Tensor]:
    """Each (B, C, h, w): the large ones, and the small ones, which lie below one another."""
    return [crop for view in views for crop in view.split(len(INDEX))]


def lengths(swav: SwAV) -> Tensor:
    return swav.prototypes.detach().norm(dim=1)


@pytest.mark.parametrize("small_crops", [0, 1, 3])
def test_the_loss_is_the_mean_over_pairs_of_a_code_and_another_view(small_crops: int) -> None:
    swav = method(small_crops=small_crops, temperature=0.2, sharpness=0.1, iterations=2).eval()
    views = made(swav)
    loss = swav.loss(*views, index=INDEX).terms["loss"]
    with torch.no_grad():  # in evaluation a crop's vector depends on no other crop
        vectors = [functional.normalize(swav.projector(swav.encoder(crop)), dim=1) for crop in crops_of(views)]
        scores = [each @ swav.prototypes.T for each in vectors]
    assert len(scores) == 2 + small_crops
    losses = []
    for coded in (0, 1):
        codes = sinkhorn(scores[coded], 0.1, 2)
        for predicted in range(len(scores)):
            if predicted != coded:
                logs = (scores[predicted] / 0.2).log_softmax(1)
                losses += [-float(code @ log) for code, log in zip(codes, logs, strict=True)]
    assert len(losses) == 2 * (1 + small_crops) * len(INDEX)
    assert float(loss.detach()) == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_without_small_crops_there_are_two_views_of_the_whole_size() -> None:
    swav = method(small_crops=0)
    views = made(swav)
    assert [view.shape for view in views] == [(6, 3, 16, 16)] * 2
    assert swav.layout(views) == (1, 1)
    small = method(small_crops=3)
    assert [view.shape for view in made(small)] == [(6, 3, 16, 16)] * 2 + [(18, 3, 8, 8)]
    assert small.layout(made(small)) == (1, 1, 3)


def test_the_encoder_is_called_once_a_size_and_the_head_once_with_all_crops() -> None:
    swav = method(small_crops=3)
    rows: dict[str, list[int]] = {"encoder": [], "projector": []}
    for name, found in rows.items():
        getattr(swav, name).register_forward_hook(lambda _, given, __, found=found: found.append(len(given[0])))
    swav.loss(*made(swav), index=INDEX)
    assert rows == {"encoder": [12, 18], "projector": [30]}


def test_codes_carry_no_gradient() -> None:
    swav = method(small_crops=1, freeze=0.0).eval()
    views = made(swav)
    swav.loss(*views, index=INDEX).terms["loss"].backward()
    found = {name: parameter.grad for name, parameter in swav.named_parameters()}
    swav.zero_grad()
    vectors = [functional.normalize(swav.projector(swav.encoder(crop)), dim=1) for crop in crops_of(views)]
    scores = [each @ swav.prototypes.T for each in vectors]
    given = [sinkhorn(each, 0.05, 3).tolist() for each in scores[:2]]  # numbers have no gradient
    logs = [(each / 0.1).log_softmax(1) for each in scores]
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
    torch.stack([-(torch.tensor(given[code]) * logs[view]).sum(1).mean() for code, view in pairs]).mean().backward()
    for name, parameter in swav.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_equal_scores_cost_the_chance_and_use_one_prototype() -> None:
    swav = method()
    swav.prototypes.data.copy_(swav.prototypes.data[:1].expand(8, -1))
    terms = swav.loss(*made(swav), index=INDEX).terms
    assert swav.chance == pytest.approx(math.log(8))
    assert float(terms["loss"].detach()) == pytest.approx(math.log(8), rel=1e-5)
    assert float(terms["prototypes_used"]) == pytest.approx(1 / 8)
    assert not terms["prototypes_used"].requires_grad


def test_the_prototypes_used_are_the_first_ones_of_the_large_views() -> None:
    swav = method(prototypes=30, small_crops=0)
    views = made(swav)
    with torch.no_grad():
        scores = swav.projector(swav.encoder(torch.cat(views))) @ swav.prototypes.T
    first = {int(row.argmax()) for row in scores}
    assert len(first) > 1
    assert float(swav.loss(*views, index=INDEX).terms["prototypes_used"]) == pytest.approx(len(first) / 30)


def test_prototypes_have_length_one_at_the_start_and_after_each_step() -> None:
    swav = method(freeze=0.0)
    torch.testing.assert_close(lengths(swav), torch.ones(8))
    for seed in range(3):
        scored = swav.loss(*made(swav, seed), index=INDEX)
        scored.terms["loss"].backward()
        torch.optim.SGD(swav.parameters(), lr=5.0).step()
        assert float((lengths(swav) - 1).abs().max()) > 0.01, "the step kept the lengths"
        moved = functional.normalize(swav.prototypes.detach(), dim=1)
        swav.after_step(scored.handed_over, 0.5)
        torch.testing.assert_close(lengths(swav), torch.ones(8))
        torch.testing.assert_close(swav.prototypes.detach(), moved)


def test_prototypes_are_frozen_at_the_beginning_and_move_after_it() -> None:
    swav = method(freeze=0.5)
    start, body = swav.prototypes.detach().clone(), swav.projector[0][0].weight.detach().clone()
    for step, done in enumerate((0.25, 0.49, 0.5)):  # of the training, after each step
        stepped(swav, step, done)
        assert swav.prototypes.grad is None
    torch.testing.assert_close(swav.prototypes.detach(), start, rtol=0, atol=1e-6)
    assert not torch.equal(swav.projector[0][0].weight, body), "the network waits too"
    stepped(swav, 3, 0.75)
    assert swav.prototypes.grad is not None
    assert float((swav.prototypes.detach() - start).abs().max()) > 1e-4


@pytest.mark.parametrize(("freeze", "moves"), [(0.0, True), (0.001, False)])
def test_the_first_step_moves_prototypes_only_without_a_beginning(freeze: float, moves: bool) -> None:
    swav = method(freeze=freeze)
    start = swav.prototypes.detach().clone()
    stepped(swav)
    assert (float((swav.prototypes.detach() - start).abs().max()) > 1e-4) is moves


def scores_and_codes(swav: SwAV, view: int = 0) -> tuple[Tensor, Tensor]:
    """Scores (6, 8) that do not come from the method, and the code that it gives them."""
    scores = functional.normalize(torch.randn(6, 16, generator=Generator().manual_seed(9)), dim=1) @ swav.prototypes.T
    return scores.detach(), swav.code(view, scores.detach())


def uses_queue(swav: SwAV) -> bool:
    scores, codes = scores_and_codes(swav)
    return not torch.allclose(codes, sinkhorn(scores, 0.05, 3), atol=1e-4)


def test_the_queue_is_used_once_it_is_full() -> None:
    swav = method(queue=15, queue_from=0.0)
    used = []
    for seed in range(4):
        used.append(uses_queue(swav))
        stepped(swav, seed)
    assert used == [False, False, False, True]  # with 0, 6, 12 and 18 projections


def test_the_queue_is_used_only_after_its_share_of_the_training() -> None:
    swav = method(queue=6, queue_from=0.5)
    used = []
    for seed, progress in enumerate((0.2, 0.4, 0.5, 0.6)):
        stepped(swav, seed, progress)
        used.append(uses_queue(swav))
    assert used == [False, False, True, True]


def test_codes_with_the_queue_are_those_of_all_rows_together() -> None:
    swav = method(queue=10, queue_from=0.0)
    for seed in range(2):
        stepped(swav, seed)
    found = []
    for view, queue in enumerate(swav.in_order()):
        scores, codes = scores_and_codes(swav, view)
        together = torch.cat([queue.rows @ swav.prototypes.detach().T, scores])  # in the other order
        torch.testing.assert_close(codes, sinkhorn(together, 0.05, 3)[10:])
        found.append(codes)
    assert codes.shape == (6, 8)
    assert not torch.allclose(*found, atol=1e-3), "both views have the same queue"


def test_the_queues_change_the_loss() -> None:
    with_queue, without = method(queue=6, queue_from=0.0), method(queue=0)
    losses = [(stepped(with_queue, seed), stepped(without, seed)) for seed in range(2)]
    assert losses[0][0] == losses[0][1]
    assert abs(losses[1][0] - losses[1][1]) > 1e-3


def test_the_large_views_projections_go_into_a_queue_each_after_the_loss() -> None:
    swav = method(queue=10)
    before = [queue.rows.clone() for queue in swav.in_order()]
    handed_over = swav.loss(*made(swav), index=INDEX).handed_over
    assert all(torch.equal(queue.rows, rows) for queue, rows in zip(swav.in_order(), before, strict=True))
    swav.after_step(handed_over, 0.1)
    assert len(before) == 2
    for queue, rows, projections in zip(swav.in_order(), before, handed_over, strict=True):
        torch.testing.assert_close(projections.norm(dim=1), torch.ones(6))
        assert torch.equal(queue.rows, torch.cat([projections, rows[6:]]))
        assert not queue.rows.requires_grad
    assert (int(swav.kept), float(swav.progress)) == (6, pytest.approx(0.1))


def test_a_restored_method_goes_on_with_the_same_queue_and_progress() -> None:
    first, second = (method(queue=12, queue_from=0.3, freeze=0.3) for _ in range(2))
    for seed, progress in enumerate((0.1, 0.2, 0.3)):
        stepped(first, seed, progress)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert uses_queue(first)
    assert uses_queue(second)
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_without_a_queue_none_is_kept() -> None:
    names = {name.partition(".")[0] for name in method().state_dict()}
    assert names == {"encoder", "projector", "prototypes", "progress", "kept"}
    assert {name for name in method(queue=6).state_dict() if name.startswith("queues.")} == {
        f"queues.{view}.{part}" for view in (0, 1) for part in ("rows", "pointer")
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prototypes": 1}, "prototypes is 1; it must be at least 2"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"sharpness": -0.1}, r"sharpness is -0\.1"),
        ({"iterations": 0}, "iterations is 0"),
        ({"queue": 41}, "queue is 41; 40 samples allow 0 to that many"),
        ({"queue": -1}, "queue is -1; 40 samples allow 0"),
        ({"queue_from": 1.5}, r"queue_from is 1\.5"),
        ({"freeze": -0.5}, r"freeze is -0\.5"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": 0}, "projection is 0"),
        ({"small_crops": -1}, "small_crops is -1; it must be at least 0"),
        ({"smallest_small_crop": 0.0}, r"smallest_small_crop is 0\.0"),
        ({"smallest_small_crop": 0.5, "smallest_crop": 0.4}, r"smallest_small_crop is 0\.5; .* at most smallest_crop"),
        ({"smallest_crop": 0.0, "small_crops": 0}, r"smallest_crop is 0\.0"),
        ({"hue": 0.7}, r"hue is 0\.7"),
        ({"blur": 1.5}, r"blur is 1\.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"swav needs pictures of shape \(C, H, W\)"):
        SwAV(ResNet(depth=10, width=4), DataSpec(40, {"images": (16,)}))
