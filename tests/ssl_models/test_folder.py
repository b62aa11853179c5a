"""Every layout, conversion and failure of the image-folder reader, on pictures of a few pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets import folder
from tests.ssl_models.pictures import shown

torch.set_num_threads(1)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(path, colour=RED, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def broken(path):
    plain(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[:60])


def decoded(picture, path, size=8, **options):
    """What the reader makes of a picture saved at `path`: (H, W, 3)."""
    picture.save(path, **options)
    return shown(path, size)


@pytest.fixture
def classes(tmp_path):
    """10 cats and 5 dogs."""
    for name, total, colour in (("dog", 5, BLUE), ("cat", 10, RED)):
        for index in range(total):
            plain(tmp_path / name / f"{index}.png", colour)
    return tmp_path


# Layouts


def test_class_folders_are_split_by_class(classes):
    data = folder.load(seed=0, source=str(classes), size=8, test_fraction=0.2)
    assert data.classes == ("cat", "dog")
    assert data.train.labels.bincount().tolist() == [8, 4]
    assert data.test.labels.bincount().tolist() == [2, 1]
    assert data.train.labels.dtype == torch.int64
    assert data.train.images.shape == (12, 3, 8, 8)
    assert data.train.images.dtype == torch.uint8
    assert (data.train.images[data.train.labels == 1][:, 2] == 255).all()
    assert folder.count(source=str(classes), test_fraction=0.2) == (12, 3)


def test_the_split_follows_the_seed_and_nothing_else(tmp_path):
    for index in range(20):
        plain(tmp_path / f"{index:02}.png", (index, 0, 0))
    reds = [folder.load(seed=seed, source=str(tmp_path), size=4).test.images[:, 0, 0, 0].tolist() for seed in (0, 0, 1)]
    assert reds[0] == reds[1] != reds[2]
    data = folder.load(seed=0, source=str(tmp_path), size=4)
    together = torch.cat([data.train.images, data.test.images])[:, 0, 0, 0].tolist()
    assert sorted(together) == list(range(20))


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_given_splits_are_kept(tmp_path, test_name):
    plain(tmp_path / "train" / "a" / "1.png")
    plain(tmp_path / "train" / "b" / "1.png", GREEN)
    plain(tmp_path / "train" / "b" / "2.png", GREEN)
    plain(tmp_path / test_name / "b" / "9.png", GREEN)
    data = folder.load(seed=0, source=str(tmp_path), size=8)
    assert data.classes == ("a", "b")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 1], [1])
    assert folder.count(source=str(tmp_path)) == (3, 1)


def test_without_class_folders_there_are_no_labels(tmp_path):
    for index in range(10):
        plain(tmp_path / f"{index}.jpg")
    data = folder.load(seed=0, source=str(tmp_path), size=8)
    assert data.train.labels is None
    assert data.classes == ()
    assert (len(data.train), len(data.test)) == (8, 2)


def test_given_splits_without_class_folders_have_no_labels(tmp_path):
    plain(tmp_path / "train" / "1.png")
    plain(tmp_path / "test" / "2.png")
    data = folder.load(seed=0, source=str(tmp_path), size=8)
    assert (len(data.train), len(data.test), data.test.labels) == (1, 1, None)


def test_what_is_no_image_is_passed_over(classes):
    for name in (".DS_Store", "notes.txt", "cat/Thumbs.db", "cat/.hidden.png"):
        (classes / name).write_text("no image")
    (classes / "empty").mkdir()
    (classes / ".git").mkdir()
    data = folder.load(seed=0, source=str(classes), size=8)
    assert (len(data.train), len(data.test), data.skipped, data.classes) == (12, 3, (), ("cat", "dog"))
    assert data.notes == (
        "1 file of .db passed over: no suffix of a picture that is read",
        "1 file of .txt passed over: no suffix of a picture that is read",
    )


# Conversions


def test_colour_grey_and_palette(tmp_path):
    assert (decoded(Image.new("RGB", (8, 8), RED), tmp_path / "1.png") == RED).all()
    assert (decoded(Image.new("L", (8, 8), 100), tmp_path / "2.png") == 100).all()
    assert (decoded(Image.new("1", (8, 8), 1), tmp_path / "3.png") == 255).all()
    assert (decoded(Image.new("RGB", (8, 8), BLUE).quantize(4), tmp_path / "4.gif") == BLUE).all()
    assert abs(decoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "5.jpg").astype(int) - RED).max() < 8


def test_transparent_parts_lie_on_white(tmp_path):
    assert (decoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), tmp_path / "1.png") == WHITE).all()
    half = decoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), tmp_path / "2.png")
    assert abs(half.astype(int) - (255, 127, 127)).max() <= 1
    assert (decoded(Image.new("LA", (8, 8), (0, 0)), tmp_path / "3.png") == WHITE).all()
    palette = Image.new("RGB", (8, 8), BLUE).quantize(4)
    assert (decoded(palette, tmp_path / "4.png", transparency=palette.getpixel((0, 0))) == WHITE).all()
    assert (decoded(Image.new("RGB", (8, 8), BLUE), tmp_path / "5.png", transparency=BLUE) == WHITE).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path, suffix):
    ramp = np.repeat(np.linspace(0, 65535, 8).round().astype(np.uint16)[None], 8, axis=0)
    got = decoded(Image.fromarray(ramp), tmp_path / f"1.{suffix}")
    assert got[0, :, 0].tolist() == (ramp[0] // 257).tolist()


def test_a_camera_held_sideways_is_turned_back(tmp_path):
    stored = Image.new("RGB", (8, 8), RED)
    stored.paste(BLUE, (0, 0, 8, 4))  # blue above red, as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what is stored above belongs to the right
    got = decoded(stored, tmp_path / "1.png", exif=exif)
    assert (got[:, :4] == RED).all()
    assert (got[:, 4:] == BLUE).all()


@pytest.mark.parametrize("shape", [(24, 8), (8, 24)])
def test_the_middle_of_the_long_side_is_kept(tmp_path, shape):
    picture = Image.new("RGB", shape, RED)
    wide = shape[0] > shape[1]
    picture.paste(GREEN, (8, 0, 16, 8) if wide else (0, 8, 8, 16))
    assert (decoded(picture, tmp_path / "1.png") == GREEN).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (7, 5), (640, 480)])
def test_any_size_becomes_the_size_asked_for(tmp_path, shape):
    for name in ("1.png", "1.jpg"):
        got = decoded(Image.new("RGB", shape, GREEN), tmp_path / name, size=16)
        assert got.shape == (16, 16, 3)
        assert abs(got.astype(int) - GREEN).max() <= 2


# Failures


def test_unreadable_images_are_named_and_left_out(classes):
    broken(classes / "cat" / "broken.png")
    (classes / "dog" / "page.jpg").write_text("<html>404</html>")
    (classes / "dog" / "nothing.png").touch()
    data = folder.load(seed=0, source=str(classes), size=8)
    assert sorted(data.skipped) == [
        "cat/broken.png: OSError: image file is truncated",
        "dog/nothing.png: it is empty",
        "dog/page.jpg: no format of pictures that is known",
    ]
    assert len(data.train) + len(data.test) == 15
    assert data.train.labels.bincount().sum() == len(data.train.images)
    reds = data.train.images[:, 0, 0, 0] == 255
    assert (reds == (data.train.labels == 0)).all()


def test_unreadable_images_are_refused_where_that_is_asked_for(classes):
    broken(classes / "cat" / "broken.png")
    with pytest.raises(ValueError, match=r"cat/broken\.png cannot be read as an image"):
        folder.load(seed=0, source=str(classes), size=8, unreadable="refuse")


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("mangle", [lambda data, at: data[:at], lambda data, at: data[:at] + b"\xff" * 9 + data[at:]])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm"])
def test_no_damage_gets_past_the_reader(tmp_path, suffix, mangle):
    noise = np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8)
    plain(tmp_path / "0.png")
    plain(tmp_path / "1.png")
    plain(tmp_path / "2.png")
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    for index, at in enumerate(np.linspace(0, len(data) - 1, 12).astype(int)):
        (tmp_path / f"damaged{index}.{suffix}").write_bytes(mangle(data, at))
    found = folder.load(seed=0, source=str(tmp_path), size=8)
    assert len(found.train) + len(found.test) + len(found.skipped) == 16


def test_no_readable_image_names_the_folder_and_a_file(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.png").write_text("no image")
    with pytest.raises(ValueError, match=f"{tmp_path}: none of the 3 training images could be read; look at .*png"):
        folder.load(seed=0, source=str(tmp_path), size=8)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' is not a folder"):
        folder.load(seed=0, source=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=f"'{tmp_path}' holds no images"):
        folder.load(seed=0, source=str(tmp_path))
    with pytest.raises(ValueError, match="holds no images"):
        folder.count(source=str(tmp_path))


def test_images_next_to_class_folders_are_refused(classes):
    plain(classes / "stray.png")
    with pytest.raises(ValueError, match=r"mixes images \('stray\.png'\) with class folders \('cat/'\)"):
        folder.load(seed=0, source=str(classes))


def test_nested_class_folders_are_refused(classes):
    plain(classes / "cat" / "persian" / "1.png")
    with pytest.raises(ValueError, match="cat/persian' lies too deep"):
        folder.count(source=str(classes))


def test_given_splits_that_do_not_match_are_refused(tmp_path):
    plain(tmp_path / "train" / "a" / "1.png")
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="test' holds no images"):
        folder.load(seed=0, source=str(tmp_path))
    plain(tmp_path / "test" / "1.png")
    with pytest.raises(ValueError, match="one of train/ and test/ has class folders"):
        folder.load(seed=0, source=str(tmp_path))
    (tmp_path / "test" / "1.png").unlink()
    plain(tmp_path / "test" / "zebra" / "1.png")
    with pytest.raises(ValueError, match=r"has the class 'zebra', of which .*train' has no images"):
        folder.load(seed=0, source=str(tmp_path))
    plain(tmp_path / "extra" / "1.png")
    with pytest.raises(ValueError, match="holds the folder 'extra' next to train/ and test/"):
        folder.load(seed=0, source=str(tmp_path))


def test_one_image_is_too_few(tmp_path):
    plain(tmp_path / "1.png")
    with pytest.raises(ValueError, match="holds 1 images: too few"):
        folder.load(seed=0, source=str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size = 0"),
        ({"test_fraction": 0.0}, "test_fraction = 0.0"),
        ({"test_fraction": 1.0}, "test_fraction = 1.0"),
        ({"unreadable": "ignore"}, "unreadable = 'ignore' must be skip or refuse"),
    ],
)
def test_settings_out_of_range_are_refused(classes, settings, message):
    for call in (lambda: folder.load(seed=0, source=str(classes), **settings), lambda: count(classes, settings)):
        with pytest.raises(ValueError, match=message):
            call()


def count(source, settings):
    return folder.count(source=str(source), **settings)
