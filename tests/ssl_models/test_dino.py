"""DINO: eq. 3 in a loop, a centre that follows, a teacher without gradient, and what keeps outputs from collapsing."""

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
from ssl_models.method import Scored
from ssl_models.methods.dino import DINO, Head

torch.set_num_threads(1)

B, K = 6, 12
INDEX = torch.arange(B)


def method(**settings: Any) -> DINO:
    torch.manual_seed(0)
    usual = {"outputs": K, "hidden": 32, "bottleneck": 16, "small_crops": 2}
    return DINO(ResNet(depth=10, width=4), DataSpec(40, {"images": (3, 16, 16)}), **usual | settings)


def pictures(batch: int = B) -> Tensor:
    """Smooth random pictures, (B, 3, 16, 16) uint8."""
    coarse = torch.rand(batch, 3, 4, 4, generator=Generator().manual_seed(1))
    return (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)


def made(dino: DINO, seed: int = 0) -> tuple[Tensor, ...]:
    return dino.views(pictures(), Generator().manual_seed(seed))


def score(dino: DINO, views: tuple[Tensor, ...]) -> Scored:
    return dino.loss(*views, index=INDEX)


def stepped(dino: DINO, seed: int = 0, progress: float = 0.5) -> float:
    """A training step's loss; the step is done."""
    scored = score(dino, made(dino, seed))
    dino.zero_grad()
    scored.terms["loss"].backward()
    with torch.no_grad():
        for parameter in dino.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.05)
    dino.after_step(scored.handed_over, progress)
    return float(scored.terms["loss"].detach())


def unlike(dino: DINO) -> DINO:
    """With a teacher that differs from the student, and a centre that is not zero."""
    generator = Generator().manual_seed(5)
    for parameter in dino.teacher.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    dino.centre.copy_(0.1 * torch.randn(K, generator=generator))
    return dino


# ---- views, head


def test_views_are_two_large_ones_and_the_small_ones_below_one_another() -> None:
    assert [view.shape for view in made(method())] == [(B, 3, 16, 16), (B, 3, 16, 16), (2 * B, 3, 8, 8)]
    assert len(made(method(small_crops=0))) == 2


def test_the_head_gives_cosines_which_no_length_changes() -> None:
    torch.manual_seed(0)
    head, vectors = Head(8, 16, 4, K), torch.randn(B, 8)
    found = head(vectors)
    hidden = head.layers(vectors)
    for row in range(B):
        for output in range(K):
            expected = functional.cosine_similarity(hidden[row], head.outputs[output], dim=0)
            torch.testing.assert_close(found[row, output], expected)
    with torch.no_grad():
        head.outputs.mul_(3)
        head.layers[-1].weight.mul_(5)
        head.layers[-1].bias.mul_(5)
    torch.testing.assert_close(head(vectors), found)


def test_a_head_at_the_start_hands_on_the_differences_between_vectors_at_any_width() -> None:
    """With the paper's fixed deviation of weights, a narrow head's vectors would be a hundredth as long, or less."""
    torch.manual_seed(0)
    vectors = torch.randn(64, 32)
    for hidden in (32, 256, 2048):
        lengths = Head(32, hidden, 64, K).layers(vectors).norm(dim=1)
        assert 0.1 < lengths.mean() / vectors.norm(dim=1).mean() < 2


# ---- loss


@pytest.mark.parametrize("small_crops", [0, 2])
def test_the_loss_is_equation_3_of_the_paper(small_crops: int) -> None:
    """In evaluation, where crops have no common statistics, each is computed by itself."""
    dino = unlike(method(small_crops=small_crops, temperature=0.2, teacher_temperature=0.05)).eval()
    views = made(dino)
    crops = [*views[:2], *(views[2].split(B) if small_crops else [])]
    with torch.no_grad():
        losses = []
        for place, large in enumerate(crops[:2]):
            for at, crop in enumerate(crops):
                if at == place:
                    continue
                for row in range(B):
                    taught = ((dino.teacher(large)[row] - dino.centre) / 0.05).exp()
                    found = (dino.head(dino.encoder(crop))[row] / 0.2).exp()
                    target, guess = taught / taught.sum(), found / found.sum()
                    losses.append(-sum(float(target[k]) * math.log(float(guess[k])) for k in range(K)))
        loss = float(score(dino, views).terms["loss"])
    assert len(losses) == B * 2 * (1 + small_crops)
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_equal_scores_cost_the_logarithm_of_the_outputs_and_have_full_entropy() -> None:
    dino = method()
    for head in (dino.head, dino.teacher.module[1]):
        torch.nn.init.zeros_(head.layers[-1].weight)
    terms = score(dino, made(dino)).terms
    assert float(terms["loss"].detach()) == pytest.approx(math.log(K), rel=1e-5)
    assert float(terms["entropy"]) == pytest.approx(1, rel=1e-5)


def test_the_entropy_is_that_of_the_teacher_alone() -> None:
    dino = unlike(method()).eval()
    views = made(dino)
    scores = torch.cat([dino.teacher(view) for view in views[:2]])
    targets = ((scores - dino.centre) / dino.teacher_temperature).softmax(1)
    expected = -(targets * targets.log()).nan_to_num().sum(1).mean() / math.log(K)
    terms = score(dino, views).terms
    torch.testing.assert_close(terms["entropy"], expected)
    assert not terms["entropy"].requires_grad
    with torch.no_grad():
        dino.head.outputs.neg_()
    assert torch.equal(score(dino, views).terms["entropy"], terms["entropy"])


def test_a_constant_added_to_the_centre_changes_nothing() -> None:
    dino = unlike(method()).eval()
    views = made(dino)
    before = score(dino, views).terms["loss"].detach()
    dino.centre.add_(0.7)
    torch.testing.assert_close(score(dino, views).terms["loss"].detach(), before, rtol=1e-4, atol=1e-5)


# ---- teacher, centre, last layer


def test_the_centre_follows_the_teacher_s_scores_of_the_large_views_by_equation_4() -> None:
    dino = unlike(method(centre_momentum=0.75)).eval()
    views, before = made(dino), dino.centre.clone()
    scored = score(dino, views)
    assert torch.equal(dino.centre, before)
    mean = torch.cat([dino.teacher(view) for view in views[:2]]).mean(0)
    torch.testing.assert_close(scored.handed_over, mean)
    dino.after_step(scored.handed_over, 0.1)
    torch.testing.assert_close(dino.centre, 0.75 * before + 0.25 * mean)


def test_with_a_centre_momentum_of_1_there_is_no_centre() -> None:
    dino = method(centre_momentum=1.0)
    stepped(dino)
    assert not dino.centre.any()


def test_small_crops_are_not_shown_to_the_teacher() -> None:
    dino = unlike(method())
    views = made(dino)
    before = score(dino, views)
    after = score(dino, (*views[:2], 1 - views[2]))
    assert torch.equal(after.terms["entropy"], before.terms["entropy"])
    assert torch.equal(after.handed_over, before.handed_over)
    assert not torch.equal(after.terms["loss"], before.terms["loss"])


def test_no_gradient_goes_into_the_teacher_or_through_it() -> None:
    """The gradient is that of targets which are constants: of a cross entropy, the guess less the target."""
    dino = unlike(method(small_crops=0)).eval()
    dino.progress.fill_(1)
    views = made(dino)
    score(dino, views).terms["loss"].backward()
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in dino.teacher.parameters())
    assert dino.centre.grad_fn is None
    found = dino.head.outputs.grad.clone()
    dino.zero_grad()
    hand = torch.zeros(())
    for place in (0, 1):
        scores = dino.head(dino.encoder(views[1 - place]))
        target = ((dino.teacher(views[place]) - dino.centre) / dino.teacher_temperature).softmax(1)
        step = ((scores / dino.temperature).softmax(1) - target) / (dino.temperature * 2 * B)
        hand = hand + (scores * step.detach()).sum()
    hand.backward()
    torch.testing.assert_close(dino.head.outputs.grad, found, rtol=1e-4, atol=1e-6)


def test_the_teacher_moves_by_its_momentum_which_ends_where_it_should() -> None:
    dino = unlike(method(teacher_momentum=0.5, teacher_momentum_end=1.0))
    scored = score(dino, made(dino))
    for progress, momentum in ((0.5, 0.75), (1.0, 1.0)):  # half a cosine, half way
        before = [parameter.clone() for parameter in dino.teacher.parameters()]
        dino.after_step(scored.handed_over, progress)
        for own, start, source in zip(dino.teacher.parameters(), before, dino.network().parameters(), strict=True):
            expected = momentum * start + (1 - momentum) * source
            torch.testing.assert_close(own, expected, check_stride=False)


@pytest.mark.parametrize(
    ("freeze", "progress", "moves"),
    [
        (0.25, None, False),
        (0.25, 0.125, False),
        (0.25, 0.25, True),
        (0.25, 1.0, True),
        (0.0, None, True),
        (1.0, 0.9, False),
    ],
)
def test_the_last_layer_has_no_gradient_in_the_first_share_of_the_training(
    freeze: float, progress: float | None, moves: bool
) -> None:
    dino = method(freeze=freeze)
    if progress is not None:
        dino.after_step(score(dino, made(dino)).handed_over, progress)
    score(dino, made(dino)).terms["loss"].backward()
    assert (dino.head.outputs.grad is not None) is moves
    others = [*dino.encoder.parameters(), *dino.head.layers.parameters()]
    assert all(parameter.grad is not None for parameter in others)


def test_a_frozen_layer_costs_the_same() -> None:
    frozen, free = method(freeze=1.0), method(freeze=0.0)
    losses = [score(dino, made(dino)).terms["loss"] for dino in (frozen, free)]
    assert torch.equal(*losses)


def test_a_resumed_training_goes_on_with_the_same_teacher_centre_and_progress() -> None:
    first, second = method(freeze=0.25), method(freeze=0.25)
    for seed in range(3):
        stepped(first, seed, progress=0.3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert torch.equal(first.head.outputs, second.head.outputs)
    assert float(second.progress) == 0.5


# ---- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": 1}, "outputs is 1; it must be at least 2"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"teacher_temperature": -1.0}, r"teacher_temperature is -1\.0"),
        ({"centre_momentum": 1.5}, r"centre_momentum is 1\.5"),
        ({"teacher_momentum": -0.5}, r"teacher_momentum is -0\.5"),
        ({"teacher_momentum_end": 1.5}, r"teacher_momentum_end is 1\.5"),
        ({"freeze": 2.0}, r"freeze is 2\.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"bottleneck": 0}, "bottleneck is 0"),
        ({"small_crops": -1}, "small_crops is -1"),
        ({"smallest_small_crop": 0.5}, r"smallest_small_crop is 0\.5; .* smallest_crop, 0\.3"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"solarise": 1.5}, r"solarise is 1\.5"),
        ({"hue": 0.7}, r"hue is 0\.7"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
