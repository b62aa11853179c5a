"""Maxima, regions, overlaps and choices, worked by hand; and which clip's sound is the other one."""

import numpy as np
import pytest

from ssl_models.protocols._localisation.measures import (
    enlarged,
    inside,
    of_range,
    other_clips,
    overlaps,
    peaks,
    preferred,
    within,
)


def test_a_map_is_enlarged_as_pixels_are() -> None:
    """Between the middles of two pixels straight, beyond them level (half-pixel centres)."""
    found = enlarged(np.array([[[0.0, 1.0]]]), (2, 4))
    assert found.tolist() == [[[0, 0.25, 0.75, 1], [0, 0.25, 0.75, 1]]]
    with pytest.raises(ValueError, match="not finite"):
        enlarged(np.array([[[np.nan, 1.0]]]), (2, 4))


def test_a_range_begins_at_nothing_and_ends_at_one() -> None:
    assert of_range(np.array([[[3.0, 5.0, 4.0]], [[0.3, 0.3, 0.3]]])).tolist() == [[[0, 1, 0.5]], [[0, 0, 0]]]


def test_a_pixel_is_in_a_box_where_its_centre_is() -> None:
    masks = within(np.array([[1, 0, 3, 1], [0.4, 0.6, 1.6, 2.5]]), (3, 4))
    assert masks[0].astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert masks[1].astype(int).tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_of_equal_maxima_that_nearest_to_the_middle_counts_and_then_the_first() -> None:
    maps = np.zeros((4, 5, 5))
    maps[1, 0, 4] = maps[1, 1, 1] = 1
    maps[2, 0, 0] = maps[2, 4, 4] = 1
    maps[3, 0, 4], maps[3, 2, 2] = 1, 0.99
    assert peaks(maps).tolist() == [[2, 2], [1, 1], [0, 0], [0, 4]]
    assert peaks(np.zeros((1, 4, 4))).tolist() == [[1, 1]]


def test_rounding_makes_no_maximum() -> None:
    level = np.full((1, 3, 7), 0.1, np.float32)
    assert peaks(enlarged(of_range(level), (48, 48))).tolist() == [[23, 23]]


def test_inside_is_whether_the_maximum_lies_in_the_box() -> None:
    maps = np.zeros((2, 4, 4))
    maps[:, 1, 2] = 1
    assert inside(maps, np.array([[2, 1, 3, 2], [0, 0, 2, 4]])).tolist() == [True, False]


def test_an_overlap_is_what_both_hold_of_what_either_holds() -> None:
    regions = np.zeros((3, 4, 4), bool)
    regions[0, :2, :2] = regions[1, :2, :2] = True
    found = overlaps(regions, np.array([[0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1]]))
    assert found.tolist() == pytest.approx([1, 2 / 6, 0])


def test_a_choice_is_between_mean_heats_and_equal_ones_count_half() -> None:
    maps = np.zeros((5, 2, 4))
    maps[0, :, 0], maps[1, :, 3] = 1, 1
    maps[2, 0, 0], maps[2, 0, 2:], maps[2, 1, 2:] = 1, 0.4, 0.4  # the maximum is his, and so is the higher mean
    box, rest = np.array([0, 0, 2, 2]), np.array([[2, 0, 4, 2.0]])
    found = preferred(maps, np.repeat(box[None], 5, 0), [rest, rest, rest, rest, np.zeros((0, 4))])
    assert found[:4].tolist() == [1, 0, 0, 0.5]
    assert np.isnan(found[4])
    both = preferred(maps[:1], box[None], [np.array([[2, 0, 4, 2.0], [0, 0, 1, 2.0]])])
    assert both.tolist() == [0.5]  # hotter than the first, cooler than the second


@pytest.mark.parametrize("groups", [[0, 0, 1, 1, 1, 2], [5, 5, 5, 5], [0, 1], [1, 0, 0, 0, 0]])
def test_another_clip_is_of_another_group_where_there_is_one_and_never_itself(groups: list[int]) -> None:
    own = np.array(groups)
    for seed in range(20):
        found = other_clips(own, seed)
        assert (found != np.arange(len(own))).all()
        if len(set(groups)) > 1:
            assert (own[found] != own).all()


def test_every_clip_of_another_group_is_as_likely() -> None:
    own = np.array([0, 1, 0, 2, 1])
    counts = np.zeros((5, 5))
    for seed in range(3000):
        counts[np.arange(5), other_clips(own, seed)] += 1
    allowed = own[:, None] != own
    assert (counts[~allowed] == 0).all()
    expected = 3000 / allowed.sum(1, keepdims=True)
    assert (np.abs(counts - expected)[allowed] < 4.5 * np.sqrt(3000 / 4)).all()
