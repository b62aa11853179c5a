"""Folders of numbered pictures -> a data set of clips: each picture decoded once, on all cores, with progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from numpy import ndarray

from ssl_models.datasets._common import archive, files, pictures
from ssl_models.datasets._common.in_order import in_order
from ssl_models.datasets._common.progress import Progress
from ssl_models.datasets._common.remarks import Remarks
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._pictures.square import square
from ssl_models.datasets._video.sequences import Found, Picture, Sequence
from ssl_models.datasets._video.taken import Cut, Taken, Wanted, tracks_of
from ssl_models.datasets._video.videos import known

AHEAD = 2
"""Videos a core that may be in memory, waiting for an earlier one."""
SPARE = 2
"""How many times as large as it is used a JPEG is decoded at the least, as pictures are."""
GAPS = "with gaps in the numbers of its pictures, which no clip spans"
MIXED = "of pictures of several sizes, each of which is scaled by itself"

Contents = list[list[Path | bytes]]
"""Of the pictures of each run."""


def read(found: Found, wanted: Wanted, every: int, unreadable: str, room: Path | None, workers: int = 0) -> Dataset:
    """Both splits, of each run every so many pictures. room: where frames are written as they are decoded.

    A picture that cannot be read is as one that lacks: no clip spans it. Raises ValueError for a split without a clip,
    and where unreadable is "refuse" for what cannot be read.
    """
    if found.skipped and unreadable == "refuse":
        raise ValueError(f"{found.place}: {found.skipped[0]}")
    remarks, skipped, splits = Remarks("video"), list(found.skipped), {"train": found.train, "test": found.test}
    of = {sequence.name: name for name, split in splits.items() for sequence in split}
    with ExitStack() as stack:
        rows = {name: count(split, wanted, every) for name, split in splits.items()}
        taken = {name: Taken(stack, name, rows[name], wanted, room) for name in splits}
        progress = stack.enter_context(closing(Progress("decoding", len(of), "videos")))
        work = partial(_cut, wanted=wanted, every=every)
        results = stack.enter_context(closing(in_order(work, _with_contents(found), workers, AHEAD)))
        for sequence, cut, faults in results:
            progress.step()
            if isinstance(cut, str):
                faults = [*faults, f"{files.printable(sequence.name)}: {cut}"]
            else:
                taken[of[sequence.name]].add(sequence.name, sequence.label, cut)
                for kind, detail in cut.remarks.items():
                    remarks.add(kind, sequence.name, detail)
            if faults and unreadable == "refuse":
                raise ValueError(f"{found.place}: {faults[0]}")
            skipped += faults
        for name, one in taken.items():
            if not one.videos:
                what = f"none of the {len(splits[name])} {'training' if name == 'train' else name} videos gives a clip"
                raise ValueError(f"{found.place}: {what}; look at {skipped[-1]}")
        made = [one.split(labelled=bool(found.classes)) for one in taken.values()]
    notes = (*found.notes, *remarks.notes())
    return Dataset(*made, found.classes, tuple(skipped), notes=notes, known=known(wanted))


def count(sequences: list[Sequence], wanted: Wanted, every: int) -> int:
    """How many clips there are if all pictures can be read."""
    return sum(len(_starts([len(run[::every]) for run in one.runs], wanted)) for one in sequences)


def _with_contents(found: Found) -> Iterator[tuple[Sequence, Contents]]:
    """Each sequence as soon as all of its pictures are known; of an archive in the order in which they are complete."""
    sequences = [*found.train, *found.test]
    if found.place.is_dir():
        for sequence in sequences:
            yield sequence, [[picture.path or Path() for picture in run] for run in sequence.runs]
        return
    of = {picture.name: sequence for sequence in sequences for run in sequence.runs for picture in run}
    waiting = {sequence.name: {} for sequence in sequences}  # type: dict[str, dict[str, bytes]]
    total = {sequence.name: sum(map(len, sequence.runs)) for sequence in sequences}
    for name, content in archive.members(found.place, of.__contains__, []):
        sequence = of[name]
        read = waiting[sequence.name]
        read[name] = content
        if len(read) == total[sequence.name]:
            yield sequence, [[read[picture.name] for picture in run] for run in sequence.runs]
            del waiting[sequence.name]


def _cut(item: tuple[Sequence, Contents], wanted: Wanted, every: int) -> tuple[Sequence, Cut | str, list[str]]:
    """The sequence; its clips, or why there are none; and a text for each picture that cannot be read."""
    sequence, contents = item
    faults: list[str] = []
    runs: list[list[tuple[Picture, ndarray]]] = []
    sizes: list[tuple[int, int]] = []
    for run, of_run in zip(sequence.runs, contents, strict=True):
        runs.append([])
        for picture, content in list(zip(run, of_run, strict=True))[::every]:
            read = _frame(content, wanted.clips.side)
            if isinstance(read, str):
                faults.append(f"{files.printable(picture.name)}: {read}")
                runs.append([])
            else:
                runs[-1].append((picture, read[0]))
                sizes.append(read[1])
    frames = [pixels for run in runs for _, pixels in run]
    starts = _starts([len(run) for run in runs], wanted)
    if not starts:
        longest = max(len(run) for run in runs)
        return sequence, _too_few(len(frames), longest, wanted, every), faults
    names = [picture.name for run in runs for picture, _ in run]
    remarks = {GAPS: f"{sequence.gaps} of them, the first behind {sequence.runs[0][-1].name}"} if sequence.gaps else {}
    if len(set(sizes)) > 1:
        remarks[MIXED] = f"{len(set(sizes))} sizes"
    cut = Cut(frames, starts, [names[start] for start in starts], sizes[0], remarks=remarks)
    return sequence, _with_tracks(cut, wanted), faults


def _with_tracks(cut: Cut, wanted: Wanted) -> Cut:
    return Cut(cut.frames, cut.starts, cut.origins, cut.size, tracks=tracks_of(cut, wanted), remarks=cut.remarks)


def _starts(lengths: list[int], wanted: Wanted) -> list[int]:
    """The first frame of each clip, counted over runs of these lengths one after the other; no clip spans two."""
    found, before = [], 0
    for length in lengths:
        found += [before + start for start in wanted.clips.starts(length)]
        before += length
    return found[: wanted.clips.most] if wanted.clips.most else found


def _frame(content: Path | bytes, side: int) -> tuple[ndarray, tuple[int, int]] | str:
    """The pixels and the size of the whole picture, or the reason why it cannot be read."""
    try:
        read = square(content, side, SPARE)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's errors are of many types
        return pictures.reason(error)
    if read.values is not None:
        return "greys of over 8 bits, or floating-point numbers; frames are read from pictures of 8 bits"
    return read.pixels, read.size


def _too_few(frames: int, longest: int, wanted: Wanted, every: int) -> str:
    """Why a sequence gives no clip."""
    taken = f"{frames} frame{'' if frames == 1 else 's'} can be taken{f' of every {every}' if every > 1 else ''}"
    run = f", at most {longest} of them without a gap" if longest < frames else ""
    return f"too short: {taken}{run}, and a clip takes {wanted.clips.frames}; lower `frames`"
