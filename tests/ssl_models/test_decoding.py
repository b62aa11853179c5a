"""From listed pictures to a data set: how they are scaled and stored, what is told of them, and what is left out."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.split import LeftOut
from ssl_models.datasets._pictures import decoding
from ssl_models.datasets._pictures.arrangement import Entry, Listing
from tests.ssl_models.pictures import encoded, noise, read, shown

torch.set_num_threads(1)


def columns(height, width):
    """A grey picture whose values are ten times the number of the column."""
    return np.tile(10 * np.arange(width, dtype=np.uint8), (height, 1))


# Scaling


def test_the_middle_square_of_the_stored_side_is_kept():
    data = read([encoded(columns(12, 20))], [encoded(columns(20, 12))], 8, store=1.5)
    assert data.size == 8
    assert data.train.images.shape == (1, 3, 12, 12)
    assert data.train.images[0, 0, 0].tolist() == [10 * column for column in range(4, 16)]
    assert data.test.images[0, 2, 0].tolist() == [10 * column for column in range(12)]


def test_what_is_stored_as_it_is_used_tells_no_size():
    assert read(noise(1), noise(1), 8).size is None


def test_scaling_down_takes_all_pixels_into_account():
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    assert abs(shown(encoded(board.astype(np.uint8)), 8).astype(int) - 127).max() <= 2


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_and_looks_the_same():
    smooth = np.asarray(Image.fromarray(columns(8, 8)).resize((800, 800), Image.Resampling.BICUBIC))
    jpeg, png = encoded(smooth, "JPEG", quality=95), encoded(smooth)
    assert abs(shown(jpeg, 20).astype(int) - shown(png, 20)).max() <= 3
    assert read([jpeg], [png], 20).train.origin.sizes.tolist() == [[800, 800]]


def test_smaller_pictures_are_enlarged_and_counted():
    data = read([encoded(columns(12, 20)), encoded(columns(9, 20))], [encoded(columns(11, 11))], 10, store=1.1)
    assert data.train.images.shape == (2, 3, 11, 11)
    assert data.notes == ("1 picture is smaller than 11 pixels and was enlarged",)
    data = read([encoded(columns(3, 2))], [encoded(columns(2, 2))], 4)
    assert data.notes == ("2 pictures are smaller than 4 pixels and were enlarged",)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": 0}, "size = 0 must be at least 1"),
        ({"size": 8, "store": 0.9}, "store = 0.9 must lie between 1 and 4"),
        ({"size": 8, "store": 4.5}, "store = 4.5 must lie between 1 and 4"),
        ({"size": 8, "store": float("nan")}, "store = nan must lie between 1 and 4"),
        ({"size": 8, "unreadable": "skp"}, "unreadable = 'skp' must be skip or refuse"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, told):
    with pytest.raises(ValueError, match=told):
        read(noise(1), noise(1), **settings)


# Ranges of the whole data set


def test_floating_point_numbers_go_from_the_smallest_to_the_largest_of_the_data_set():
    first, second = (np.full((4, 4), value, np.float32) for value in (-1.0, 3.0))
    first[0, 0] = 0.0
    data = read([encoded(first, "TIFF"), *noise(1)], [encoded(second, "TIFF")], 4)
    assert data.train.images[0].unique().tolist() == [0, 64]  # 255 * (0 - -1) / 4 = 63.75
    assert data.test.images.unique().tolist() == [255]
    assert data.notes == (
        "floating-point numbers, in 2 pictures: they go from -1 to 3, which are read as black and white",
    )


def test_bytes_written_as_floating_point_numbers_come_back():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (shown(encoded((values / 255).astype(np.float32), "TIFF"), 16)[..., 1] == values).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(bad):
    values = np.ones((4, 4), np.float32)
    values[1, 2] = bad
    data = read([encoded(values, "TIFF"), *noise(1)], noise(1), 4)
    assert data.skipped == ("0.bin: 1 of its 16 floating-point numbers are not finite; write numbers in their place",)


def test_deep_greys_are_decoded_once_and_scaled_together():
    opened = []

    def counted(value):
        def content():
            opened.append(value)
            return encoded(np.full((4, 4), value, np.uint16), "TIFF")

        return content

    data = read([counted(1000), *noise(1), counted(4000)], [counted(2000)], 4)
    assert sorted(opened) == [1000, 2000, 4000]
    assert [int(each.unique()) for each in data.train.images[[0, 2]]] == [1000 * 255 // 4095, 4000 * 255 // 4095]
    assert int(data.test.images.unique()) == 2000 * 255 // 4095
    assert "read as 12 bits" in data.notes[0]


# What is told of each and of all


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF"])
def test_sizes_are_those_of_the_upright_picture(form):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    data = read([encoded(columns(12, 20), form, exif=exif)], [encoded(columns(12, 20))], 4)
    assert (data.train.origin.sizes.tolist(), data.test.origin.sizes.tolist()) == ([[12, 20]], [[20, 12]])
    assert data.train.origin.sizes.dtype == torch.int32


def test_names_groups_and_labels_stay_with_their_rows():
    content = noise(4)
    content[1] = b"broken"
    entries = [Entry(f"{i}.png", each, i % 2, (i,), f"day {i}") for i, each in enumerate(content)]
    left = LeftOut(".mov", "no picture", 3, "a.mov")
    listing = Listing(entries, entries[:1], ("a", "b"), {"person": ("p", "q", "r", "s")}, ("x: gone",), ("n",), (left,))
    data = decoding.read(listing, "here", size=8)
    assert data.train.origin.files == ("0.png", "2.png", "3.png")
    assert data.train.origin.groups == ("day 0", "day 2", "day 3")
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.train.truth["labels.person"].tolist() == [0, 2, 3]
    assert data.label_sets == {"person": ("p", "q", "r", "s")}
    assert data.skipped == ("x: gone", "1.png: no format of pictures that is known")
    assert data.notes == ("n",)
    assert data.left_out == (left, LeftOut(".png", "unreadable: no picture", 1, "1.png"))


def test_those_that_cannot_be_read_are_counted_by_suffix_and_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 600)
    whole = encoded(np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8))
    contents = {
        "cut.png": whole[:900],
        "cut.JPG": encoded(np.zeros((20, 20), np.uint8), "JPEG")[:-40],
        "empty.png": b"",
        "bomb.png": encoded(np.zeros((20, 31), np.uint8)),
        "wide.png": encoded(np.zeros((1, 601), np.uint8)),
        "none.png": b"P6 0 4 255\n",
        "good.png": whole,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    data = read([tmp_path / name for name in contents], [whole], 8)
    assert data.train.origin.files == ("good.png",)
    assert data.left_out == (
        LeftOut(".jpg", "unreadable: cut off", 1, "cut.JPG"),
        LeftOut(".png", "unreadable: cut off", 1, "cut.png"),
        LeftOut(".png", "unreadable: empty", 1, "empty.png"),
        LeftOut(".png", "unreadable: no picture", 1, "none.png"),
        LeftOut(".png", "unreadable: too many pixels", 2, "bomb.png"),
    )
    assert not any(str(tmp_path) in text for text in data.skipped)
    with pytest.raises(ValueError, match=r"cut\.png cannot be read as an image: .*truncated"):
        read([tmp_path / name for name in contents], [whole], 8, unreadable="refuse")


@pytest.mark.parametrize("form", ["GIF", "TIFF", "MPO"])
def test_of_several_pictures_in_a_file_the_first_is_read_and_told(form):
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (40, 200))
    stream = io.BytesIO()
    first.save(stream, form, save_all=True, append_images=[second])
    data = read([stream.getvalue()], noise(1), 8)
    assert abs(data.train.images.int() - 40).max() <= 1
    assert data.notes == ("1 file holds several pictures, of which the first is read",)


def heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 90))).save(stream, quality=90)
    return stream.getvalue()


def test_heic_and_avif_are_read_whatever_they_are_called(tmp_path):
    (tmp_path / "a.jpg").write_bytes(heic())
    avif = encoded(np.full((48, 64, 3), (200, 30, 90), np.uint8), "AVIF")
    data = read([tmp_path / "a.jpg", heic(), avif], [avif], 16)
    assert (data.train.images.float().mean((0, 2, 3)) - torch.tensor([200.0, 30, 90])).abs().max() < 4
    assert data.train.origin.sizes.tolist() == [[64, 48]] * 3


def test_without_pillow_heif_such_files_are_left_out_and_it_is_named(monkeypatch):
    content = heic()
    monkeypatch.setattr(pictures, "_reads_heif", pictures._reads_heif.__wrapped__)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = read([content, *noise(1)], noise(1), 16)
    assert data.skipped == ("0.bin: needs pillow-heif: pip install pillow-heif",)
    assert data.left_out == (LeftOut(".bin", "needs pillow-heif: pip install pillow-heif", 1, "0.bin"),)


def test_the_usual_side_is_the_median_short_side_of_those_that_can_be_read():
    sizes = [(10, 30), (40, 20), (90, 90), (50, 60)]
    entries = [Entry("x", encoded(columns(*size))) for size in sizes] + [Entry("y", b"broken")]
    assert decoding.short_sides(entries) == [10, 20, 90, 50]
    assert decoding.usual_side(entries) == 20
    assert decoding.short_sides(entries, most=2) == [10, 90]
    assert decoding.usual_side(entries[4:]) is None
