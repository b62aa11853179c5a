"""A folder like a person's: photographs of many formats and sizes in nested folders, with broken and strange files.

Made of the data sets in $COVEY_DATA: `python -m tests.photographs FOLDER` makes the one that the README walks through.
"""

import csv
import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

PARTS = (
    ("davis96.tar.gz", "2021/{group}"),
    ("lsp.tar.gz", "2022/people"),
    ("bccd_voc.tar.gz", "2023/lab/cells"),
)
"""Archive -> the folder that its pictures lie in; `group`: the folder of the archive, a sequence."""
ROTATED = 6
"""EXIF: to be turned by 90 degrees clockwise."""


def _jpeg(path, image):
    image.save(path.with_suffix(".jpg"), quality=92)


def _turned(path, image):
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    image.rotate(90, expand=True).save(path.with_suffix(".JPG"), exif=exif)


def _cmyk(path, image):
    image.convert("CMYK").save(path.with_suffix(".jpe"), format="JPEG")


def _deep(path, image):
    grey = np.asarray(image.convert("L"), np.uint16) * 16  # 12 bits in files of 16
    Image.fromarray(grey).save(path.with_suffix(".tif"))


def _heic(path, image):
    import pillow_heif

    pillow_heif.from_pillow(image).save(path.with_suffix(".heic"), quality=80)


def _float(path, image):
    Image.fromarray(np.asarray(image.convert("L"), np.float32) / 7 - 3).save(path.with_suffix(".tiff"))


FORMS = (
    *(_jpeg, _turned, _cmyk, _deep, _heic, _float),
    lambda path, image: image.save(path.with_suffix(".png")),
    lambda path, image: image.save(path.with_suffix(".webp")),
    lambda path, image: image.save(path.with_suffix(".avif")),
    lambda path, image: image.convert("P").save(path.with_suffix(".gif")),
)
"""How a picture is written; most are JPEGs."""


def make(folder, data, most=None):
    """Writes the photographs into `folder`; the file names, relative to it, with the archive that each is from.

    most: pictures of each archive, evenly chosen; None for all.
    """
    written = []
    for archive, place in PARTS:
        with tarfile.open(Path(data) / archive) as packed:
            members = sorted(
                (m for m in packed if m.isfile() and m.name.endswith((".jpg", ".png"))), key=lambda m: m.name
            )
            step = 1 if most is None else max(1, len(members) // most)
            for number, member in enumerate(members[::step][:most]):
                path = Path(member.name)
                target = folder / place.format(group=path.parent.name) / path.stem
                target.parent.mkdir(parents=True, exist_ok=True)
                image = Image.open(io.BytesIO(packed.extractfile(member).read())).convert("RGB")
                before = set(target.parent.iterdir())
                (FORMS[number // 2 % len(FORMS)] if number % 2 else _jpeg)(target, image)
                (new,) = set(target.parent.iterdir()) - before
                written.append((new.relative_to(folder).as_posix(), archive.partition(".")[0]))
    _strange(folder)
    return written


def _strange(folder):
    """What lies about among photographs, and must neither stop a run nor pass unnoticed."""
    (folder / "2021/clip.mov").write_bytes(b"no picture")
    (folder / "2021/notes.txt").write_text("a trip\n")
    (folder / "2021/.DS_Store").write_bytes(b"x")
    (folder / "2022/empty.png").write_bytes(b"")
    whole = next((folder / "2022/people").glob("*.jpg")).read_bytes()
    (folder / "2022/cut.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "2022/page.jpg").write_text("<html>404</html>")
    os.symlink("/nowhere/x.jpg", folder / "2023/gone.jpg")
    os.symlink("..", folder / "2023/round")
    os.mkfifo(folder / "2023/pipe.png")
    os.rename(os.fsencode(folder / "2021/notes.txt"), os.fsencode(folder / "2021") + b"/caf\xe9.txt")


def write_labels(path, written):
    """A CSV with two columns of labels: the archive that a picture is from, and whether its name has an odd length."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "kind", "even"])
        rows.writerows([name, kind, "yes" if len(name) % 2 else "no"] for name, kind in written)


if __name__ == "__main__":
    found = make(Path(sys.argv[1]).expanduser(), os.environ["COVEY_DATA"])
    write_labels(Path(sys.argv[1]).expanduser().with_suffix(".csv"), found)
    print(f"{len(found)} photographs in {sys.argv[1]}, labels in {Path(sys.argv[1]).with_suffix('.csv')}")
