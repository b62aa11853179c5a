"""Listed video files -> a data set of clips: each file decoded once, on all cores, with progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ssl_models.cores import cores
from ssl_models.datasets._common import files
from ssl_models.datasets._common.choices import check_test_fraction, check_unreadable
from ssl_models.datasets._common.in_pieces import in_pieces
from ssl_models.datasets._common.media import reason
from ssl_models.datasets._common.progress import Progress
from ssl_models.datasets._common.remarks import Remarks
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._common.suffixes import VIDEOS
from ssl_models.datasets._folder.listing import Entry, Listing, list_files
from ssl_models.datasets._folder.tree import Wanted as Files
from ssl_models.datasets._sound.aligned import Sound, sound_from
from ssl_models.datasets._sound.decoding import SILENT
from ssl_models.datasets._video.clips import Clips
from ssl_models.datasets._video.cutting import Cutter, Piece
from ssl_models.datasets._video.decoding import opened, seconds
from ssl_models.datasets._video.taken import MOST_WAITING, Cut, Taken, Wanted, size_of, tracks_of

FILES = Files(VIDEOS, noun="video", what="a video")
MOST_HEADERS = 1000
"""So many take a few seconds."""
SOUNDLESS = "without sound in parts; clips of which less than half has sound are left out"
BROKEN_OFF = "not readable to the end; the clips before it are kept"


def read(
    listing: Listing, place: str, wanted: Wanted, unreadable: str, room: Path | None = None, workers: int = 0
) -> Dataset:
    """Both splits. place: named in errors. room: where frames and sound are written as they are decoded.

    The bytes are the same with any number of workers. Raises ValueError for a split of which no video can be read.
    """
    refuse = unreadable == "refuse"
    if listing.skipped and refuse:
        raise ValueError(f"{place}: {listing.skipped[0]}")
    remarks, skipped = Remarks("video"), list(listing.skipped)
    given = {"train": listing.train, "test": listing.test}
    with ExitStack() as stack:
        rows = {name: count(entries, wanted.clips) for name, entries in given.items()}
        taken = {name: Taken(stack, name, rows[name], wanted, room) for name in given}
        progress = stack.enter_context(closing(Progress("decoding", sum(map(len, given.values())), "videos")))
        work = partial(_try_cuts, wanted=wanted)
        for name, entries in given.items():
            results = stack.enter_context(closing(in_pieces(work, entries, size_of, MOST_WAITING, workers)))
            for entry, pieces in results:
                why = _add_all(taken[name], entry, pieces, remarks)
                if why and refuse:
                    raise ValueError(f"{files.printable(entry.name)} cannot be read as video: {why}")
                if why and taken[name].last == entry.name:
                    remarks.add(BROKEN_OFF, entry.name, why)
                elif why:
                    skipped.append(f"{files.printable(entry.name)}: {why}")
                progress.step()
            if not taken[name].videos:
                what = f"none of the {len(entries)} {'training' if name == 'train' else name} videos gives a clip"
                raise ValueError(f"{place}: {what}; look at {skipped[-1]}")
        train, test = (one.split(labelled=bool(listing.classes)) for one in taken.values())
    notes = (*listing.notes, *remarks.notes())
    return Dataset(train, test, listing.classes, tuple(skipped), notes=notes, known=known(wanted))


def _add_all(taken: Taken, entry: Entry, pieces: Iterator[Cut | str], remarks: Remarks) -> str:
    """Adds the clips of one video; returns why the rest of it cannot be read, "" where all can."""
    for piece in pieces:
        if isinstance(piece, str):
            return piece
        taken.add(entry.name, entry.label, piece)
        for kind, detail in piece.remarks.items():
            remarks.add(kind, entry.name, detail)
    return ""


def known(wanted: Wanted) -> dict[str, float]:
    """What readers of video make known."""
    return {"fps": wanted.clips.fps} | ({"rate": wanted.rate} if wanted.rate else {})


def count(entries: Sequence[Entry], clips: Clips) -> int:
    """How many clips the entries give, as their headers tell; a header that tells nothing counts as one.

    Of more than MOST_HEADERS entries so many, evenly spread, stand for all.
    """
    looked_at = list(entries)
    if len(entries) > MOST_HEADERS:
        looked_at = [entries[i * len(entries) // MOST_HEADERS] for i in range(MOST_HEADERS)]
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        durations = list(pool.map(seconds, [entry.content for entry in looked_at]))
    found = sum(clips.count(min(clips.in_time(told), clips.largest)) if told else 1 for told in durations)
    return round(found * len(entries) / len(looked_at))


def listed(source: str, test_fraction: float, unreadable: str, seed: int) -> Listing:
    """The files of both splits of a folder, before any is opened."""
    check_test_fraction(test_fraction)
    check_unreadable(unreadable)
    return list_files(Path(source).expanduser(), seed, test_fraction, FILES)


def _try_cuts(entry: Entry, wanted: Wanted) -> Iterator[Cut | str]:
    """The clips a piece of the video after the other; and the reason where it, or the rest of it, cannot be read."""
    try:
        yield from _cuts(entry, wanted)
    except MemoryError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types
        yield reason(error)


def _cuts(entry: Entry, wanted: Wanted) -> Iterator[Cut]:
    """Raises ValueError where there is no clip, or none with sound where it is wanted. The last one tells remarks."""
    cutter, of_sound = Cutter(wanted.clips), dict[str, str]()
    with ExitStack() as stack:
        video = stack.enter_context(opened(entry.content, wanted.clips))
        sound = None
        if wanted.rate:
            sound = stack.enter_context(sound_from(entry.content, wanted.rate, video.start, of_sound))
        kept = 0
        for frame, times in video.frames:
            cutter.add(frame, times)
            if cutter.full:
                break
            if cutter.large:
                cut = _cut(cutter.piece(), entry, wanted, video.size, sound)
                kept += len(cut.starts)
                yield cut
        if not cutter.number:
            raise ValueError(wanted.clips.too_short(cutter.total))
        cut = _cut(cutter.piece(), entry, wanted, video.size, sound)
        kept += len(cut.starts)
        remarks = video.remarks | (_of_sound(sound, of_sound, kept, cutter.number, wanted) if sound else {})
    yield replace(cut, remarks=remarks)


def _cut(piece: Piece, entry: Entry, wanted: Wanted, size: tuple[int, int], sound: Sound | None) -> Cut:
    """The clips of a piece of a video, without those that have hardly any sound where it is wanted."""
    cut = Cut(piece.frames, piece.starts, [], size)
    cut = _with_sound(cut, piece.first, sound, wanted) if sound else cut
    origins = [f"{entry.name}#t={_short((piece.first + start) / wanted.clips.fps)}" for start in cut.starts]
    return replace(cut, origins=origins, tracks=tracks_of(cut, wanted))


def _with_sound(cut: Cut, first: int, sound: Sound, wanted: Wanted) -> Cut:
    """With the sound of each clip, without those of which less than half has any: it may begin late, and end early."""
    size = wanted.samples
    begins = [round((first + start) * wanted.rate / wanted.clips.fps) for start in cut.starts]
    heard = [sound.window(begin, size) for begin in begins]
    kept = [row for row, begin in enumerate(begins) if 2 * (len(heard[row]) - max(0, sound.late - begin)) >= size]
    padded = np.zeros((len(kept), size), np.int16)
    for row, index in enumerate(kept):
        padded[row, : len(heard[index])] = heard[index]
    length = np.array([len(heard[index]) for index in kept], np.int32).reshape(-1, 1)
    return replace(cut, starts=[cut.starts[index] for index in kept], sound=padded, length=length)


def _of_sound(sound: Sound, odd: dict[str, str], kept: int, number: int, wanted: Wanted) -> dict[str, str]:
    """Remarks about the sound of all clips, of which so many are kept. Raises ValueError where none is."""
    if not kept:
        raise ValueError(_why_none(sound, wanted.rate))
    told = odd | sound.remarks()
    remarks = {kind if kind == SILENT else f"with sound that is {kind}": detail for kind, detail in told.items()}
    return remarks | ({SOUNDLESS: f"{number - kept:,} of {number:,} clips"} if kept < number else {})


def _why_none(sound: Sound, rate: int) -> str:
    if not sound.total:
        return "its sound ends before its pictures begin"
    if sound.late:
        return f"its sound begins {sound.late / rate:.2f} s after its pictures, and no clip has sound for half of it"
    return f"its sound ends after {sound.total / rate:.2f} s, before half of its first clip"


def _short(time: float) -> str:
    """Without zeros at the end, as in a media fragment: "a.mp4#t=1.5"."""
    return f"{time:.3f}".rstrip("0").rstrip(".")
