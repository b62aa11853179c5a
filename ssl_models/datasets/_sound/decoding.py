"""Decodes sound: the one place where a file of any format, depth, rate and number of channels becomes int16 of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files
from ssl_models.datasets._sound import wav
from ssl_models.datasets._sound.frames import Converter

FORMATS = "aac aiff amr ape asf au avi caf flac flv matroska mov mp3 mpeg mpegts nistsphere ogg tta voc w64 wav wv"
"""What FFmpeg may take a file for. Its other formats include lists of files and addresses, which it would open."""
TELLS = {"wav": 1e-3, "flac": 1e-3, "aiff": 1e-3, "au": 1e-3, "mov": 0.06, "matroska": 0.06, "mp3": 0.06}
"""Formats whose header tells the duration, and how many seconds a whole file may be shorter. Others are estimates."""
MP3_TELLS = (b"Xing", b"Info", b"VBRI")
"""What the first frame of an MP3 holds where it tells the duration."""
OF_WAV = {"max_size": str(2**16), "probesize": "4096"}
"""Bytes of a packet, and those that FFmpeg looks at to tell what the sound is: its own choice takes twice the time."""
MOST_SAMPLES = 2**28
"""The longest recording that is read: 9 hours at 8 kHz. A small file may unpack to any length."""
MOST_DAMAGED = 0.1
"""The largest share of a file's packets that may be damaged before it counts as unreadable."""
RATES = range(1_000, 1_000_001)

SHORTER = "shorter than the header tells; what is there is read"
CUT_OFF = "damaged at the end; what is before is read"
DAMAGED = "damaged in parts, which are left out"
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
    with _opened(content) as (file, container, stream):
        converter = Converter(rate)
        chunks, total, whole = [], 0, True
        with closing(converter.all(_frames(container, stream, remarks))) as converted:
            for chunk in converted:
                chunks.append(chunk)
                total += len(chunk)
                if most and total >= most:
                    whole = False
                    break
                if total > MOST_SAMPLES:
                    hours = MOST_SAMPLES / rate / 3600
                    raise ValueError(f"it is longer than {hours:.1f} hours, and no more is read; cut it into pieces")
        if not total:
            raise ValueError("it holds no sound: 0 samples")
        if whole:
            _compare(file, container, stream, total / rate, remarks)
    samples = np.concatenate(chunks)[: most or None]
    if converter.beyond:
        remarks[BEYOND] = f"{converter.beyond:,} values, up to {converter.peak:.4g}"
    if not samples.any():
        remarks[SILENT] = f"{len(samples) / rate:.2f} s"
    return Recording(samples, remarks)


def seconds(content: Path | bytes) -> float:
    """How long a recording is by its header; 0 where that does not tell or cannot be read. Nothing is decoded."""
    try:
        with _opened(content) as (_, container, stream):
            return _told(container, stream) or 0.0
    except (ValueError, OSError):
        return 0.0


def reason(error: Exception) -> str:
    """Why a recording cannot be read: without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


@contextmanager
def _opened(content: Path | bytes) -> Iterator[tuple[IO[bytes], Any, Any]]:
    """The file, PyAV's container, and the first stream of sound in it. FFmpeg opens no other file."""
    import av

    if isinstance(content, Path) and (why := files.fault(content)):
        if not content.exists() and not content.is_symlink():
            raise FileNotFoundError(why)
        raise ValueError(why)
    with content.open("rb") if isinstance(content, Path) else BytesIO(content) as file:
        if not (start := file.read(12)):
            raise ValueError("the file is empty")
        file.seek(0)
        options = {"format_whitelist": FORMATS.replace(" ", ","), "protocol_whitelist": ""}
        options |= OF_WAV if start.startswith(b"RIFF") and start.endswith(b"WAVE") else {}
        try:
            container = av.open(file, options=options, metadata_errors="replace")  # titles in Latin-1 are common
        except av.error.FFmpegError as error:
            raise _unless_memory(error, "no format of sound that is known, or cut off before its sound") from error
        with container:
            if not container.streams.audio:
                kinds = sorted({stream.type for stream in container.streams})
                raise ValueError(f"no sound in it{f', only {kinds[0]}' if kinds else ''}")
            stream = container.streams.audio[0]
            if not (context := getattr(stream, "codec_context", None)):
                raise ValueError("its sound is coded in a way that is not known")
            if context.sample_rate and context.sample_rate not in RATES:
                raise ValueError(
                    f"its header tells of {context.sample_rate:,} samples a second; {RATES[0]:,} to {RATES[-1]:,} are "
                    "read"
                )
            yield file, container, stream


def _frames(container: Any, stream: Any, remarks: dict[str, str]) -> Iterator[Any]:
    """The frames that can be decoded. Raises ValueError where too few of them can."""
    import av

    packets = whole = damaged = failed = 0
    first = ""
    ahead = container.demux(stream)
    while True:
        try:
            if (packet := next(ahead, None)) is None:
                break
            packets += 1
            frames = packet.decode()
        except av.error.FFmpegError as error:
            first = first or str(_unless_memory(error, error.strerror))
            failed += 1  # since the last whole packet: in the middle, or at the end
            continue
        if frames:
            whole, damaged, failed = whole + 1, damaged + failed, 0
        yield from frames
    if first and (not whole or damaged > MOST_DAMAGED * (whole + damaged)):
        raise ValueError(f"damaged: {damaged + failed:,} of {packets:,} packets cannot be decoded ({first})")
    if damaged:
        remarks[DAMAGED] = f"{damaged:,} of {packets:,} packets"
    if failed:
        remarks[CUT_OFF] = first


def _compare(file: IO[bytes], container: Any, stream: Any, found: float, remarks: dict[str, str]) -> None:
    """Adds a remark where the header tells of more sound than was `found`, in seconds, or of less than there is."""
    told, form = _told(container, stream), container.format.name.partition(",")[0]
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
        remarks.pop(CUT_OFF, None)
        remarks[SHORTER] = f"{found:.2f} of {told:.2f} s"


def _told(container: Any, stream: Any) -> float | None:
    """The duration by the header, or as FFmpeg estimates it."""
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None  # of its longest stream


def _unless_memory(error: Exception, text: str) -> ValueError:
    """An error with this text; FFmpeg's lack of memory is raised as it is."""
    if isinstance(error, MemoryError):
        raise error
    return ValueError(text)
