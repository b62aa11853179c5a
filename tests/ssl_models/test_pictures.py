"""The decoder that all readers share: depths, transparency, bounds; and that each reader does use it."""

import io
import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image

from ssl_models.datasets import folder, voc
from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.scaling import Depths, in_one_range
from ssl_models.datasets._pose import pose
from ssl_models.datasets._pose.pose import Person
from tests.ssl_models.pictures import shown

NOT_READ = {
    "BUFR": "no decoder comes with Pillow",
    "GRIB": "no decoder comes with Pillow",
    "HDF5": "no decoder comes with Pillow",
    "MPEG": "a film, which Pillow only recognises",
    "EPS": "PostScript is a program, and Pillow has another program run it",
    "WMF": "read on Windows only",
}
MAY_LACK = {".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"}
"""Of formats that Pillow reads as it was built, or once pillow-heif is registered."""
SIDE = 12


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


from_folder = partial(shown, size=SIDE)
"""(H, W, 3) of one picture as each reader shows it: all are squares of SIDE here, and keep their pixels."""


def from_voc(path):
    listed = voc.Listed("a.xml", b"<annotation/>", path)
    read, _ = in_one_range(partial(voc._read, listed, SIDE))
    assert not read.skipped
    return read.image.transpose(1, 2, 0)


def from_pose(path):
    middle = [[SIDE * 0.5 / 1.3 * sign + SIDE / 2, SIDE / 2, 1] for sign in (-1, 1)]  # a square of the picture's side
    people = [Person("one", path, np.array(middle), 1.0)]
    return pose.read(people, people, ("a", "b"), SIDE, "people").train.images[0].numpy().transpose(1, 2, 0)


READERS = [from_folder, from_voc, from_pose]
ramp = partial(np.linspace, num=SIDE)


@pytest.mark.parametrize("reader", READERS)
def test_sixteen_bits_of_grey_are_decoded_alike_by_all(tmp_path, reader):
    values = np.repeat(ramp(0, 65535).round().astype(np.uint16)[None], SIDE, 0)
    got = reader(save(tmp_path / "a.png", values))
    assert (got == reader(save(tmp_path / "b.png", (values // 257).astype(np.uint8)))).all()
    assert got[1, 1:-1, 0].min() < 40
    assert np.median(got) < 140  # cut off at 255, all but a pixel is white


@pytest.mark.parametrize("reader", READERS)
def test_transparent_parts_lie_on_white_for_all_and_opaque_ones_do_not_change(tmp_path, reader):
    values = np.random.default_rng(0).integers(256, size=(SIDE, SIDE, 4), dtype=np.uint8)
    values[..., 3] = 255
    opaque = reader(save(tmp_path / "a.png", values))
    assert (opaque == reader(save(tmp_path / "b.png", values[..., :3].copy()))).all()
    values[:, :, 3] = 0
    assert (reader(save(tmp_path / "c.png", values))[1:-1, 1:-1] == 255).all()


def flat(tmp_path, dtype, suffix, *brightest):
    """A folder of two splits, whose pictures rise from 0 to `brightest`, as it is read."""
    for number, most in enumerate(brightest):
        place = tmp_path / ("test" if number else "train") / f"{number}.{suffix}"
        save(place, np.repeat(ramp(0, most).round().astype(dtype)[None], SIDE, 0))
    return folder.load(seed=0, source=str(tmp_path), store=1.0, size=SIDE)


def test_twelve_bits_in_sixteen_are_not_black_and_told(tmp_path):
    data = flat(tmp_path, np.uint16, "tif", 2047, 4095)
    assert data.test.images[0, 0, 0].max() == 255
    assert data.train.images[0, 0, 0].max() == 127  # the range is that of the data set: this one is half as bright
    assert data.notes == (
        "greys of more than 8 bits: the largest value in the data set is 4095, so they are read as 12 bits, "
        "with 4095 as white",
    )


@pytest.mark.parametrize(("brightest", "white"), [(200, 255), (900, 1023), (20_000, 65_535), (70_000, 131_071)])
def test_the_bits_are_a_sensors_or_above_sixteen_those_of_the_largest_value(tmp_path, brightest, white):
    data = flat(tmp_path, np.int32, "tif", brightest, brightest)
    assert data.train.images[0, 0, 0].max() == brightest * 255 // white
    assert bool(data.notes) == (white != 65_535)


def test_formats_that_state_their_depth_are_left_as_pillow_scales_them(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        values = np.full((SIDE, SIDE), 1000, ">u2")
        (tmp_path / name / "a.pgm").write_bytes(b"P5 12 12 4000\n" + values.tobytes())
    data = folder.load(seed=0, source=str(tmp_path), store=1.0, size=SIDE)
    assert data.train.images.unique().tolist() == [63]
    assert data.notes == ()


def test_dark_colours_of_sixteen_bits_are_told(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.ppm").write_bytes(b"P6 12 12 255\n" + bytes(3 * SIDE * SIDE))
        (tmp_path / name / "b.png").write_bytes(png_of_48_bits(4095))
    data = folder.load(seed=0, source=str(tmp_path), store=1.0, size=SIDE)
    assert data.notes == (
        "colours of 16 bits: their upper 8 are read, and these are at most 15 of 255; save them with 8 bits",
    )


def png_of_48_bits(value):
    """A picture of one colour, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + struct.pack(">H", value) * 3 * SIDE) * SIDE
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 1.0), (0.0, 60_000.0)])
def test_floating_point_numbers_go_from_black_to_white_for_all(tmp_path, reader, low, high):
    values = np.repeat(ramp(low, high).astype(np.float32)[None], SIDE, 0)
    got = reader(save(tmp_path / "a.tif", values))
    known = ((values - low) / (high - low) * 255).round().astype(np.uint8)
    assert (got == reader(save(tmp_path / "b.png", known))).all()


@pytest.mark.parametrize("reader", [from_voc, from_pose])
def test_numbers_that_are_not_finite_are_left_out_by_those_who_scale_first(tmp_path, reader):
    path = save(tmp_path / "a.tif", np.full((SIDE, SIDE), np.nan, np.float32))
    with pytest.raises((ValueError, AssertionError), match="floating-point numbers are not finite"):
        reader(path)


def test_a_decompression_bomb_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    for name in ("train/a", "test/b"):
        save(tmp_path / f"{name}.png", np.zeros((10, 10), np.uint8))
    save(tmp_path / "test/bomb.png", np.zeros((10, 11), np.uint8))
    data = folder.load(seed=0, source=str(tmp_path), store=1.0, size=4)
    assert data.skipped == ("test/bomb.png: it has more than 100 pixels (11 x 10)",)


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("pixels", [150, 250])  # Pillow warns, Pillow refuses
def test_pillows_own_bound_is_told_in_the_same_words(tmp_path, monkeypatch, action, pixels):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    path = save(tmp_path / "a.png", np.zeros((1, pixels), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(ValueError, match="it has more than 100 pixels"), pictures.opened(path):
            pass


def test_the_reason_holds_no_path_and_no_address(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for content in (tmp_path / "a.png", b"no picture"):
        with pytest.raises(ValueError, match="no format of pictures that is known") as raised, pictures.opened(content):
            pass
        assert pictures.reason(raised.value) == "no format of pictures that is known"
    assert pictures.reason(PermissionError(13, "Permission denied", str(tmp_path))) == "Permission denied"
    assert pictures.reason(OSError("cut off")) == "OSError: cut off"


def test_every_suffix_that_pillow_reads_is_taken():
    Image.init()
    read = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    left_out = {suffix for suffix in read if Image.registered_extensions()[suffix] in NOT_READ}
    assert read - left_out == pictures.SUFFIXES - {".mpo", *MAY_LACK} | (read & MAY_LACK)


@pytest.mark.parametrize(("suffix", "form"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("JPEG", "JPEG"), ("pcx", "PCX")])
def test_pictures_of_rare_suffixes_are_read(tmp_path, suffix, form):
    for number in range(3):
        save(tmp_path / f"{number}.{suffix}", np.full((8, 8, 3), 90, np.uint8), format=form)
    assert folder.count(source=str(tmp_path)) == (2, 1)
    assert folder.load(seed=0, source=str(tmp_path), store=1.0, size=8).train.images.unique().tolist() == [90]


def test_bytes_and_files_are_decoded_alike(tmp_path):
    path = save(tmp_path / "a.png", np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE))
    with pictures.opened(io.BytesIO(path.read_bytes()).getvalue()) as image:
        known = np.asarray(pictures.as_rgb(image, Depths(), upright=True))
    assert (shown(path, SIDE) == known).all()
    assert (shown(path.read_bytes(), SIDE) == known).all()
