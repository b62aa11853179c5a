"""Decodes sound: the one place where a file of any format, depth, rate and number of channels becomes int16 of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import media
from ssl_models.datasets._common.files import MOST_BYTES
from ssl_models.datasets._sound import wav
from ssl_models.datasets._sound.frames import Converter

FORMATS = "aac aiff amr ape asf au avi caf flac flv matroska mov mp3 mpeg mpegts nistsphere ogg tta voc w64 wav wv"
"""What FFmpeg may take a file for."""
NO_SAMPLE = "it holds no sound: 0 samples"
UNKNOWN = "no format of sound that is known, or cut off before its sound"
TELLS = {"wav": 1e-3, "flac": 1e-3, "aiff": 1e-3, "au": 1e-3, "mov": 0.06, "matroska": 0.06, "mp3": 0.06}
"""Formats whose header tells the duration, and how many seconds a whole file may be shorter. Others are estimates."""
MP3_TELLS = (b"Xing", b"Info", b"VBRI")
"""What the first frame of an MP3 holds where it tells the duration."""
MOST_SAMPLES = 2**28
"""The longest recording that is read: 9 hours at 8 kHz. A small file may unpack to any length."""
RATES = range(1_000, 1_000_001)

BEYOND = "beyond full scale in parts, which are clipped"
BEHIND = "followed by bytes that the header does not tell of and that are not read"
SILENT = "silent throughout, and kept"


@dataclass(frozen=True)
class Recording:
    """samples: (S,) int16. remarks: what is odd about it, one of the texts above -> how much."""

    samples: ndarray
    remarks: dict[str, str] = field(default_factory=dict)


def decode(content: Path | bytes, rate: int, most: int = 0) -> Recording:
    """The sound of a file at `rate` Hz, resampled by FFmpeg, which filters out what is above half of it first.

    The first stream of sound is read, and the mean of its channels is taken. 16 bits of one channel at `rate` come out
    as they are; 8 bits are shifted up, and more than 16 rounded. Numbers of floating point are read with 1 as full
    scale. most: no more samples than these are decoded; 0 for all.
    Raises ValueError for what is no file or no sound, for one without a sample, for numbers that are not finite, a
    rate outside RATES, more than MOST_DAMAGED of damage, and more than MOST_SAMPLES; FileNotFoundError.
    """
    remarks: dict[str, str] = {}
    with opened(content) as (file, container, stream):
        converter = Converter(rate)
        samples, whole = _converted(converter, media.decoded(container, stream, remarks), rate, most)
        if not len(samples):
            raise ValueError(NO_SAMPLE)
        if whole:
            _compare(file, container, stream, len(samples) / rate, remarks)
    return Recording(samples, remarks | odd(converter, bool(samples.any()), len(samples) / rate))


def _converted(converter: Converter, frames: Iterator[Any], rate: int, most: int) -> tuple[ndarray, bool]:
    """The samples of frames, no more than `most`, or 0 for all; and whether these are all that there are.

    Raises ValueError for more than MOST_SAMPLES.
    """
    chunks, total, whole = [np.empty(0, np.int16)], 0, True
    with closing(converter.all(frames)) as pieces:
        for chunk in pieces:
            chunks.append(chunk)
            total += len(chunk)
            if most and total >= most:
                whole = False
                break
            if total > MOST_SAMPLES:
                hours = MOST_SAMPLES / rate / 3600
                raise ValueError(f"it is longer than {hours:.1f} hours, and no more is read; cut it into pieces")
    return np.concatenate(chunks)[: most or None], whole


def odd(converter: Converter, heard: bool, seconds: float) -> dict[str, str]:
    """Remarks about numbers beyond full scale, and silence. heard: whether any sample is not 0."""
    found = {}
    if converter.beyond:
        found[BEYOND] = f"{converter.beyond:,} values, up to {converter.peak:.4g}"
    if not heard:
        found[SILENT] = f"{seconds:.2f} s"
    return found


def seconds(content: Path | bytes) -> float:
    """How long a recording is by its header; 0 where that does not tell or cannot be read. Nothing is decoded."""
    try:
        with opened(content) as (_, container, stream):
            return media.told(container, stream) or 0.0
    except (ValueError, OSError):
        return 0.0


@contextmanager
def opened(
    content: Path | bytes, formats: str = FORMATS, most: int | None = MOST_BYTES
) -> Iterator[tuple[IO[bytes], Any, Any]]:
    """The file, PyAV's container, and the first stream of sound in it. formats, most: as in media.opened."""
    with media.opened(content, formats, UNKNOWN, most) as (file, container):
        if not container.streams.audio:
            kinds = sorted({stream.type for stream in container.streams})
            raise ValueError(f"no sound in it{f', only {kinds[0]}' if kinds else ''}")
        stream = container.streams.audio[0]
        context = media.context_of(stream, "sound is")
        if context.sample_rate and context.sample_rate not in RATES:
            raise ValueError(
                f"its header tells of {context.sample_rate:,} samples a second; {RATES[0]:,} to {RATES[-1]:,} are read"
            )
        yield file, container, stream


def _compare(file: IO[bytes], container: Any, stream: Any, found: float, remarks: dict[str, str]) -> None:
    """Adds a remark where the header tells of more sound than was `found`, in seconds, or of less than there is."""
    told, form = media.told(container, stream), container.format.name.partition(",")[0]
    if form == "wav":  # whose duration FFmpeg corrects by the size of the file
        sizes = wav.sizes(file)
        told = found * sizes.told / sizes.there if sizes.told > sizes.there else told
        if sizes.behind:
            remarks[BEHIND] = f"{sizes.behind:,} bytes"
    elif form == "mp3":
        file.seek(0)
        start = file.read(2**16)
        told = told if any(mark in start for mark in MP3_TELLS) else None
    elif stream.duration is None and len(container.streams) > 1:  # the pictures may last longer
        told = None
    if told and form in TELLS and found < told - TELLS[form]:
        remarks.pop(media.CUT_OFF, None)
        remarks[media.SHORTER] = f"{found:.2f} of {told:.2f} s"
