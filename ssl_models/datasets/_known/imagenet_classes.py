"""The classes of ImageNet's validation pictures where these lie in one folder: by Kaggle's table or by the devkit."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from ssl_models.datasets._common import archive, files

TABLE = "LOC_val_solution.csv"
DEVKIT = "ILSVRC2012_devkit_t12"
META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
SYNSETS = 1_000
"""Of meta.mat, the first that are no groups of others."""
KINDS = f"{TABLE} (of Kaggle), {DEVKIT}.tar.gz or {DEVKIT}/"


def of_validation(roots: list[Path]) -> tuple[str, Mapping[str, str]] | None:
    """Where it was found, and the stem of each validation picture -> its class, such as "n01440764".

    roots: folders that are looked into, the first that has one of KINDS counts. None where none has. Raises ValueError
    for a table or a devkit that is not as it was published.
    """
    if (place := _place(roots)) is None:
        return None
    return str(place), (_of_table if place.name == TABLE else _of_devkit)(place)


def files_of(roots: list[Path]) -> list[tuple[str, Path]]:
    """Name and path of what `of_validation` reads."""
    if (place := _place(roots)) is None:
        return []
    return [(f"{DEVKIT}/{name}", place / name) for name in (META, TRUTH)] if place.is_dir() else [(place.name, place)]


def _place(roots: list[Path]) -> Path | None:
    for root in roots:
        if (root / TABLE).is_file():
            return root / TABLE
        for place in (root / DEVKIT, root / f"{DEVKIT}.tar.gz"):
            if place.exists():
                return place
    return None


def _of_table(path: Path) -> dict[str, str]:
    """Lines such as "ILSVRC2012_val_00048981,n03995372 85 1 499 272"."""
    lines = list(csv.reader(files.read(path).decode("utf-8-sig", "replace").splitlines()))
    found = {line[0].strip(): line[1].split()[0] for line in lines[1:] if len(line) > 1 and line[1].strip()}
    if not lines or lines[0][:2] != ["ImageId", "PredictionString"] or not found:
        raise ValueError(f"'{path}' must have the columns ImageId and PredictionString; fetch it again")
    return found


def _of_devkit(place: Path) -> dict[str, str]:
    """The line of each picture's number in TRUTH is a number of META, which has the name of that class."""
    from scipy.io import loadmat

    content = {name: _member(place, name) for name in (META, TRUTH)}
    try:
        synsets = loadmat(BytesIO(content[META]), squeeze_me=True)["synsets"]
        names = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets[:SYNSETS]}
        numbers = [int(line) for line in content[TRUTH].split()]
        return {f"ILSVRC2012_val_{row:08}": names[number] for row, number in enumerate(numbers, 1)}
    except Exception as error:  # scipy raises many types for what is no such file
        raise ValueError(f"'{place}' is not the devkit as published ({type(error).__name__}: {error})") from error


def _member(place: Path, name: str) -> bytes:
    if place.is_dir():
        if not (place / name).is_file():
            raise ValueError(f"'{place}' has no {name}; fetch it again")
        return files.read(place / name)
    for _, content in archive.members(place, lambda member: member.endswith(f"/{name}"), []):
        return content
    raise ValueError(f"'{place}' has no {name}; fetch it again")
