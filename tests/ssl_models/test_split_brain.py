"""Split-brain: each half predicts what the other sees, and neither sees what it predicts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.datasets import world
from ssl_models.encoders import build_encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.split import SplitResNet
from ssl_models.methods.split_brain import PlacesHead, SplitBrain
from ssl_models.views.colour_bins import EXTENTS, gamut_bins
from ssl_models.views.lab import rgb_to_lab

torch.set_num_threads(1)

INDEX = torch.arange(4)
CHANNELS = {"lab": 3, "depth": 4}
LEVEL = {"lab": "lightness", "depth": "depth"}


def method(space: str = "lab", *, side: int = 32, width: int = 8, **settings: Any) -> SplitBrain:
    torch.manual_seed(0)
    channels = CHANNELS[space]
    encoder = ResNet(depth=10, width=width, channels=channels)
    return SplitBrain(encoder, DataSpec(64, {"images": (channels, side, side)}), space=space, **settings)


def pictures(space: str = "lab", batch: int = 4, side: int = 32) -> Tensor:
    return torch.rand(batch, CHANNELS[space], side, side, generator=torch.Generator().manual_seed(1))


def known(space: str, rgb: tuple[float, ...], nearness: float = 0.0) -> Tensor:
    """(4, C, 32, 32) of one colour and one nearness."""
    values = [*rgb, nearness][: CHANNELS[space]]
    return torch.tensor(values)[None, :, None, None].expand(4, -1, 32, 32).contiguous()


class Fixed(nn.Module):
    """A head that gives the same answer to everything."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer)

    def forward(self, maps: Tensor) -> Tensor:  # noqa: ARG002
        return self.answer


def test_the_split_encoder_takes_the_place_of_the_resnet() -> None:
    given = ResNet(depth=10, width=8, norm="group", stem_stride=1)
    brain = SplitBrain(given, DataSpec(64, {"images": (3, 32, 32)}))
    assert isinstance(brain.encoder, SplitResNet)
    assert brain.encoder.settings == {**given.settings, "space": "lab"}
    assert brain.encoder.dim == given.dim
    assert not {id(parameter) for parameter in given.parameters()} & {id(found) for found in brain.parameters()}
    build_encoder(brain.encoder.name, **brain.encoder.settings).load_state_dict(brain.encoder.state_dict())


@pytest.mark.parametrize("space", CHANNELS)
def test_the_loss_is_a_naive_loop_over_places(space: str) -> None:
    brain, images = method(space).eval(), pictures(space)
    terms = brain.loss(images, index=INDEX)
    front, back = brain.encoder.layers(images)["res5"].chunk(2, 1)
    colour, level = brain.colour_head(front), brain.level_head(back)
    assert colour.shape == (4, 262, 8, 8)
    assert level.shape == (4, 50, 8, 8)
    bins = gamut_bins(10)
    losses: dict[str, list[Tensor]] = {"colour": [], LEVEL[space]: []}
    right = []
    for sample in range(4):
        for row in range(8):
            for column in range(8):
                seen = images[sample : sample + 1, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                mean = seen.mean((2, 3), keepdim=True)
                if space == "lab":
                    lightness, *ab = rgb_to_lab(seen).mean((2, 3))[0].tolist()
                    step = int(lightness // 2)
                else:
                    ab = rgb_to_lab(mean[:, :3])[0, 1:, 0, 0].tolist()
                    step = int(mean[0, 3, 0, 0] * 50)
                nearest = int((bins - torch.tensor(ab)).square().sum(1).argmin())
                losses["colour"].append(-colour[sample, :, row, column].log_softmax(0)[nearest])
                losses[LEVEL[space]].append(-level[sample, :, row, column].log_softmax(0)[step])
                right.append(float(colour[sample, :, row, column].argmax() == nearest))
                right.append(float(level[sample, :, row, column].argmax() == step))
    assert set(terms) == {*losses, "accuracy"}
    for name, values in losses.items():
        torch.testing.assert_close(terms[name], torch.stack(values).mean(), rtol=1e-4, atol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(right) / len(right))
    assert not terms["accuracy"].requires_grad


@pytest.mark.parametrize(("space", "extent"), [(space, extent) for space in CHANNELS for extent in EXTENTS])
def test_equal_logits_cost_chance(space: str, extent: str) -> None:
    brain = method(space, grid=20, extent=extent, levels=7)
    bins = len(EXTENTS[extent](20))
    brain.colour_head, brain.level_head = Fixed(torch.zeros(4, bins, 8, 8)), Fixed(torch.zeros(4, 7, 8, 8))
    terms = brain.loss(pictures(space), index=INDEX)
    assert float(terms["colour"].detach()) == pytest.approx(math.log(bins))
    assert float(terms[LEVEL[space]].detach()) == pytest.approx(math.log(7))
    assert brain.chance == pytest.approx(math.log(bins) + math.log(7))


@pytest.mark.parametrize(
    ("space", "rgb", "nearness", "colour", "step"),
    [
        ("lab", (1.0, 1.0, 1.0), 0.0, (0, 0), 49),  # L* 100 is in the last step
        ("lab", (0.0, 0.0, 0.0), 0.0, (0, 0), 0),
        ("lab", (1.0, 0.0, 0.0), 0.0, (80, 70), 26),  # L* 53.24, a* 80.1, b* 67.2
        ("lab", (0.0, 0.0, 1.0), 0.0, (80, -110), 16),  # 32.30, 79.2, -107.9
        ("depth", (1.0, 0.0, 0.0), 0.0, (80, 70), 0),
        ("depth", (0.5, 0.5, 0.5), 0.51, (0, 0), 25),
        ("depth", (0.5, 0.5, 0.5), 1.0, (0, 0), 49),
    ],
)
def test_known_colours_are_known_classes(
    space: str, rgb: tuple[float, ...], nearness: float, colour: tuple[int, int], step: int
) -> None:
    brain = method(space)
    bins, steps = brain.classes(*brain.targets(*brain.encoder.parts(known(space, rgb, nearness)), (2, 2)))
    assert bins.shape == steps.shape == (4, 2, 2)
    assert brain.bins.centres[bins].unique(dim=0).flatten(0, 2).unique(dim=0).tolist() == [list(colour)]
    assert steps.unique().tolist() == [step]


@pytest.mark.parametrize("space", CHANNELS)
def test_regression_costs_one_for_the_mean_and_nothing_for_the_truth(space: str) -> None:
    brain = method(space, objective="regression")
    images = pictures(space)
    assert brain.chance == 2
    colours, amounts = brain.targets(*brain.encoder.parts(images), (8, 8))
    truth = {"colour": colours / 55, LEVEL[space]: 4 * amounts - 2}
    means = {name: value.mean((0, 2, 3), keepdim=True).expand_as(value).clone() for name, value in truth.items()}
    for answers, cost in ((truth, 0.0), (means, 1.0)):
        brain.colour_head, brain.level_head = Fixed(answers["colour"]), Fixed(answers[LEVEL[space]])
        terms = brain.loss(images, index=INDEX)
        assert set(terms) == set(truth)
        for term in terms.values():
            assert float(term.detach()) == pytest.approx(cost, abs=1e-5)


@pytest.mark.parametrize("objective", ["classification", "regression"])
@pytest.mark.parametrize("space", CHANNELS)
def test_each_term_trains_its_own_half_and_head(space: str, objective: str) -> None:
    for name, trained, idle in (("colour", "first", "second"), (LEVEL[space], "second", "first")):
        brain = method(space, objective=objective)
        brain.loss(pictures(space), index=INDEX)[name].backward()
        heads = {"first": brain.colour_head, "second": brain.level_head}
        for module in (getattr(brain.encoder, trained), heads[trained]):
            assert all(parameter.grad.abs().max() > 0 for parameter in module.parameters())
        for module in (getattr(brain.encoder, idle), heads[idle]):
            assert all(parameter.grad is None for parameter in module.parameters())


def test_no_half_sees_what_it_predicts() -> None:
    brain, images = method("depth").eval(), pictures("depth")
    answers = []
    for changed in (None, 3, 0):
        seen = images.clone()
        if changed is not None:
            seen[:, changed] = 1 - seen[:, changed]
        maps = brain.encoder.layers(seen)["res5"].chunk(2, 1)
        answers.append((brain.colour_head(maps[0]), brain.level_head(maps[1])))
    as_it_is, other_nearness, other_red = answers
    assert torch.equal(as_it_is[1], other_nearness[1])
    assert not torch.equal(as_it_is[0], other_nearness[0])
    assert torch.equal(as_it_is[0], other_red[0])
    assert not torch.equal(as_it_is[1], other_red[1])


def test_a_place_of_the_target_is_what_its_head_looks_at() -> None:
    """A corner of another lightness changes the target of the places in it, and of no other."""
    brain = method()
    plain = known("lab", (0.2, 0.2, 0.2))
    corner = plain.clone()
    corner[:, :, :8, 24:] = 0.9
    steps = [brain.classes(*brain.targets(*brain.encoder.parts(images), (8, 8)))[1] for images in (plain, corner)]
    changed = (steps[0] != steps[1])[0]
    assert changed[:2, 6:].all()
    assert int(changed.sum()) == 4


def test_a_place_of_a_map_fills_the_places_that_lie_in_it() -> None:
    head = PlacesHead(5, 3, 2, 4).eval()
    maps = torch.randn(1, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    other = maps.clone()
    other[:, :, 1, 2] += 1
    changed = (head(maps) != head(other)).any(1)[0]
    assert changed.shape == (8, 12)
    assert changed[4:, 8:].all()
    assert int(changed.sum()) == 16


@pytest.mark.parametrize(
    ("shape", "resolution", "size"),
    [
        ((32, 32), 8, (8, 8)),
        ((32, 32), 2, (2, 2)),
        ((24, 24), 12, (12, 12)),
        ((32, 48), 8, (8, 12)),
        ((64, 64), 1, (4, 4)),
    ],
)
def test_the_resolution_is_that_of_the_shorter_side(
    shape: tuple[int, int], resolution: int, size: tuple[int, int]
) -> None:
    brain = SplitBrain(ResNet(depth=10, width=8), DataSpec(64, {"images": (3, *shape)}), resolution=resolution)
    maps = brain.encoder.layers(torch.rand(2, 3, *shape))["res5"]
    assert brain.colour_head(maps.chunk(2, 1)[0]).shape[2:] == size
    assert all(term.isfinite() for term in brain.loss(torch.rand(2, 3, *shape), index=INDEX[:2]).values())


def test_views_are_crops_of_all_channels_alike() -> None:
    """Nearness moves with the picture: here both show the same ramp."""
    ramp = torch.arange(32).mul(8).to(torch.uint8).expand(6, 4, 32, 32).contiguous()
    (view,) = method("depth", smallest_crop=0.3).views(ramp, torch.Generator().manual_seed(0))
    assert view.shape == (6, 4, 32, 32)
    torch.testing.assert_close(view[:, 3], view[:, 0])
    assert len({float(sample.sum()) for sample in view}) == 6
    directions = {bool(sample[0, 0, 0] < sample[0, 0, -1]) for sample in view}
    assert directions == {True, False}


def test_the_bins_are_not_saved() -> None:
    assert not [name for name in method().state_dict() if name.startswith("bins")]


def test_bf16_costs_about_the_same_with_depth() -> None:
    brain, images = method("depth"), pictures("depth")
    exact = brain.loss(images, index=INDEX)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = brain.loss(images, index=INDEX)
    for name in ("colour", "depth"):
        assert rounded[name].dtype == torch.float32
        assert float(rounded[name].detach()) == pytest.approx(float(exact[name].detach()), rel=0.05)


def test_a_few_steps_on_the_world_with_depth_lower_both_terms() -> None:
    data = world.load(seed=0, train=24, test=1, depth=True)
    brain = method("depth")
    optimizer = torch.optim.SGD(brain.parameters(), lr=0.05, momentum=0.9)
    (views,) = brain.views(data.train.images, torch.Generator().manual_seed(0))
    history = []
    for _ in range(12):
        terms = brain.loss(views, index=torch.arange(24))
        optimizer.zero_grad()
        (terms["colour"] + terms["depth"]).backward()
        optimizer.step()
        history.append({name: float(term.detach()) for name, term in terms.items()})
    assert all(history[-1][name] < 0.8 * history[0][name] for name in ("colour", "depth"))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((1, 32, 32), {}, r"space 'lab' needs pictures of 3 channels \(RGB\), and these have 1"),
        ((4, 32, 32), {}, "needs pictures of 3 channels"),
        ((3, 32, 32), {"space": "depth"}, r"needs pictures of 4 channels \(RGB and nearness\), and these have 3"),
        ((1, 32, 32), {"space": "depth"}, "needs pictures of 4 channels"),
        ((40,), {}, r"split_brain needs pictures of shape \(C, H, W\)"),
        ((3, 32, 32), {"space": "yuv"}, "space is 'yuv'; choose one of lab, depth"),
        ((3, 32, 32), {"objective": "l2"}, "objective is 'l2'; choose one of classification, regression"),
        ((3, 32, 32), {"levels": 1}, "levels is 1; there must be at least 2"),
        ((3, 32, 32), {"resolution": 0}, "resolution is 0; it must be greater than 0"),
        ((3, 32, 48), {"resolution": 33}, "resolution is 33; these pictures allow at most 32"),
        ((3, 32, 32), {"grid": 0}, "grid is 0"),
        ((3, 32, 32), {"extent": "all"}, "extent is 'all'; choose one of gamut, hull"),
        ((3, 32, 32), {"hidden": 0}, "hidden is 0"),
        ((3, 32, 32), {"smallest_crop": 0.0}, "smallest_crop is 0"),
        ((3, 32, 32), {"flip": 1.5}, r"flip is 1.5; it must lie in \[0, 1\]"),
    ],
)
def test_bad_settings_are_refused(shape: tuple[int, ...], settings: dict[str, Any], message: str) -> None:
    encoder = ResNet(depth=10, width=8, channels=shape[0])
    with pytest.raises(ValueError, match=message):
        SplitBrain(encoder, DataSpec(64, {"images": shape}), **settings)


def test_encoders_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(ValueError, match="of a resnet, and cannot split encoder 'split'"):
        SplitBrain(SplitResNet(depth=10, width=8), DataSpec(64, {"images": (3, 32, 32)}))
    with pytest.raises(ValueError, match="encoder width 5 cannot be split"):
        SplitBrain(ResNet(depth=10, width=5), DataSpec(64, {"images": (3, 32, 32)}))
