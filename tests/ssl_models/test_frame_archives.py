"""The readers of folders of numbered pictures: archives of them, and DAVIS."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models.datasets import davis, frame_folders
from tests.ssl_models.archives import archive
from tests.ssl_models.test_frame_folders import SMALL, TWO, load, picture, write

torch.set_num_threads(1)


def pack(place, content, form):
    if form == "zip":
        with zipfile.ZipFile(place, "w") as packed:
            for name, data in content.items():
                packed.writestr(name, data)
        return place
    with tarfile.open(place, {"tar": "w", "tar.gz": "w:gz"}[form]) as packed:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return place


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_an_archive_is_read_as_the_folder_that_it_holds(tmp_path, form, shuffled):
    names = list(TWO)
    names = [names[index] for index in np.random.default_rng(0).permutation(len(names))] if shuffled else names
    content = {f"top/data/{name}": TWO[name] for name in names} | {"top/.hidden/1.png": b"", "top/README.md": b"text"}
    data = load(pack(tmp_path / f"a.{form}", content, form))
    known = load(write(tmp_path / "folder", content))
    assert torch.equal(data.train.parts["frames"], known.train.parts["frames"])
    assert (data.train.origin.files, data.skipped, data.notes) == (known.train.origin.files, (), known.notes)
    assert frame_folders.count(source=str(tmp_path / f"a.{form}"), **SMALL) == (len(data.train), len(data.test))


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_picture_that_is_in_an_archive_twice_counts_once(tmp_path, form):
    place, known = pack(tmp_path / f"a.{form}", TWO, form), load(write(tmp_path / "folder", TWO))
    again = {"bear/00002.png": picture(60), "swan/00011.png": picture(60)}  # of a sequence that is complete
    if form == "zip":
        with zipfile.ZipFile(place, "a") as packed:
            for name, data in again.items():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    packed.writestr(name, data)
    else:
        (tmp_path / "again.tar").write_bytes(pack(tmp_path / "b.tar", again, form).read_bytes())
        end = place.read_bytes().rstrip(b"\0")
        end += bytes(-len(end) % 512)
        place.write_bytes(end + (tmp_path / "again.tar").read_bytes())
    data = load(place)
    assert torch.equal(data.train.parts["frames"], known.train.parts["frames"])
    assert sorted(data.skipped) == [
        "bear/00002.png: a second picture of number 2, beside bear/00002.png",
        "swan/00011.png: a second picture of number 11, beside swan/00011.png",
    ]


def test_a_number_of_thousands_of_digits_is_none(tmp_path):
    data = load(pack(tmp_path / "a.zip", TWO | {f"bear/{'7' * 5000}.png": picture(1)}, "zip"))
    assert data.skipped == (
        f"bear/{'7' * 55}...: a number of 5,000 digits in its name, so its place among the frames is unknown",
    )


# DAVIS


@pytest.mark.parametrize("form", ["zip", "tar.gz", "folder"])
def test_davis_is_found_and_its_masks_are_not_read(tmp_path, monkeypatch, form):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"DAVIS was found neither in `source` .*Get it from davischallenge\.org"
    ):
        davis.count()
    content = {}
    for folder in ("JPEGImages/480p", "JPEGImages/Full-Resolution", "Annotations/480p"):
        content |= {f"DAVIS/{folder}/{name}": data for name, data in TWO.items()}
    if form == "folder":
        write(tmp_path, content)
    else:
        pack(tmp_path / f"davis.{form}", content, form)
    data = davis.load(seed=0, **SMALL)
    assert davis.count(**SMALL) == (len(data.train), len(data.test))
    assert len(data.train) + len(data.test) == 5
    assert {str(Path(group).parent.name) for group in data.train.origin.groups} == {"480p"}
    assert davis.describe(every=2) == ({"frames": (10, 3, 64, 64), "tracks": (1, 10, 4), "source": (1,)}, {"fps": 12.0})


def test_real_davis_is_read():
    archive("davis96.tar.gz")
    data = davis.load(seed=0, size=32)
    assert (len(data.train), len(data.test)) == davis.count(size=32) == (100, 34)
    assert (data.skipped, data.notes, davis.KIND) == ((), (), "video")
    assert len(set(data.train.origin.groups)) == 16
    assert (data.train.parts["tracks"][:, 0, 0, 2] > 0).float().mean() > 0.5
