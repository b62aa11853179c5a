"""Which frames of a clip are shown: values worked by hand, and shares of many draws against drawing one by one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Generator

from ssl_models.views.drawing import Share
from ssl_models.views.frame_choice import motion, take, times_by_weight, times_within

torch.set_num_threads(1)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_frames_are_taken_from_their_own_clip_in_the_order_asked() -> None:
    frames = torch.arange(2 * 4 * 3 * 2 * 2).view(2, 4, 3, 2, 2)
    taken = take(frames, torch.tensor([[3, 0, 0], [1, 2, 3]]))
    assert taken.shape == (2, 3, 3, 2, 2)
    assert torch.equal(taken[0], torch.stack([frames[0, 3], frames[0, 0], frames[0, 0]]))
    assert torch.equal(taken[1], frames[1, 1:])


def test_motion_by_hand() -> None:
    """Light that steps by 0, 51 and 255 of 255: differences 0, 0.2 and 0.8 between frames."""
    light = torch.tensor([[0, 0, 51, 255]], dtype=torch.uint8)
    frames = light[..., None, None, None].expand(1, 4, 3, 2, 2)
    assert motion(frames).tolist() == [pytest.approx([0, 0.1, 0.5, 0.8])]
    half = frames.clone()
    half[:, :, :, 0] = 7  # half of the pixels stand still
    assert motion(half).tolist() == [pytest.approx([0, 0.05, 0.25, 0.4])]
    torch.testing.assert_close(motion(frames.flip(1)), motion(frames).flip(1))


def test_times_are_drawn_one_after_another_in_proportion_to_their_weights() -> None:
    """Of weights 1, 2, 3 two: {0, 1} comes with 1/6 * 2/5 + 2/6 * 1/4, and so on."""
    drawn = times_by_weight(seeded(), torch.tensor([[1.0, 2.0, 3.0]]).expand(40_000, 3), 2)
    shares = {times: count / 40_000 for times, count in Counter(map(tuple, drawn.tolist())).items()}
    expected = {(0, 1): 1 / 15 + 1 / 12, (0, 2): 1 / 10 + 1 / 6, (1, 2): 1 / 4 + 1 / 3}
    assert shares == {times: pytest.approx(share, abs=0.01) for times, share in expected.items()}


def test_equal_weights_even_zero_give_every_choice_as_often() -> None:
    for weight in (0.0, 1e-12, 5.0):
        drawn = times_by_weight(seeded(), torch.full((20_000, 5), weight), 3)
        counts = Counter(map(tuple, drawn.tolist()))
        assert len(counts) == 10
        assert max(counts.values()) < 1.15 * 2000
        assert min(counts.values()) > 0.85 * 2000


def test_times_are_different_and_in_order_and_those_of_no_weight_come_last() -> None:
    weights = torch.tensor([0.0, 1, 0, 1, 1, 0, 0, 1]).expand(500, 8)
    four = times_by_weight(seeded(), weights, 4)
    assert float((four == torch.tensor([1, 3, 4, 7])).all(1).float().mean()) > 0.99
    six = times_by_weight(seeded(), weights, 6)
    assert (six.diff(dim=1) > 0).all()
    assert float(torch.isin(torch.tensor([1, 3, 4, 7]), six[0]).float().mean()) == 1
    assert set(six.flatten().tolist()) == set(range(8))
    assert torch.equal(times_by_weight(seeded(), weights, 8), torch.arange(8).expand(500, 8))


@pytest.mark.parametrize(("total", "count", "distance"), [(10, 2, 4), (10, 5, 4), (3, 2, 4), (6, 2, 1), (4, 4, 9)])
def test_times_within_a_distance_are_all_that_there_may_be(total: int, count: int, distance: int) -> None:
    times = times_within(seeded(), 4000, total, count, distance)
    assert times.shape == (4000, count)
    assert (times.sort(1).values.diff(dim=1) > 0).all()
    apart = times.amax(1) - times.amin(1)
    assert int(apart.max()) == min(distance, total - 1)
    assert int(apart.min()) == count - 1
    assert set(times.flatten().tolist()) == set(range(total))
    if count == 2:
        pairs = {(a, b) for a in range(total) for b in range(total) if 0 < abs(a - b) <= distance}
        assert set(map(tuple, times.tolist())) == pairs


def test_a_part_of_a_batch_draws_what_it_has_in_the_whole() -> None:
    weights = torch.rand(6, 9, generator=seeded(1))
    whole = times_by_weight(seeded(3), weights, 5), times_within(seeded(4), 6, 9, 3, 4)
    for number in (0, 1, 2):
        rows = slice(2 * number, 2 * number + 2)
        assert torch.equal(times_by_weight(Share("cpu", number, 3).manual_seed(3), weights[rows], 5), whole[0][rows])
        assert torch.equal(times_within(Share("cpu", number, 3).manual_seed(4), 2, 9, 3, 4), whole[1][rows])
