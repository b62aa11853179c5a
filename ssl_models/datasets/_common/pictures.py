"""Decodes pictures: the one place where a file of any format, mode and depth becomes RGB of 8 bits, for all readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ssl_models.datasets._common import files

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
SENSORS = (8, 10, 12, 14, 16)
"""Bits that cameras give; greys of 16 bits hold one of these, and greys of 32 bits any number of bits above."""
FULL_SCALE = ("PPM", "JPEG2000")
"""Formats that state their depth and that Pillow therefore scales to 16 bits by itself."""
DARK = 64
"""Of 255, what 14 bits reach in the upper 8 of 16."""
ORIENTATION = 0x0112
"""EXIF's entry of how a picture is turned to be upright: 1 to 8."""

CUT_OFF = ("truncated", "end of file", "not enough image data")
"""What Pillow and pillow-heif say of files that stop too early."""

T = TypeVar("T")


@dataclass
class Greys:
    """How many bits the greys of more than 8 bits have in a data set, and the largest values met while decoding.

    colours: the largest value of each picture with 16 bits a colour, of which Pillow reads the upper 8.
    """

    bits: int = 16
    largest: list[int] = field(default_factory=list)
    colours: list[int] = field(default_factory=list)

    def of_8_bits(self, image: Image, form: str | None) -> Image:
        """A grey picture of integers, 2 ** bits - 1 as white; values below 0 are black, larger ones white.

        form: of the file, as Pillow calls it.
        """
        from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation

        values, bits = np.asarray(image).astype(np.int64), 16
        if form not in FULL_SCALE:
            self.largest.append(int(values.max()))
            bits = self.bits
        white = 2**bits - 1
        return pillow.fromarray((np.clip(values, 0, white) * 255 // white).astype(np.uint8))


def in_one_range(read: Callable[[Greys], T]) -> tuple[T, tuple[str, ...]]:
    """What `read` gives, with the bits of the whole data set's greys; and a note where these are not the usual 16.

    12 bits in files of 16 would be all but black, and each picture scaled by itself would lose which one is brighter.
    So the largest value in the data set tells the bits. `read` is called again where they are not 16.
    """
    greys = Greys()
    found = read(greys)
    largest = max(greys.largest, default=65535)
    bits, notes = bits_of(largest), told_of_colours(greys.colours)
    if bits == greys.bits:
        return found, notes
    del found  # before the pictures are there twice
    return read(Greys(bits)), (*told_of_greys(largest), *notes)


def bits_of(largest: int) -> int:
    """How many bits the greys of a data set have, by the largest of their values."""
    return next((bits for bits in SENSORS if largest < 2**bits), largest.bit_length())


def told_of_greys(largest: int) -> tuple[str, ...]:
    """A note of how greys of more than 8 bits were scaled, where they do not have the usual 16."""
    if (bits := bits_of(largest)) == 16:
        return ()
    return (
        f"greys of more than 8 bits: the largest value in the data set is {largest}, so they are read as {bits} bits, "
        f"with {2**bits - 1} as white",
    )


def told_of_colours(largest: Sequence[int]) -> tuple[str, ...]:
    """A note where all colours of 16 bits are dark: they cannot be scaled, as Pillow drops their lower 8 bits.

    largest: of each picture, the largest of the upper 8 bits.
    """
    if (brightest := max(largest, default=255)) >= DARK:
        return ()
    told = f"their upper 8 are read, and these are at most {brightest} of 255; save them with 8 bits"
    return (f"colours of 16 bits: {told}",)


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


def as_rgb(image: Image, greys: Greys, *, upright: bool) -> Image:
    """The picture in mode RGB; transparent parts lie on white. Raises ValueError for floating-point numbers.

    upright: turned as its EXIF says.
    """
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import ImageOps

    form = image.format
    deep = image.mode.startswith("RGB") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if upright and orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, as Pillow's versions call it: I;16, I;16B, I
        return greys.of_8_bits(image, form).convert("RGB")
    if deep:
        greys.colours.append(int(np.asarray(image)[..., :3].max()))
    if image.mode == "F":
        raise ValueError("the range of an image of floating-point numbers is unknown; save it with 8 or 16 bits")
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
