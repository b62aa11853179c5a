"""Columns of a parquet file: which holds the pictures, which their names, and which are labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_models.datasets._common import files, pictures

MOST_CLASSES = 10_000
"""Distinct values beyond which a column of texts is none of labels."""
LOOKED_AT = 16
"""Rows whose bytes tell whether a column holds pictures, where the file does not say so."""
LABEL_WORDS = frozenset({"label", "labels", "class", "classes", "category", "target", "cls"})


@dataclass(frozen=True)
class ImageColumn:
    """name: of the column. leaf: what is read of it. path: the leaf that holds names, "" where there is none."""

    name: str
    leaf: str
    path: str


@dataclass(frozen=True)
class Labels:
    """The class of each row, None where it has none. sure: whether the file or the user says that these are labels."""

    values: Sequence[str | None]
    sure: bool


def opened(path: Path) -> Any:
    """A pyarrow ParquetFile that holds the file's metadata alone, and reads a buffer at a time."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("parquet files are read by pyarrow; pip install pyarrow") from error
    with told(path):
        return pyarrow.parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raises ValueError, which names the file, for what pyarrow raises over damage or a kind that it does not read."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        why = files.printable(" ".join(str(error).split())[:200])
        raise ValueError(f"'{path}' cannot be read as a parquet file ({why}); fetch it again") from error


def image_column(file: Any, column: str, where: str) -> ImageColumn:
    """The column of pictures: the one asked for, or the only one. Raises ValueError where it is none, or not alone."""
    schema = file.schema_arrow
    there = ", ".join(f"{files.printable(field.name)} ({_kind(field.type)})" for field in schema) or "none"
    possible = {field.name: found for field in schema if (found := _holder(field))}
    if column:
        if column not in possible:
            what = "holds no bytes" if column in schema.names else "is not there"
            raise ValueError(f"'{where}': column = '{column}' {what}; its columns are: {there}")
        return possible[column]
    features = _features(schema)
    stated = [name for name in possible if features.get(name, {}).get("_type") == "Image"]
    chosen = stated or [name for name, image in possible.items() if _are_pictures(file, image.leaf)]
    if not chosen:
        raise ValueError(f"'{where}' has no column of pictures; its columns are: {there}")
    if len(chosen) > 1:
        raise ValueError(f"'{where}' has several columns of pictures: {', '.join(chosen)}; name one as `column`")
    return possible[chosen[0]]


def paths(file: Any, image: ImageColumn) -> list[str] | None:
    """The name of each row's picture, None where there are none or one is missing or occurs twice."""
    if not image.path:
        return None
    found: list[str] = []
    with suppress(UnicodeDecodeError):
        for values in _batches(file, image.path):
            names = values.to_pylist()
            if not all(names):
                return None
            found += [files.printable(name.lstrip("/")) for name in names]
        return found if len(set(found)) == len(found) and all(found) else None
    return None


def labels(file: Any, wanted: str) -> dict[str, Labels]:
    """Column -> its labels, by `labels` of in_parquet.find; columns of texts only as far as they have few values."""
    if wanted == "none":
        return {}
    schema = file.schema_arrow
    names = {name: found["names"] for name, found in _features(schema).items() if _is_class_label(found)}
    plain = [field.name for field in schema if _is_plain(field.type)]
    if wanted in plain:
        chosen = [wanted]
    else:
        tiers = (
            [name for name in plain if name in names],
            [name for name in plain if LABEL_WORDS & set(re.split(r"[^a-z]+", name.lower()))],
            [field.name for field in schema if _is_text(field.type)],
        )
        chosen = next((tier for tier in tiers if tier), [])
    found = {}
    for name in chosen:
        sure = name == wanted or name in names
        if (values := _classes(file, name, names.get(name, ()), MOST_CLASSES if not sure else None)) is not None:
            found[name] = Labels(values, sure)
    return found


def are_labels(columns: Sequence[Labels], rows: int) -> bool:
    """Whether the same column of all files holds two classes or more; few and each twice or so where nobody says so."""
    distinct = {value for labels in columns for value in labels.values} - {None}
    return len(distinct) > 1 and (columns[0].sure or len(distinct) <= min(MOST_CLASSES, rows // 2))


def leaf_values(batch: Any, leaf: str) -> Any:
    """The array of one leaf that a batch was read for, "image.bytes" or "image"."""
    column = batch.column(0)
    return column.field(leaf.rpartition(".")[2]) if _is_struct(column.type) else column


def _batches(file: Any, leaf: str, size: int = 2**14) -> Iterator[Any]:
    for batch in file.iter_batches(batch_size=size, columns=[leaf], use_threads=False):
        yield leaf_values(batch, leaf)


def _classes(file: Any, name: str, names: Sequence[str], most: int | None) -> list[str | None] | None:
    """The class of each row by its name, or None for more than `most` distinct ones. Numbers below 0 are no class."""
    known: dict[Any, str | None] = {None: None}
    found: list[str | None] = []
    for values in _batches(file, name):
        for value in values.to_pylist():
            if value not in known:
                known[value] = _class_name(value, names)
            found.append(known[value])
        if most is not None and len(known) > most + 1:
            return None
    return found


def _class_name(value: Any, names: Sequence[str]) -> str | None:
    if isinstance(value, str):
        return files.printable(value)
    if value < 0:
        return None
    return str(names[value]) if value < len(names) else str(int(value))


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """Hugging Face's description of the columns; empty where there is none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in found.items() if isinstance(feature, dict)}
    return {}


def _is_class_label(feature: Mapping[str, Any]) -> bool:
    return feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)


def _holder(field: Any) -> ImageColumn | None:
    """What is read of a column that may hold pictures."""
    if _is_binary(field.type):
        return ImageColumn(field.name, field.name, "")
    if not _is_struct(field.type):
        return None
    inner = {part.name: part.type for part in field.type}
    if "bytes" not in inner or not _is_binary(inner["bytes"]):
        return None
    path = f"{field.name}.path" if "path" in inner and _is_text(inner["path"]) else ""
    return ImageColumn(field.name, f"{field.name}.bytes", path)


def _are_pictures(file: Any, leaf: str) -> bool:
    """Whether one of the first rows holds a picture."""
    for value in next(_batches(file, leaf, LOOKED_AT), ()):
        with suppress(Exception), pictures.opened(value.as_py()):  # Pillow raises many types for what is no picture
            return True
    return False


def _kind(kind: Any) -> str:
    return "struct" if _is_struct(kind) else files.printable(str(kind))[:40]


def _is_struct(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_struct(kind))


def _is_binary(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow

    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _is_plain(kind: Any) -> bool:
    """Texts, whole numbers, yes and no."""
    import pyarrow

    return _is_text(kind) or bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_boolean(kind))
