"""Tracks drawn over frames, and previews of clips."""

import numpy as np
from PIL import ImageColor

from ssl_models.boxes import there
from ssl_models.figures import PALETTE
from ssl_models.previews import LARGEST_FRAME, preview
from tasks.artifacts.track_pictures import FRAME, tracked_clips
from tests.ssl_models.clips import FRAMES, RATE, SIDE, clips


def parts(count=4):
    return {name: part.numpy() for name, part in clips(count).items() if name != "colour"}


def colour(number):
    return np.array(ImageColor.getrgb(PALETTE[number]))


def test_a_box_a_track_is_drawn_at_its_place_in_every_frame():
    made, times = parts(1), FRAME // SIDE
    picture = tracked_clips(made, None)
    assert picture.shape == (times * SIDE, FRAMES * (times * SIDE + 2) - 2, 3)
    for time in range(FRAMES):
        left, top = (times * made["tracks"][0, 0, time, :2]).astype(int)
        assert (picture[top, time * (times * SIDE + 2) + left] == colour(1)).all()


def test_the_true_box_is_white_and_lies_below_the_track():
    made = parts(1)
    boxes = made["tracks"][:, :1] + np.float32(2)
    drawn = tracked_clips(made, boxes)
    left, top = (3 * boxes[0, 0, 0, :2]).astype(int)
    assert (drawn[top + 20, left] == 255).all()
    assert not np.array_equal(drawn, tracked_clips(made, None))


def test_clips_without_a_track_are_passed_over():
    made = parts(3)
    made["tracks"][1] = 0
    assert there(made["tracks"]).any((1, 2)).tolist() == [True, False, True]
    assert len(tracked_clips(made, None)) == 2 * (FRAME // SIDE * SIDE + 2) - 2
    made["tracks"][:] = 0
    assert tracked_clips(made, None) is None


def test_a_clip_is_previewed_as_a_strip_of_small_frames_beside_its_spectrogram():
    made = parts(2)
    strip = preview({"frames": made["frames"]}, 0, {})
    assert strip.shape == (SIDE, 4 * SIDE, 3)
    assert np.array_equal(strip[:, :SIDE].transpose(2, 0, 1), made["frames"][0, 0])
    assert np.array_equal(strip[:, -SIDE:].transpose(2, 0, 1), made["frames"][0, -1])
    both = preview({"frames": made["frames"], "sound": made["sound"]}, 0, {"rate": RATE})
    assert np.array_equal(both[:, : 4 * SIDE], strip)
    assert both.shape == (SIDE, 4 * SIDE + 48, 3)
    large = made["frames"].repeat(4, 3).repeat(4, 4)
    assert preview({"frames": large}, 0, {}).shape == (LARGEST_FRAME, 4 * LARGEST_FRAME, 3)
