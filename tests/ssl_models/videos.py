"""Makes files of video for tests with PyAV: any times of frames, any sound, faults of headers."""

import io
from fractions import Fraction
from types import SimpleNamespace

import numpy as np

from ssl_models.datasets._video.decoding import opened
from tests.ssl_models.sounds import as_int16

CLOCK = Fraction(1, 1000)
"""Seconds of a tick, by which the times of frames are told."""


def greys(values, width=48, height=32):
    """Frames (height, width, 3) uint8 of one grey each."""
    return [np.full((height, width, 3), value, np.uint8) for value in values]


def counted(number, width=48, height=32):
    """Frames whose grey tells their number, four steps apart; a codec leaves it to be told."""
    return greys([20 + 4 * index for index in range(number)], width, height)


def numbers(frames):
    """(..., 3, S, S) -> (...) the numbers that `counted` gave."""
    return np.round((np.asarray(frames, np.float64).mean((-3, -2, -1)) - 20) / 4).astype(int)


def video(
    frames,
    rate=10,
    times=None,
    container="matroska",
    codec="ffv1",
    sound=None,
    sound_rate=8000,
    sound_codec="pcm_s16le",
    sound_start=0.0,
    rotation=0,
    mirrored=False,
    aspect=None,
    told=None,
    options=None,
):
    """Bytes of a file. times: seconds of each frame, 1 / rate apart without. sound: (S,) in [-1, 1].

    told: ticks that are written for these times, all of them larger than the number of frames; for a codec that keeps
    the order of frames.
    """
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=container, options=options or {}) as output:
        pictures = output.add_stream(codec, rate=rate)
        height, width = frames[0].shape[:2]
        pictures.width, pictures.height = width, height
        pictures.pix_fmt = {"ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if times is not None:
            pictures.codec_context.time_base = CLOCK
        if aspect:
            pictures.codec_context.sample_aspect_ratio = Fraction(aspect)
        if rotation or mirrored:
            pictures.set_display_rotation(rotation, hflip=mirrored)
        heard = output.add_stream(sound_codec, rate=sound_rate, layout="mono") if sound is not None else None
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            base = CLOCK if times is not None else Fraction(1, rate)
            frame.time_base = base
            frame.pts = index if times is None else round(times[index] / float(CLOCK))
            packets = pictures.encode(frame)
            for packet in packets if told is not None else ():
                packet.pts, packet.dts = told[index], index
            output.mux(packets)
        output.mux(pictures.encode(None))
        if heard is not None:
            _mux_sound(output, heard, sound, sound_rate, sound_start)
    return stream.getvalue()


def decode(content, how):
    """The whole video: its frames, when they start, the size of the picture, and remarks."""
    with opened(content, how) as video:
        frames = [pixels for pixels, times in video.frames for _ in range(times)]
    return SimpleNamespace(frames=frames, start=video.start, size=video.size, remarks=video.remarks)


def damaged(content, every):
    """The same bytes, but every so many packets of video hold zeros."""
    import av

    made = bytearray(content)
    with av.open(io.BytesIO(content)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    for packet in packets[::every]:
        at = content.index(packet)
        made[at : at + len(packet)] = bytes(len(packet))
    return bytes(made)


def _mux_sound(output, heard, sound, rate, start):
    import av

    frame = av.AudioFrame.from_ndarray(as_int16(sound)[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate)
    fits = av.AudioResampler(heard.format, "mono", rate, frame_size=heard.frame_size or 1000)
    for piece in [*fits.resample(frame), *fits.resample(None)]:
        output.mux(heard.encode(piece))
    output.mux(heard.encode(None))


def covered(marked=True):
    """Bytes of an MP4 of sound with the picture of a cover, marked as one or not."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as output:
        heard = output.add_stream("aac", rate=16000, layout="mono")
        picture = output.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuvj420p"
        if marked:
            picture.disposition = av.stream.Disposition.attached_pic
        output.mux(picture.encode(av.VideoFrame(32, 32, "yuvj420p")))
        output.mux(picture.encode(None))
        _mux_sound(output, heard, np.zeros(16000), 16000, 0.0)
    return stream.getvalue()
