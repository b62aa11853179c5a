"""Folders of numbered pictures -> a data set of clips: each picture decoded once, on all cores, with progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from numpy import ndarray

from ssl_models.datasets._common import archive, files, pictures
from ssl_models.datasets._common.in_pieces import in_pieces
from ssl_models.datasets._common.progress import Progress
from ssl_models.datasets._common.remarks import Remarks
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._pictures.square import square
from ssl_models.datasets._video.cutting import Cutter, Piece
from ssl_models.datasets._video.sequences import Found, Sequence
from ssl_models.datasets._video.taken import MOST_WAITING, Cut, Taken, Wanted, size_of, tracks_of
from ssl_models.datasets._video.videos import known

AHEAD = 2
"""Videos a core whose files may be in memory before their turn, where they come from an archive."""
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
        work, items = partial(_cuts, wanted=wanted, every=every), _with_contents(found)
        results = stack.enter_context(closing(in_pieces(work, items, size_of, MOST_WAITING, workers, AHEAD)))
        for (sequence, _), pieces in results:
            for piece in pieces:
                if isinstance(piece, str):
                    skipped.append(piece)
                    if unreadable == "refuse":
                        raise ValueError(f"{found.place}: {piece}")
                    continue
                taken[of[sequence.name]].add(sequence.name, sequence.label, piece)
                for kind, detail in piece.remarks.items():
                    remarks.add(kind, sequence.name, detail)
            progress.step()
        for name, one in taken.items():
            if not one.videos:
                what = f"none of the {len(splits[name])} {'training' if name == 'train' else name} videos gives a clip"
                raise ValueError(f"{found.place}: {what}; look at {skipped[-1]}")
        train, test = (one.split(labelled=bool(found.classes)) for one in taken.values())
    notes = (*found.notes, *remarks.notes())
    return Dataset(train, test, found.classes, tuple(skipped), notes=notes, known=known(wanted))


def count(sequences: list[Sequence], wanted: Wanted, every: int) -> int:
    """How many clips there are if all pictures can be read."""
    clips = wanted.clips
    found = [sum(clips.count(len(run[::every])) for run in sequence.runs) for sequence in sequences]
    return sum(min(number, clips.most) if clips.most else number for number in found)


def _with_contents(found: Found) -> Iterator[tuple[Sequence, Contents]]:
    """Each sequence as soon as all of its pictures are known; of an archive in the order in which they are complete.

    Of an archive whose pictures are not in the order of their videos, all may be in memory at once, coded as they are.
    A picture that is in it twice is read as it is first.
    """
    sequences = [*found.train, *found.test]
    if found.place.is_dir():
        for sequence in sequences:
            yield sequence, [[picture.path or Path() for picture in run] for run in sequence.runs]
        return
    of = {picture.name: sequence for sequence in sequences for run in sequence.runs for picture in run}
    waiting: dict[str, dict[str, bytes]] = {sequence.name: {} for sequence in sequences}
    total = {sequence.name: sum(map(len, sequence.runs)) for sequence in sequences}
    for name, content in archive.members(found.place, of.__contains__, []):
        sequence = of[name]
        if (read := waiting.get(sequence.name)) is None:  # it was complete
            continue
        read.setdefault(name, content)
        if len(read) == total[sequence.name]:
            yield sequence, [[read[picture.name] for picture in run] for run in sequence.runs]
            del waiting[sequence.name]


def _cuts(item: tuple[Sequence, Contents], wanted: Wanted, every: int) -> Iterator[Cut | str]:
    """The clips, a piece of the sequence after the other; a text for each picture that cannot be read, and where there
    is no clip. No picture behind the last clip that is wanted is opened."""
    sequence, contents = item
    cutter, names = Cutter(wanted.clips), list[str]()
    sizes: dict[tuple[int, int], None] = {}
    for run, of_run in zip(sequence.runs, contents, strict=True):
        cutter.gap()
        for picture, content in list(zip(run, of_run, strict=True))[::every]:
            if cutter.full:
                break
            read = _frame(content, wanted.clips.side)
            if isinstance(read, str):
                yield f"{files.printable(picture.name)}: {read}"
                cutter.gap()
                continue
            cutter.add(read[0])
            names.append(picture.name)
            sizes[read[1]] = None
            if cutter.large:
                yield _cut(cutter.piece(), names, next(iter(sizes)), wanted)
    if not cutter.number:
        yield f"{files.printable(sequence.name)}: {_too_few(cutter.total, cutter.longest, wanted, every)}"
        return
    remarks = {GAPS: f"{sequence.gaps} of them, the first behind {sequence.runs[0][-1].name}"} if sequence.gaps else {}
    if len(sizes) > 1:
        remarks[MIXED] = f"{len(sizes)} sizes"
    yield replace(_cut(cutter.piece(), names, next(iter(sizes)), wanted), remarks=remarks)


def _cut(piece: Piece, names: list[str], size: tuple[int, int], wanted: Wanted) -> Cut:
    """names: of the pictures of all frames."""
    cut = Cut(piece.frames, piece.starts, [names[piece.first + start] for start in piece.starts], size)
    return replace(cut, tracks=tracks_of(cut, wanted))


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
