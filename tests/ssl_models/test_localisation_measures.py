"""Maxima, regions, overlaps and choices, worked by hand; and which clip's sound is the other one."""

import numpy as np
import pytest

from ssl_models.protocols._localisation.fixed import fixed_box, fixed_place
from ssl_models.protocols._localisation.measures import (
    clips_unseen,
    enlarged,
    holds,
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
    assert peaks(maps).tolist() == [[2.5, 2.5], [1.5, 1.5], [0.5, 0.5], [4.5, 0.5]]
    assert peaks(np.zeros((1, 4, 4))).tolist() == [[1.5, 1.5]]


def test_rounding_makes_no_maximum() -> None:
    level = np.full((1, 3, 7), 0.1, np.float32)
    assert peaks(enlarged(of_range(level), (48, 48))).tolist() == [[23.5, 23.5]]


def test_inside_is_whether_the_maximum_lies_in_the_box() -> None:
    maps = np.zeros((2, 4, 4))
    maps[:, 1, 2] = 1
    assert inside(maps, np.array([[2, 1, 3, 2], [0, 0, 2, 4]])).tolist() == [True, False]


def test_a_box_holds_its_left_and_upper_edge() -> None:
    box = np.array([[2.0, 2, 6, 8]] * 3)
    assert holds(box, np.array([[2.0, 2], [6, 5], [5.9, 7.9]])).tolist() == [True, False, True]


def test_the_fixed_place_lies_in_most_boxes_and_of_equal_ones_nearest_to_the_middle() -> None:
    boxes = np.array([[0, 0, 4, 4], [2, 1, 6, 5], [3, 0, 4, 2], [5, 5, 8, 8.0]])
    assert fixed_place(boxes, (8, 8)).tolist() == [3.5, 1.5]
    assert fixed_place(boxes[:2], (8, 8)).tolist() == [3.5, 3.5]
    assert fixed_place(boxes[3:], (8, 8)).tolist() == [5.5, 5.5]


def test_the_fixed_box_overlaps_all_most() -> None:
    boxes = np.array([[0, 0, 4, 4], [1, 0, 5, 4], [2, 0, 6, 4], [9, 9, 12, 12.0]])
    assert fixed_box(boxes).tolist() == [1, 0, 5, 4]
    assert fixed_box(boxes[::-1].astype(np.float32)).tolist() == [1, 0, 5, 4]
    assert fixed_box(boxes[3:]).tolist() == [9, 9, 12, 12]


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


def test_the_other_clip_is_of_a_class_that_is_not_shown_and_each_is_as_likely() -> None:
    labels = np.array([0, 1, 2, 2, 1])
    present = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], np.int8)
    counts = np.zeros((5, 5))
    for seed in range(3000):
        counts[np.arange(5), clips_unseen(labels, present, seed)] += 1
    shares = counts / 3000
    expected = np.array(
        [
            [0, 0, 1 / 2, 1 / 2, 0],
            [1 / 3, 0, 1 / 3, 1 / 3, 0],
            [1, 0, 0, 0, 0],  # its own class sounds, although it is not said to be seen
            [1 / 3, 1 / 3, 0, 0, 1 / 3],  # every class is seen: any other class than its own
            [1, 0, 0, 0, 0],
        ]
    )
    assert shares == pytest.approx(expected, abs=0.05)
    assert (shares[expected == 0] == 0).all()
