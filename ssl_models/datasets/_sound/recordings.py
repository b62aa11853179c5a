"""Decodes lists of recordings on several threads, and cuts them into windows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ssl_models.cores import cores
from ssl_models.datasets._common import files
from ssl_models.datasets._common.media import reason
from ssl_models.datasets._common.remarks import Remarks
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._folder.listing import Entry, Listing
from ssl_models.datasets._sound.decoding import Recording, decode, seconds
from ssl_models.datasets._sound.windows import Windows

SOUND, LENGTH = "sound", "length"
MOST_HEADERS = 1000
"""So many take about a second, or two where they are not WAV."""


@dataclass(frozen=True)
class Cut:
    """Windows, and the entries they came from.

    parts: `sound` (N, S) int16 and `length` (N, 1) int32. source: (N,) int64, the index of each one's entry.
    """

    parts: dict[str, Tensor]
    source: Tensor
    failed: list[str] = field(default_factory=list)


def read(listing: Listing, place: str, rate: int, windows: Windows, unreadable: str) -> tuple[Dataset, list[Tensor]]:
    """Both splits, and for each the indices of the entries that its windows came from. `place` is named in errors."""
    if listing.skipped and unreadable == "refuse":
        raise ValueError(f"{place}: {listing.skipped[0]}")
    remarks, skipped, splits, sources = Remarks("recording"), list(listing.skipped), [], []
    for part, entries in (("training", listing.train), ("test", listing.test)):
        cut = cut_all(entries, rate, windows, unreadable, remarks)
        if not len(cut.source):
            raise ValueError(
                f"{place}: none of the {len(entries)} {part} recordings could be read; look at {cut.failed[0]}"
            )
        labels = torch.tensor([entry.label for entry in entries])[cut.source] if listing.classes else None
        splits.append(Split(cut.parts, labels))
        sources.append(cut.source)
        skipped += cut.failed
    notes = (*listing.notes, *remarks.notes())
    return Dataset(splits[0], splits[1], listing.classes, tuple(skipped), notes=notes, known={"rate": rate}), sources


def cut_all(entries: Sequence[Entry], rate: int, windows: Windows, unreadable: str, remarks: Remarks) -> Cut:
    """Decodes all; what cannot be read is named in `failed`, or raises ValueError where unreadable is "refuse"."""
    found: list[tuple[int, Recording]] = []
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        try_one = partial(_try_decode, rate=rate, windows=windows)
        for index, result in enumerate(pool.map(try_one, entries)):
            name = entries[index].name
            if isinstance(result, Recording):
                found.append((index, result))
                for kind, detail in result.remarks.items():
                    remarks.add(kind, name, detail)
                if windows.needed and len(result.samples) > windows.needed:
                    remarks.add(f"longer than the {windows.needed / rate:g} s that are read of each", name)
            elif unreadable == "refuse":
                pool.shutdown(cancel_futures=True)
                raise ValueError(f"{files.printable(name)} cannot be read as sound: {result}")
            else:
                failed.append(f"{files.printable(name)}: {result}")
    return _in_windows(found, windows, failed)


def count(entries: Sequence[Entry], rate: int, windows: Windows) -> int:
    """How many windows the entries give, as their headers tell; one for each where windows.most is 1.

    Of more than MOST_HEADERS entries so many, evenly spread, stand for all.
    """
    if windows.most == 1:
        return len(entries)
    looked_at = [entries[i * len(entries) // MOST_HEADERS] for i in range(MOST_HEADERS)]
    looked_at = looked_at if len(entries) > MOST_HEADERS else list(entries)
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        durations = pool.map(seconds, [entry.content for entry in looked_at])
        found = sum(windows.count(round(duration * rate)) for duration in durations)
    return round(found * len(entries) / len(looked_at))


def _in_windows(found: list[tuple[int, Recording]], windows: Windows, failed: list[str]) -> Cut:
    """Empties `found` on the way, so that long recordings are not in memory twice."""
    counts = [windows.count(len(recording.samples)) for _, recording in found]
    source = torch.tensor([index for index, _ in found]).repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    sound = np.zeros((sum(counts), windows.size), np.int16)
    length = np.zeros((sum(counts), 1), np.int32)
    row = len(sound)
    for number in reversed(counts):
        _, recording = found.pop()
        row -= number
        for window in range(number):
            piece = recording.samples[window * windows.hop :][: windows.size]
            sound[row + window, : len(piece)] = piece
            length[row + window] = len(piece)
    return Cut({SOUND: torch.from_numpy(sound), LENGTH: torch.from_numpy(length)}, source.long(), failed)


def _try_decode(entry: Entry, rate: int, windows: Windows) -> Recording | str:
    """The recording, or the reason why it cannot be read."""
    try:
        return decode(entry.content, rate, windows.needed and windows.needed + 1)  # one more tells that it is longer
    except MemoryError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types
        return reason(error)
