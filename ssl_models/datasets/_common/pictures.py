"""Decodes pictures: the one place where a file of any format, mode and depth becomes RGB of 8 bits, for all readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ssl_models.datasets._common import files

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    """
    .apng .avif .avifs .blp .bmp .bw .cur .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gbr .gif .icb .icns .ico
    .iim .im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm .pcd .pcx .pfm .pgm .png .pnm .ppm
    .psd .pxr .qoi .ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm
    """.split()  # noqa: SIM905 - a list would take a line a suffix
)
"""Every suffix of a format that Pillow decodes by itself. Written out, so that which files make up a data set does not
depend on how Pillow was built. PostScript is not among them: Pillow hands it to another program, which runs it."""
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
    So the largest value in the data set tells the bits. `read` is called again where they are not 16. Colours of 16
    bits cannot be scaled, as their lower 8 are lost: where all are that dark, a note says so.
    """
    greys = Greys()
    found = read(greys)
    largest = max(greys.largest, default=65535)
    bits = next((bits for bits in SENSORS if largest < 2**bits), largest.bit_length())
    brightest = max(greys.colours, default=255)
    dark = (
        f"colours of 16 bits: their upper 8 are read, and these are at most {brightest} of 255; save them with 8 bits"
    )
    notes = (dark,) if brightest < DARK else ()
    if bits == greys.bits:
        return found, notes
    del found  # before the pictures are there twice
    note = (
        f"greys of more than 8 bits: the largest value in the data set is {largest}, so they are read as {bits} bits, "
        f"with {2**bits - 1} as white"
    )
    return read(Greys(bits)), (note, *notes)


@contextmanager
def opened(content: Path | bytes) -> Iterator[Image]:
    """A picture whose header has been read. Raises ValueError for what is no file, too large or no picture."""
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import UnidentifiedImageError

    if isinstance(content, Path) and (why := files.fault(content)):
        if not content.exists() and not content.is_symlink():
            raise FileNotFoundError(why)
        raise ValueError(why)
    try:
        image = pillow.open(BytesIO(content) if isinstance(content, bytes) else content)
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise ValueError(f"it has more than {MOST_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:  # whose text holds the path, or an address in memory
        raise ValueError("no format of pictures that is known") from error
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it has more than {MOST_PIXELS:,} pixels ({image.width} x {image.height})")
        yield image


def as_rgb(image: Image, greys: Greys, *, upright: bool) -> Image:
    """The picture in mode RGB; transparent parts lie on white. Raises ValueError for floating-point numbers.

    upright: turned as its EXIF says.
    """
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import ImageOps

    form = image.format
    deep = image.mode.startswith("RGB") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if upright:
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
    return image.convert("RGB")


def orientation(image: Image) -> int:
    """How the picture is turned to be upright, by its EXIF: 1 (not at all) to 8."""
    found = image.getexif().get(ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1


def reason(error: Exception) -> str:
    """Why a picture cannot be read: without paths, which differ between machines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
