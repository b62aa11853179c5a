"""Sound and frames of a clip belong together in real videos of $COVEY_DATA: by what is seen and heard, and by times.

Of the four, two are of one speaker each before a plain wall (GRID), whose mouth moves while he speaks. Of the two
animations one is a second of a figure that jumps, and one fades in from white under music: nothing in them is heard
when it is seen.
"""

import numpy as np
import pytest
import torch

from ssl_models.datasets import video_sound_folder
from tests.ssl_models.archives import unpacked

torch.set_num_threads(1)
SIDE, FRAMES, FPS, RATE = 72, 74, 25, 8000
MOUTHS = {"bbaf2n.mpg": (24, 46, 44, 58), "lbax4n.mpg": (32, 46, 46, 58)}
"""Left, top, right, bottom of the part of a frame where the mouth is, told by eye."""
WALL = (0, 0, SIDE, 20)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The folder of the four."""
    return unpacked("clips.tar", tmp_path_factory.mktemp("clips")) / "clips"


def smooth(values):
    """Means of a fifth of a second."""
    return np.convolve(values, np.ones(5) / 5, "valid")


def motion(frames, box):
    """(T, 3, S, S) -> how much what is in the box changes from each frame to the next."""
    left, top, right, bottom = box
    return smooth(np.abs(np.diff(frames[..., top:bottom, left:right].astype(float), axis=0)).mean((1, 2, 3)))


def loudness(sound):
    """(S,) -> the level during each frame but the first."""
    levels = np.sqrt(((sound[: FRAMES * RATE // FPS] / 32768).reshape(FRAMES, -1) ** 2).mean(1))
    return smooth(np.log10(1e-3 + levels)[1:])


def agreement(seen, heard, shift):
    """Their correlation with what is heard so many seconds later than it was; both have to be there."""
    lag = round(shift * FPS)
    pairs = (seen[lag:], heard[: len(heard) - lag]) if lag >= 0 else (seen[:lag], heard[-lag:])
    return float(np.corrcoef(*pairs)[0, 1])


@pytest.mark.parametrize("name", MOUTHS)
def test_a_speaker_s_mouth_moves_when_he_is_heard(clips, tmp_path, name):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / name).write_bytes((clips / name).read_bytes())
    data = video_sound_folder.load(seed=0, source=str(tmp_path), size=SIDE, frames=FRAMES, fps=FPS, rate=RATE)
    frames, sound = (data.train.parts[part][0].numpy() for part in ("frames", "sound"))
    seen, heard = motion(frames, MOUTHS[name]), loudness(sound)
    assert agreement(seen, heard, 0) > 0.6
    assert max(agreement(seen, heard, shift) for shift in (-1, -0.8, 0.8, 1)) < 0.3
    assert agreement(motion(frames, WALL), heard, 0) < 0.4
    shifts = np.arange(-30, 31) / FPS
    assert abs(shifts[np.argmax([agreement(seen, heard, shift) for shift in shifts])]) <= 0.25


def plainly(path):
    """The sound of a file at its own rate, one channel after the first picture's time, by another way than readers'."""
    import av

    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    rate = frames[0].sample_rate
    planar = av.AudioResampler("fltp", frames[0].layout.name, rate)  # of the same rate: only the form changes
    values = np.concatenate([part.to_ndarray() for frame in frames for part in planar.resample(frame)], 1)
    late = round((frames[0].time - first) * rate)
    return np.pad(values.mean(0), (late, 0)), rate


def test_the_sound_of_each_clip_is_that_of_its_time_sample_by_sample(clips):
    settings = {"size": 16, "frames": 5, "fps": 10.0, "hop": 0.3, "rate": 44100}
    data = video_sound_folder.load(seed=0, source=str(clips), **settings)
    compared = 0
    for split in (data.train, data.test):
        sounds, lengths = split.parts["sound"].numpy(), split.parts["length"].flatten().tolist()
        for name, sound, length in zip(split.origin.files, sounds, lengths, strict=True):
            path, _, second = name.partition("#t=")
            known, rate = plainly(clips / path)
            assert rate == 44100
            begin = round(float(second) * rate)
            wanted = known[begin : begin + len(sound)]
            assert length == len(wanted)
            assert np.abs(sound[:length] - np.clip(wanted * 32768, -32768, 32767)).max() <= 1
            compared += 1
    assert compared > 20
