"""Where the boxes of VOC's layout lie, whatever <size>, EXIF and encoding an annotation has: seen in the pixels."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ssl_models.datasets import voc
from tests.ssl_models.test_voc import annotation, layout, picture, thing, write

WIDE, HIGH = 60, 40
OBJECT = (10, 8, 30, 20)
"""left, top, right, bottom of a bright object in the stored picture, from 0."""


def stored(form="PNG", orientation=1, wide=WIDE, high=HIGH):
    pixels = np.zeros((high, wide, 3), np.uint8)
    left, top, right, bottom = OBJECT
    pixels[top:bottom, left:right] = 255
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream, form, exif=exif)
    return stream.getvalue()


def in_shown(content):
    """The object's box in the upright picture, by Pillow, as VOC counts."""
    image = Image.open(io.BytesIO(content))
    bright = np.asarray(ImageOps.exif_transpose(image))[..., 0] > 128
    rows, columns = bright.nonzero()
    return columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1


def sized(width, height, *objects):
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return annotation(size, *objects)


def read(tmp_path, content, described, name="a.png"):
    """The data set whose only training picture is this."""
    files = layout(["a", "b", "t"], train=["a", "b"], test=["t"])
    del files["JPEGImages/a.png"]
    files |= {f"JPEGImages/{name}": content, "Annotations/a.xml": described}
    return voc.load(seed=0, size=60, source=write(tmp_path / "voc", files))


def assert_around_the_object(data):
    """The first box of the first picture is where the bright pixels are."""
    left, top, right, bottom = data.train.truth["boxes"][0, 2:6].tolist()
    bright = data.train.images[0, 0] > 128
    middle = data.train.images[0].float().std(0) == 0
    rows, columns = (bright & middle & (data.train.images[0, 0] != 128)).nonzero(as_tuple=True)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (left, top, right, bottom) == pytest.approx([float(side) for side in found], abs=1.01)


STORED = (OBJECT[0] + 1, OBJECT[1] + 1, OBJECT[2], OBJECT[3])


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("as_shown", [True, False])
def test_size_tells_in_which_frame_the_boxes_of_a_turned_picture_lie(tmp_path, form, orientation, as_shown):
    content = stored(form, orientation)
    size, box = ((HIGH, WIDE), in_shown(content)) if as_shown else ((WIDE, HIGH), STORED)
    data = read(tmp_path, content, sized(*size, thing(box=box)), f"a.{form.lower()}")
    assert data.skipped == ()
    assert (data.train.images[0, 0, 30, :10] == 128).all()  # upright: it is high, with grey on both sides
    assert_around_the_object(data)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_turned_picture_of_unchanged_sides_is_left_out_as_its_frame_cannot_be_told(tmp_path, orientation):
    data = read(tmp_path, stored("PNG", orientation), sized(WIDE, HIGH, thing(box=STORED)))
    assert len(data.train) == 1
    assert data.skipped[0].startswith(f"Annotations/a.xml: EXIF turns the picture (orientation {orientation}), and")


def test_a_turned_picture_without_objects_is_kept(tmp_path):
    assert read(tmp_path, stored("PNG", 3), sized(WIDE, HIGH)).skipped == ()


@pytest.mark.parametrize("factor", [2, 0.5, 1.7])
def test_boxes_of_a_picture_that_was_resized_since_are_scaled_and_counted(tmp_path, factor):
    size = [round(side * factor) for side in (WIDE, HIGH)]
    left, top, right, bottom = (side * factor for side in OBJECT)
    data = read(tmp_path, stored(), sized(*size, thing(box=(left + 1, top + 1, right, bottom))))
    assert data.skipped == ()
    assert data.notes == (
        "annotations of another size (<size>) than their picture, whose boxes were scaled by the ratio: 1",
    )
    assert_around_the_object(data)


def test_a_picture_that_was_turned_and_resized_since_is_both(tmp_path):
    content = stored("PNG", 6)
    left, top, right, bottom = in_shown(content)
    box = (2 * (left - 1) + 1, 2 * (top - 1) + 1, 2 * right, 2 * bottom)
    assert_around_the_object(read(tmp_path, content, sized(2 * HIGH, 2 * WIDE, thing(box=box))))


@pytest.mark.parametrize("size", [(300, 213), (HIGH, WIDE)])
def test_a_picture_of_another_shape_than_annotated_is_left_out_with_both_sizes(tmp_path, size):
    data = read(tmp_path, stored(), sized(*size, thing(box=STORED)))
    assert len(data.train) == 1
    assert f"of a picture of {size[0]} x {size[1]} pixels (its <size>), and the picture has 60 x 40" in data.skipped[0]


def test_exchanged_sides_are_a_slip_where_a_box_shows_it(tmp_path):
    data = read(tmp_path, stored(), sized(HIGH, WIDE, thing(box=STORED), thing("edge", box=(50, 1, 60, 40))))
    assert data.skipped == ()
    assert_around_the_object(data)


@pytest.mark.parametrize("size", [(0, 0), ("", ""), ("wide", "high"), (-3, 5)])
def test_a_size_that_says_nothing_is_not_compared(tmp_path, size):
    data = read(tmp_path, stored(), sized(*size, thing(box=STORED)))
    assert data.skipped == ()
    assert_around_the_object(data)


def test_boxes_in_shares_of_the_sides_are_refused_with_their_picture(tmp_path):
    data = read(tmp_path, stored(), sized(WIDE, HIGH, thing("red", box=(0.17, 0.2, 0.5, 0.7))))
    assert len(data.train) == 1
    why = "the box of object 1 ('red') is in shares of the sides (0.17, 0.2, 0.5, 0.7), not in pixels"
    assert data.skipped == (f"Annotations/a.xml: {why}",)


@pytest.mark.parametrize(
    ("encoding", "declared", "name"),
    [
        ("gb2312", "gb2312", "红"),
        ("gbk", "GB2312", "镕"),
        ("utf-8", "utf8", "rötlich"),
        ("utf-8-sig", "UTF-8", "rötlich"),
        ("utf-16", "UTF-16", "rötlich"),
        ("latin-1", "ISO-8859-1", "rötlich"),
        ("cp1251", "windows-1251", "красный"),
        ("shift_jis", "Shift_JIS", "赤"),
        ("utf-8", "", "rötlich"),
    ],
)
def test_annotations_of_any_encoding_are_read(tmp_path, encoding, declared, name):
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    text = f"{head}<annotation>{thing(name)}</annotation>"
    assert name in read(tmp_path, picture(), text.encode(encoding)).classes


@pytest.mark.parametrize(
    ("declared", "content", "message"),
    [
        ("klingon", b"", "the encoding 'klingon' of the annotation is not known"),
        ("gb2312", b"\xff", "the annotation is not in the encoding 'gb2312' that it names"),
        ("hex", b"", "the encoding 'hex' of the annotation is not known"),
    ],
)
def test_an_encoding_that_is_wrong_is_named(tmp_path, declared, content, message):
    text = f'<?xml version="1.0" encoding="{declared}"?><annotation>'.encode() + content + b"</annotation>"
    assert read(tmp_path, picture(), text).skipped == (f"Annotations/a.xml: {message}",)


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_images_of_one_name_the_first_by_suffix_is_taken_in_any_order(tmp_path, monkeypatch, first):
    both = [("JPEGImages/a.bmp", picture(red=10)), ("JPEGImages/a.png", picture(red=200))]
    both = both[first:] + both[:first]
    listed = [*layout(["t"], train=["a"], test=["t"]).items(), *both, ("Annotations/a.xml", annotation(thing()))]
    monkeypatch.setattr(voc.layout, "_in_folder", lambda _: listed)
    data = voc.load(seed=0, source=str(tmp_path), size=40)
    assert data.train.images[0, 0, 20, 20] == 10
    assert data.skipped == ("JPEGImages/a.png: JPEGImages/a.bmp has the same name, and the first by suffix is taken",)


def test_an_image_of_another_suffix_is_named_as_what_is_missing(tmp_path):
    data = read(tmp_path, b"", annotation(thing()), "a.xyz")
    why = "the suffix of JPEGImages/a.xyz is none of a picture that is read"
    assert data.skipped == (f"Annotations/a.xml: the image JPEGImages/a.jpg is missing; {why}",)


def test_without_lists_the_error_says_what_to_write(tmp_path):
    files = {name: content for name, content in layout(["a"]).items() if "ImageSets" not in name}
    with pytest.raises(ValueError, match=r"holds no lists in ImageSets/Main, .*: write train\.txt and test\.txt there"):
        voc.count(source=write(tmp_path / "voc", files))
    files["ImageSets/Main/mine.txt"] = b"a"
    with pytest.raises(
        ValueError, match=r"there is no list train or trainval, so train must name lists in ImageSets/Main: mine"
    ):
        voc.count(source=write(tmp_path / "voc", files))


def test_lists_of_windows_in_utf_16_are_read(tmp_path):
    files = layout(["a", "b"], train=["a"], test=["b"])
    files["ImageSets/Main/train.txt"] = "a\r\n".encode("utf-16")
    assert voc.count(source=write(tmp_path / "voc", files)) == (1, 1)


def test_unreadable_pictures_are_named_in_the_same_words_each_time(tmp_path):
    files = layout(["a", "b", "c"], train=["a", "b"], test=["c"]) | {"JPEGImages/b.png": b"no picture"}
    found = [voc.load(seed=0, source=write(tmp_path / "voc", files)).skipped for _ in range(2)]
    assert found[0] == found[1] == ("Annotations/b.xml: no format of pictures that is known",)
