"""Decodes pictures: the one place where a file of any format, mode and depth becomes RGB of 8 bits, for all readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files
from ssl_models.datasets._common.scaling import Depths, Range, Scale

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    """
    .apng .avif .avifs .blp .bmp .bw .cur .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gbr .gif .heic .heics
    .heif .heifs .hif .icb .icns .ico .iim .im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm
    .pcd .pcx .pfm .pgm .png .pnm .ppm .psd .pxr .qoi .ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm
    """.split()  # noqa: SIM905 - a list would take a line a suffix
)
"""Every suffix of a format that Pillow decodes by itself, or with pillow-heif. Written out, so that which files make up
a data set does not depend on what is installed. PostScript is not among them: Pillow hands it to another
program, which runs it."""
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""Brands in the header of files that pillow-heif reads. A telephone may name them .jpg."""
NEEDS_HEIF = "needs pillow-heif: pip install pillow-heif"
NEEDS_AVIF = "needs a Pillow that reads AVIF: pip install --upgrade pillow"
MOST_PIXELS = 2**26 * 4 // 3
"""Pillow's own bound (Image.MAX_IMAGE_PIXELS), beyond which it warns of a decompression bomb."""
FULL_SCALE = ("PPM", "JPEG2000")
"""Formats that state their depth and that Pillow therefore scales to 16 bits by itself."""
ORIENTATION = 0x0112
"""EXIF's entry of how a picture is turned to be upright: 1 to 8."""

CUT_OFF = ("truncated", "end of file", "not enough image data")
"""What Pillow and pillow-heif say of files that stop too early."""


class Unreadable(ValueError):
    """A file that is no picture, or none that is read. kind: the reason in two words, by which files are counted."""

    def __init__(self, words: str, kind: str) -> None:
        super().__init__(words)
        self.kind = kind


@contextmanager
def opened(content: Path | bytes) -> Iterator[Image]:
    """A picture whose header has been read. Raises ValueError for what is no file, too large or no picture."""
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import UnidentifiedImageError

    if isinstance(content, Path) and (why := files.fault(content)):
        if not content.exists() and not content.is_symlink():
            raise FileNotFoundError(why)
        raise Unreadable(why, "cannot be opened")
    try:
        image = _identified(content)
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise Unreadable(f"it has more than {MOST_PIXELS:,} pixels", "too many pixels") from error
    except UnidentifiedImageError as error:  # whose text holds the path, or an address in memory
        raise _unknown(_head(content)) from error
    with image:
        if image.width * image.height > MOST_PIXELS:
            told = f"it has more than {MOST_PIXELS:,} pixels ({image.width} x {image.height})"
            raise Unreadable(told, "too many pixels")
        yield image


def _identified(content: Path | bytes) -> Image:
    """Opened by Pillow; pillow-heif is only imported for a file that needs it."""
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import UnidentifiedImageError

    def opening() -> Image:
        return pillow.open(BytesIO(content) if isinstance(content, bytes) else content)

    try:
        return opening()
    except UnidentifiedImageError:
        if not (_is_heif(_head(content)) and _reads_heif()):
            raise
        return opening()


def _head(content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content[:12]
    with content.open("rb") as file:
        return file.read(12)


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:] in HEIF


@cache
def _reads_heif() -> bool:
    """Has Pillow open HEIF from now on, where pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _unknown(head: bytes) -> Unreadable:
    """Why a file that starts like this is no picture to Pillow."""
    if not head:
        return Unreadable("it is empty", "empty")
    if _is_heif(head) and not _reads_heif():
        return Unreadable(NEEDS_HEIF, NEEDS_HEIF)
    if head[4:] in (b"ftypavif", b"ftypavis") and not _reads_avif():
        return Unreadable(NEEDS_AVIF, NEEDS_AVIF)
    return Unreadable("no format of pictures that is known", "no picture")


def _reads_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


def deep_values(image: Image, *, upright: bool) -> ndarray | None:
    """(H, W) of a picture whose numbers have no range of their own: greys of over 8 bits, floating point.

    upright: turned as its EXIF says. Raises Unreadable for numbers that are not finite.
    """
    from PIL import ImageOps

    greys = image.mode.startswith("I") and image.format not in FULL_SCALE  # as versions of Pillow call it: I;16, I
    if not greys and image.mode != "F":
        return None
    values = np.asarray(ImageOps.exif_transpose(image) if upright and orientation(image) != 1 else image)
    if not greys and (bad := int(values.size - np.isfinite(values).sum())):
        told = f"{bad:,} of its {values.size:,} floating-point numbers are not finite; write numbers in their place"
        raise Unreadable(told, "numbers that are not finite")
    return values


def as_rgb(image: Image, depths: Depths, *, upright: bool) -> Image:
    """The picture in mode RGB; transparent parts lie on white. upright: turned as its EXIF says.

    depths: gives the scale of numbers without a range of their own, and is told their range.
    """
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import ImageOps

    if (values := deep_values(image, upright=upright)) is not None:
        depths.meet(span := Range.of(values))
        return pillow.fromarray(depths.scale.of_8_bits(values, floats=span.floats)).convert("RGB")
    deep = image.mode.startswith("RGB") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if upright and orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # of FULL_SCALE
        return pillow.fromarray(Scale().of_8_bits(np.asarray(image), floats=False)).convert("RGB")
    if deep:
        depths.colours.append(int(np.asarray(image)[..., :3].max()))
    if image.has_transparency_data:
        white = pillow.new("RGBA", image.size, "white")
        return pillow.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def orientation(image: Image) -> int:
    """How the picture is turned to be upright, by its EXIF: 1 (not at all) to 8."""
    found = image.getexif().get(ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1


def reason(error: Exception) -> str:
    """Why a picture cannot be read: without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join(str(error).split())
    return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"


def kind(error: Exception) -> str:
    """The reason in a few words, the same for many files."""
    if isinstance(error, Unreadable):
        return error.kind
    if isinstance(error, EOFError) or any(words in str(error).lower() for words in CUT_OFF):
        return "cut off"
    return "cannot be opened" if isinstance(error, OSError) and error.strerror else "damaged"
