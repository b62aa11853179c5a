"""Listed video files -> a data set of clips: each file decoded once, on all cores, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ssl_models.cores import cores
from ssl_models.datasets._common import files
from ssl_models.datasets._common.in_order import in_order
from ssl_models.datasets._common.media import reason
from ssl_models.datasets._common.progress import Progress
from ssl_models.datasets._common.remarks import Remarks
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._folder.listing import Entry, Listing
from ssl_models.datasets._sound.aligned import decode_from
from ssl_models.datasets._sound.decoding import SILENT
from ssl_models.datasets._video.clips import Clips
from ssl_models.datasets._video.decoding import Video, decode, seconds
from ssl_models.datasets._video.taken import Cut, Taken, Wanted, tracks_of

MOST_HEADERS = 1000
"""So many take a few seconds."""
AHEAD = 2
"""Videos a core that may be in memory, waiting for an earlier one."""
SOUNDLESS = "without sound in parts; clips of which less than half has sound are left out"


def read(
    listing: Listing, place: str, wanted: Wanted, unreadable: str, room: Path | None = None, workers: int = 0
) -> Dataset:
    """Both splits. place: named in errors. room: where frames and sound are written as they are decoded.

    The bytes are the same with any number of workers. Raises ValueError for a split of which no video can be read.
    """
    refuse = unreadable == "refuse"
    if listing.skipped and refuse:
        raise ValueError(f"{place}: {listing.skipped[0]}")
    remarks, skipped, splits = Remarks("video"), list(listing.skipped), []
    given = {"train": listing.train, "test": listing.test}
    with ExitStack() as stack:
        rows = {name: count(entries, wanted.clips) for name, entries in given.items()}
        taken = {name: Taken(stack, name, rows[name], wanted, room) for name in given}
        progress = stack.enter_context(closing(Progress("decoding", sum(map(len, given.values())), "videos")))
        for name, entries in given.items():
            results = stack.enter_context(closing(in_order(partial(_try_cut, wanted=wanted), entries, workers, AHEAD)))
            for entry, found in zip(entries, results, strict=True):
                progress.step()
                if isinstance(found, Cut):
                    taken[name].add(entry.name, entry.label, found)
                    for kind, detail in found.remarks.items():
                        remarks.add(kind, entry.name, detail)
                    continue
                if refuse:
                    raise ValueError(f"{files.printable(entry.name)} cannot be read as video: {found}")
                skipped.append(f"{files.printable(entry.name)}: {found}")
            if not taken[name].videos:
                what = f"none of the {len(entries)} {'training' if name == 'train' else name} videos gives a clip"
                raise ValueError(f"{place}: {what}; look at {skipped[-1]}")
        splits = [one.split(labelled=bool(listing.classes)) for one in taken.values()]
    notes = (*listing.notes, *remarks.notes())
    return Dataset(*splits, listing.classes, tuple(skipped), notes=notes, known=known(wanted))


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


def check_unreadable(unreadable: str) -> None:
    """Raises ValueError for any but the two ways to deal with what cannot be read."""
    if unreadable not in ("skip", "refuse"):
        raise ValueError(f"unreadable = '{unreadable}' must be skip or refuse")


def check_test_fraction(test_fraction: float) -> None:
    """Raises ValueError for a share out of range."""
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction = {test_fraction} must lie between 0 and 1, both excluded")


def _try_cut(entry: Entry, wanted: Wanted) -> Cut | str:
    """The clips, or the reason why there are none."""
    try:
        video = decode(entry.content, wanted.clips)
        starts = wanted.clips.starts(len(video.frames))
        if not starts:
            return wanted.clips.too_short(len(video.frames))
        cut = Cut(video.frames, starts, [], video.size, remarks=video.remarks)
        cut = _with_sound(cut, entry, video, wanted) if wanted.rate else cut
        origins = [f"{entry.name}#t={_short(start / wanted.clips.fps)}" for start in cut.starts]
        return replace(cut, origins=origins, tracks=tracks_of(cut, wanted))
    except MemoryError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types
        return reason(error)


def _with_sound(cut: Cut, entry: Entry, video: Video, wanted: Wanted) -> Cut:
    """With the sound of each clip, without those that have hardly any. Raises ValueError where none has."""
    rate, fps, size = wanted.rate, wanted.clips.fps, wanted.samples
    last = cut.starts[-1] + wanted.clips.frames
    recording = decode_from(entry.content, rate, video.start, round(last * rate / fps) + 1)
    begins = [round(start * rate / fps) for start in cut.starts]
    lengths = [min(size, len(recording.samples) - begin) for begin in begins]
    kept = [row for row, length in enumerate(lengths) if 2 * length >= size]
    if not kept:
        raise ValueError(f"its sound ends after {len(recording.samples) / rate:.2f} s, before half of its first clip")
    sound = np.zeros((len(kept), size), np.int16)
    for row, index in enumerate(kept):
        sound[row, : lengths[index]] = recording.samples[begins[index] :][:size]
    remarks = dict(cut.remarks)
    for kind, detail in recording.remarks.items():
        remarks[kind if kind == SILENT else f"with sound that is {kind}"] = detail
    if len(kept) < len(begins):
        remarks[SOUNDLESS] = f"{len(begins) - len(kept):,} of {len(begins):,} clips"
    length = np.array([[lengths[index]] for index in kept], np.int32)
    return replace(cut, starts=[cut.starts[index] for index in kept], sound=sound, length=length, remarks=remarks)


def _short(time: float) -> str:
    """Without zeros at the end, as in a media fragment: "a.mp4#t=1.5"."""
    return f"{time:.3f}".rstrip("0").rstrip(".")
