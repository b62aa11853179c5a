"""What objects do in the clips of world_video, worked out by hand and shown on what is rendered."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ssl_models.datasets._world import truth
from ssl_models.datasets._world.render import object_maps, render
from ssl_models.datasets._world.scene import FACTORS, Scene, sample_scene
from ssl_models.datasets._world_video.motion import ACTIONS, DIALS, DRAWS, MOTIONS, Motions, clocks, sample_motions
from ssl_models.datasets._world_video.path import frames_of, panned, room

torch.set_num_threads(1)
POSES = ("position_x", "position_y", "orientation", "size", "stretch")
MOVES = {
    "slide": {"position_x", "position_y"},
    "hop": {"position_y"},
    "sway": {"orientation"},
    "spin": {"orientation"},
    "grow": {"size"},
    "shrink": {"size"},
    "squash": {"stretch"},
    "still": set(),
}


def drawn(samples: int, seed: int = 0, frames: int = 10, **dials: float) -> tuple[Scene, Motions]:
    generator = torch.Generator().manual_seed(seed)
    scene = sample_scene(samples, generator, DIALS | dials)
    return scene, sample_motions(scene.labels, frames, generator, DIALS | dials)


def paths(samples: int, seed: int = 0, frames: int = 10, **dials: float) -> tuple[dict[str, Tensor], Tensor]:
    """Each factor (B, T) and the actions (B,)."""
    scene, motions = drawn(samples, seed, frames, **dials)
    every = frames_of(scene, motions)
    return {name: values.view(samples, frames) for name, values in every.factors.items()}, motions.actions


def by_hand(action: str, *, direction: float = 0.0) -> dict[str, Tensor]:
    """Factors (5,) of one clip: full speed, phases 0, one period, motions that do not run in the middle of theirs."""
    scene, _ = drawn(1, **dict.fromkeys(DIALS, 0.0))
    actions = torch.tensor([ACTIONS.index(action)])
    draws = {name: torch.full((1,), 0.5 if name.endswith("periods") else 0.0).double() for name in DRAWS}
    draws["slide_direction"] += direction
    half = dict.fromkeys(MOTIONS, torch.full((1,), 0.5, dtype=torch.float64))
    factors = {"speed": torch.ones(1, dtype=torch.float64), "camera": torch.zeros(1, dtype=torch.float64)}
    return dict(frames_of(scene, Motions(actions, factors, clocks(actions, 5, half), draws)).factors)


ROOM = 0.5 - 0.6 * 0.775 / 2 * math.exp(0.2) * math.exp(0.125)
"""Beside an object of 0.465 of the frame that may grow by e^0.2 and be squashed by 0.25: 0.178."""
HOP = 0.9 * ROOM


def close(values: Tensor, expected: list[float]) -> bool:
    return torch.allclose(values, torch.tensor(expected), atol=1e-6)


def test_a_slide_by_hand() -> None:
    right = by_hand("slide")
    assert close(right["position_x"], [share * 0.9 * ROOM for share in (-1, -0.5, 0, 0.5, 1)])
    assert close(right["position_y"], [-HOP / 2] * 5)  # at the top of its hop
    down = by_hand("slide", direction=0.25)
    assert close(down["position_x"], [0.0] * 5)
    assert close(down["position_y"], [-HOP / 2 + share * 0.9 * (ROOM - HOP / 2) for share in (-1, -0.5, 0, 0.5, 1)])


def test_a_hop_by_hand() -> None:
    """One period from the ground: 4 v (1 - v) is 0, 3/4, 1, 3/4, 0, up is negative."""
    assert close(by_hand("hop")["position_y"], [HOP * (0.5 - height) for height in (0, 0.75, 1, 0.75, 0)])
    assert close(by_hand("hop")["position_x"], [0.0] * 5)


def test_turns_by_hand() -> None:
    sway, spin = (by_hand(action)["orientation"] * 180 / math.pi for action in ("sway", "spin"))
    assert torch.allclose(sway, torch.tensor([0.0, 20, 0, -20, 0]), atol=1e-4)
    assert torch.allclose(spin, torch.tensor([45, 22.5, 0, -22.5, -45]), atol=1e-4)  # with the clock


def test_growth_and_squash_by_hand() -> None:
    grown = [0.6 * 0.775 * math.exp(share) for share in (-0.2, -0.1, 0, 0.1, 0.2)]
    assert close(by_hand("grow")["size"], grown)
    assert close(by_hand("shrink")["size"], grown[::-1])
    assert close(by_hand("squash")["stretch"], [0, 0.25, 0, -0.25, 0])


def test_an_action_moves_its_own_factors_and_no_others() -> None:
    found, actions = paths(192, gradient=1.0, texture=1.0, clutter=1.0)
    moves = {name: (values != values[:, :1]).any(1) for name, values in found.items()}
    for number, action in enumerate(ACTIONS):
        own = actions == number
        assert own.sum() == 24
        assert all(bool(moves[name][own].all()) for name in MOVES[action])
        assert not any(bool(moves[name][own].any()) for name in set(FACTORS) - MOVES[action])


def test_even_motions_are_even_and_those_that_come_back_do() -> None:
    found, actions = paths(960)
    for action, name in (("slide", "position_x"), ("slide", "position_y"), ("spin", "orientation")):
        steps = found[name][actions == ACTIONS.index(action)].diff(dim=1)
        assert (steps - steps.mean(1, keepdim=True)).abs().max() < 1e-6
    for action, name in (("hop", "position_y"), ("sway", "orientation"), ("squash", "stretch")):
        steps = found[name][actions == ACTIONS.index(action)].diff(dim=1)
        assert ((steps > 0).any(1) & (steps < 0).any(1)).all()


def test_every_96_clips_hold_each_pair_of_class_and_action_once() -> None:
    scene, motions = drawn(2 * 96 + 13)
    pairs = scene.labels * len(ACTIONS) + motions.actions
    assert all(len(set(block.tolist())) == 96 for block in pairs[:192].split(96))
    assert not torch.equal(pairs[:96], pairs[96:192])


def test_the_first_clips_of_a_longer_draw_are_those_of_a_shorter_one() -> None:
    (few, actions), (many, more) = paths(50), paths(203)
    assert torch.equal(actions, more[:50])
    assert all(torch.equal(values, many[name][:50]) for name, values in few.items())


def test_what_is_drawn_knows_nothing_of_class_and_action() -> None:
    """Kruskal and Wallis's statistic, chi-square with 11 or 7 degrees of freedom: 99.99 % points 37.4 and 29.9."""
    scene, motions = drawn(4800, seed=4, texture=1.0, camera=1.0)
    values = {**motions.draws, **motions.factors, **scene.factors}
    for name in {*motions.draws, *motions.factors, "background_hue", "hue", "light", "texture", "position_x"}:
        assert kruskal(values[name], scene.labels) < 37.4, name
        assert kruskal(values[name], motions.actions) < 29.9, name


def kruskal(values: Tensor, labels: Tensor) -> float:
    count = len(values)
    ranks = values.argsort().argsort().float() + 1
    groups = [ranks[labels == label] for label in labels.unique()]
    between = sum(len(group) * (float(group.mean()) - (count + 1) / 2) ** 2 for group in groups)
    return 12 / (count * (count + 1)) * between


@pytest.mark.parametrize("name", POSES)
def test_a_frame_at_a_random_time_does_not_tell_the_action(name: str) -> None:
    """Neither by its value nor by how far that is from the middle."""
    found, actions = paths(9600, seed=7)
    times = torch.randint(10, (9600,), generator=torch.Generator().manual_seed(0))
    value = found[name][torch.arange(9600), times]
    assert kruskal(value, actions) < 29.9
    assert kruskal((value - value.median()).abs(), actions) < 29.9


def test_what_the_first_frame_tells_is_growth_and_the_ends_of_a_path() -> None:
    found, actions = paths(9600, seed=7)
    first = {name: values[:, 0] for name, values in found.items()}
    assert kruskal(first["size"], actions) > 1000  # the docstring of world_video names it
    ranks = first["size"].argsort().argsort().float() / 9600
    for number, action in enumerate(ACTIONS):
        expected = {"grow": 0.3, "shrink": 0.7}.get(action, 0.5)
        assert float(ranks[actions == number].mean()) == pytest.approx(expected, abs=0.08)
    for name in ("position_x", "position_y", "orientation", "stretch"):
        assert kruskal(first[name], actions) < 29.9


def test_no_clip_is_likelier_than_its_reverse() -> None:
    """Draws that are as likely give the reversed path; grow and shrink are each other's."""
    scene, motions = drawn(192, texture=1.0, camera=1.0)
    turned = dict(motions.draws)
    for name in ("slide_direction", "spin_direction", "camera_direction"):
        turned[name] = (turned[name] + 0.5) % 1
    for name in ("hop", "sway", "squash"):
        periods = 0.8 + 0.4 * turned[f"{name}_periods"]
        phase, runs = turned[f"{name}_phase"], motions.clocks[name][:, 0] != motions.clocks[name][:, -1]
        turned[f"{name}_phase"] = torch.where(runs, (0.5 * (name != "hop") - phase - periods) % 1, phase)
    swapped = motions.actions.clone()
    for one, other in (("grow", "shrink"), ("shrink", "grow")):
        swapped[motions.actions == ACTIONS.index(one)] = ACTIONS.index(other)
    backwards = {
        name: torch.where(clock[:, :1] == clock[:, -1:], 1 - clock if name in ("slide", "spin") else clock, clock)
        for name, clock in motions.clocks.items()
    }
    backwards["growth"] = motions.clocks["growth"].flip(1)
    other = replace(motions, actions=swapped, draws=turned, clocks=backwards)
    here, there = frames_of(scene, motions), frames_of(scene, other)
    for name in (*POSES, "background_brightness"):
        assert torch.allclose(here.factors[name].view(192, 10).flip(1), there.factors[name].view(192, 10), atol=1e-6)
    for tensor, reversed_ in ((here.waves, there.waves), (here.blobs, there.blobs)):
        shape = (192, 10, *tensor.shape[1:])
        assert torch.allclose(tensor.view(shape).flip(1), reversed_.view(shape), atol=1e-5)


@pytest.mark.parametrize("camera", [0.0, 1.0])
def test_the_object_stays_in_the_frame_whatever_the_dials(camera: float) -> None:
    scene, motions = drawn(96, **dict.fromkeys(DIALS, 1.0) | {"camera": camera})
    every = frames_of(scene, motions)
    assert (truth.points(every, 32)[..., 2] == 1).all()
    distance = object_maps(every, 64)[:, 0]
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert (distance[:, edge] > 0).all()


def test_room_is_left_for_the_largest_object() -> None:
    ends = {name: FACTORS[name].value(torch.ones(1), 1.0).double() for name in ("size", "stretch", "bend")}
    largest = {"size": 0.6 * ends["size"], "stretch": 0.5 * ends["stretch"], "bend": 0.5 * ends["bend"]}
    assert 0.04 < float(room(largest, torch.ones(1, dtype=torch.float64))) < 0.06


def test_frames_differ_by_small_steps() -> None:
    """No point of an object moves by more than a tenth of the frame from one frame to the next: 3.2 of 32 pixels."""
    scene, motions = drawn(960)
    places = truth.points(frames_of(scene, motions), 32)[..., :2].view(960, 10, 4, 2)
    assert places.diff(dim=1).norm(dim=3).max() < 3.2
    moving = motions.actions != ACTIONS.index("still")
    far = (places.amax(1) - places.amin(1)).amax((1, 2))
    assert far[moving].min() > 0.4
    assert far[~moving].max() == 0


def test_the_clip_tells_the_action_by_the_steps_of_its_points() -> None:
    def steps(samples: int, seed: int) -> tuple[Tensor, Tensor]:
        scene, motions = drawn(samples, seed)
        places = truth.points(frames_of(scene, motions), 32)[..., :2].reshape(samples, 10, 8)
        step = places.diff(dim=1)
        return torch.cat([step.flatten(1), step.abs().mean(1), step.mean(1).abs()], 1), motions.actions

    (train, actions), (test, expected) = steps(960, 0), steps(480, 1)
    found = LogisticRegression(max_iter=500).fit(train, actions).predict(test)
    assert (torch.from_numpy(found) == expected).float().mean() > 0.9


@pytest.mark.parametrize("pattern", ["gradient", "texture", "clutter"])
@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-1, 4)])
def test_a_pan_by_whole_pixels_shifts_the_background(pattern: str, right: int, down: int) -> None:
    scene, _ = drawn(12, seed=3, background=0.5, **{pattern: 1.0})
    shifts = (torch.full((12,), pixels / 32, dtype=torch.float64) for pixels in (right, down))
    before, after = (render(one, 32, with_object=False).int() for one in (scene, panned(scene, *shifts)))
    there = (slice(max(0, down), 32 + min(0, down)), slice(max(0, right), 32 + min(0, right)))
    here = (slice(max(0, -down), 32 + min(0, -down)), slice(max(0, -right), 32 + min(0, -right)))
    assert (before[:, :, *here] - after[:, :, *there]).abs().max() <= 1
    assert (before != after).any()


def test_camera_moves_object_and_background_together_and_evenly() -> None:
    scene, motions = drawn(96, texture=1.0, clutter=1.0, camera=1.0)
    every = frames_of(scene, motions.doing("still"))
    for axis, name in enumerate(("position_x", "position_y")):
        object_steps = every.factors[name].view(96, 10).diff(dim=1)
        blob_steps = every.blobs[:, 0, axis].view(96, 10).diff(dim=1)
        assert torch.allclose(object_steps, blob_steps, atol=1e-6)
        assert (object_steps - object_steps.mean(1, keepdim=True)).abs().max() < 1e-6
        assert 30 < (object_steps[:, 0] > 0).sum() < 66
    middle = every.blobs.view(96, 10, *scene.blobs.shape[1:])[:, (4, 5)].mean(1)
    assert torch.allclose(middle, scene.blobs, atol=1e-6)  # as drawn, at the middle of the clip
