"""Makes files of sound for tests: WAV headers of any kind, true or not, and other formats by PyAV."""

import io
import struct

import numpy as np

PCM, FLOAT, A_LAW, MU_LAW, MP3 = 1, 3, 6, 7, 0x55


def tone(frequency, seconds=1.0, rate=8000, amplitude=0.5):
    """(S,) float64."""
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def as_int16(values):
    return np.round(np.asarray(values) * 32767).astype(np.int16)


def wav(samples, rate=8000, channels=1, form=PCM, bits=16, size=None, behind=b"", before=b""):
    """Bytes of a WAV file. samples: an array, or bytes. size: what the header tells of their bytes, if not the truth.

    behind: bytes after the sound. before: chunks before it.
    """
    data = samples if isinstance(samples, bytes) else np.asarray(samples).tobytes()
    frame = channels * bits // 8
    header = struct.pack("<HHIIHH", form, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    told = struct.pack("<I", len(data) if size is None else size)
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header + before + b"data" + told + data + behind
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encoded(container, codec, values, rate, video=False):
    """Bytes of a file of any format that PyAV writes; values: (S,) in [-1, 1]. With a second of pictures or without."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        pictures = output.add_stream("mpeg4", rate=10) if video else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = output.add_stream(codec, rate=rate, layout="mono") if codec else None
        for _ in range(10 if pictures is not None else 0):
            output.mux(pictures.encode(av.VideoFrame(32, 32, "yuv420p")))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(as_int16(values)[None], format="s16", layout="mono")
            frame.sample_rate = rate
            fits = av.AudioResampler(sound.format, "mono", rate, frame_size=sound.frame_size or None)
            for piece in [*fits.resample(frame), *fits.resample(None)]:
                output.mux(sound.encode(piece))
            output.mux(sound.encode(None))
        if pictures is not None:
            output.mux(pictures.encode(None))
    return stream.getvalue()
