"""Tables in numpy's files: one array (.npy), or several by name in a zip (.npz). Pickles are never read."""

from __future__ import annotations

import io
import lzma
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy import ndarray
from numpy.lib import format as npy

from ssl_models.datasets._common import files
from ssl_models.datasets._vectors.table import Table, check_shape, check_type

VECTORS, LABELS = "vectors", "labels"
"""The arrays of a .npz."""
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""By version; later ones are for structured arrays, which are no tables of numbers."""
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError)
"""What zipfile raises for an archive that is cut off, damaged, encrypted or packed in a way that it does not know."""


def of_npy(path: Path, labels: str, most: int | None) -> Table:
    """The array of a .npy file, mapped. most: bytes of which the rows are given; None for all.

    Raises ValueError, without the file's name, for what cannot be read, for `labels`, and as table.py.
    """
    if labels:
        raise ValueError(f"labels = '{labels}': a .npy holds no labels; save a .npz with `vectors` and `labels`")
    with path.open("rb") as stream:
        shape, dtype = header(stream, path.stat().st_size)
    check_type(dtype)
    check_shape(shape)
    mapped: ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if most is None or mapped.nbytes <= most:
        return Table(mapped)
    rows = max(2, most // (mapped.nbytes // shape[0]))
    return Table(mapped[:rows], share=rows / shape[0])


def of_npz(path: Path, labels: str) -> Table:
    """The array `vectors` of a .npz, or the only one beside its labels; those are the array `labels`, if any.

    labels: the name of another array of labels. Raises ValueError, without the file's name, for what cannot be read,
    for arrays that are not there, labels of another length, and as table.py.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if not info.is_dir()}
            own = labels or LABELS
            if labels and labels not in members:
                raise ValueError(f"labels = '{labels}': it holds no such array, but {_listed(members)}")
            vectors = _member(archive, members[_vectors_among(members, own)])
            stated = _member(archive, members[own], of_labels=True) if own in members else None
    except DAMAGED as error:
        raise ValueError(f"it is no .npz file that can be read, or is cut off ({str(error) or 'no content'})") from None
    return Table(vectors, None if stated is None else _fitting(stated, own, len(vectors)))


def header(stream: BinaryIO, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in a .npy file of so many bytes, which is then read up to the array.

    Raises ValueError for what is no such file, and where the array would be larger than what is left of the file.
    """
    try:
        version = npy.read_magic(stream)
    except ValueError:
        raise ValueError("it does not begin as a .npy file does; write it with numpy.save") from None
    if version not in HEADERS:
        raise ValueError(f"it is a .npy of version {version[0]}.{version[1]}; save a plain array of numbers")
    try:
        shape, _, dtype = HEADERS[version](stream)
    except Exception as error:  # the header is a text in Python, which may be broken in many ways
        raise ValueError(f"its header is damaged ({str(error).splitlines()[0]})") from None
    if any(length < 0 for length in shape):
        raise ValueError(f"its header is damaged: it tells the shape {shape}")
    needed, left = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if needed > left and not dtype.hasobject:
        raise ValueError(
            f"its header tells the shape {shape} of {dtype}, {needed:,} bytes, and {left:,} follow: it is cut off or "
            "damaged"
        )
    return shape, dtype


def _vectors_among(members: dict[str, zipfile.ZipInfo], labels: str) -> str:
    """The name of the array of vectors."""
    if VECTORS in members:
        return VECTORS
    others = [name for name in members if name != labels]
    if len(others) != 1:
        raise ValueError(
            f"it holds {_listed(members)}, and none is called `{VECTORS}`; save one as numpy.savez(PATH, {VECTORS}=x)"
        )
    return others[0]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, of_labels: bool = False) -> ndarray:
    """One array. Raises ValueError, with its name."""
    name = files.printable(info.filename.removesuffix(".npy"))
    try:
        if info.file_size > files.MOST_BYTES:
            raise ValueError(files.too_large(info.file_size))
        with archive.open(info) as stream:
            shape, dtype = header(stream, info.file_size)  # type: ignore[arg-type]
        if of_labels:
            if dtype.hasobject:
                check_type(dtype)
        else:
            check_type(dtype)
            check_shape(shape)
        found: ndarray = npy.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"its array `{name}`: {error}") from None
    return found


def _fitting(labels: ndarray, name: str, rows: int) -> ndarray:
    """(N,) or (N, 1) -> (N,). Raises ValueError for another shape."""
    if labels.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"its array `{name}` has the shape {labels.shape}, and there are {rows:,} vectors")
    return labels.reshape(rows)


def _listed(names: dict[str, zipfile.ZipInfo]) -> str:
    shown = ", ".join(files.printable(name) for name in list(names)[:8])
    return f"{len(names)} array{'' if len(names) == 1 else 's'}{f' ({shown})' if names else ''}"
