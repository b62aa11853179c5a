"""Files of sound and video, opened by FFmpeg: nothing else is opened for them, and damage is borne up to a share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from ssl_models.datasets._common import files

OF_WAV = {"max_size": str(2**16), "probesize": "4096"}
"""Bytes of a packet, and those that FFmpeg looks at to tell what the sound is: its own choice takes twice the time."""
MOST_DAMAGED = 0.1
"""The largest share of a file's packets that may be damaged before it counts as unreadable."""
CUT_OFF = "damaged at the end; what is before is read"
DAMAGED = "damaged in parts, which are left out"
SHORTER = "shorter than the header tells; what is there is read"


@contextmanager
def opened(content: Path | bytes, formats: str, unknown: str, most: int | None) -> Iterator[tuple[IO[bytes], Any]]:
    """The file and PyAV's container. FFmpeg opens no other file.

    formats: what FFmpeg may take the file for, by its own names. Its others include lists of files and addresses, which
    it would open. unknown: what is said of a file that is none of them. most: bytes, or None, as in files.fault.
    """
    import av

    if isinstance(content, Path) and (why := files.fault(content, most)):
        if not content.exists() and not content.is_symlink():
            raise FileNotFoundError(why)
        raise ValueError(why)
    with content.open("rb") if isinstance(content, Path) else BytesIO(content) as file:
        if not (start := file.read(12)):
            raise ValueError("the file is empty")
        file.seek(0)
        options = {"format_whitelist": formats.replace(" ", ","), "protocol_whitelist": ""}
        options |= OF_WAV if start.startswith(b"RIFF") and start.endswith(b"WAVE") else {}
        try:
            container = av.open(file, options=options, metadata_errors="replace")  # titles in Latin-1 are common
        except av.error.FFmpegError as error:
            raise unless_memory(error, unknown) from error
        with container:
            yield file, container


def context_of(stream: Any, what: str) -> Any:
    """The decoder of a stream. Raises ValueError, which says `what` the stream is, where FFmpeg has none."""
    if not (context := getattr(stream, "codec_context", None)):
        raise ValueError(f"its {what} coded in a way that is not known")
    return context


def decoded(container: Any, stream: Any, remarks: dict[str, str]) -> Iterator[Any]:
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
            first = first or str(unless_memory(error, error.strerror))
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


def told(container: Any, stream: Any) -> float | None:
    """How many seconds it lasts by the header, or as FFmpeg estimates it; of the longest stream where it says no more.

    None where it tells nothing.
    """
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def reason(error: Exception) -> str:
    """Why a file cannot be read: without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def unless_memory(error: Exception, text: str) -> ValueError:
    """An error with this text; FFmpeg's lack of memory is raised as it is."""
    if isinstance(error, MemoryError):
        raise error
    return ValueError(text)
