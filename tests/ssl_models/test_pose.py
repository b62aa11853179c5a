import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets._pose import pose
from ssl_models.datasets._pose.pose import Person

torch.set_num_threads(1)
NAMES = ("first", "second", "third")


def picture(tmp_path, name, width=60, height=40, mark=None):
    pixels = np.full((height, width, 3), 40, np.uint8)
    if mark:
        pixels[mark[1] - 1 : mark[1] + 2, mark[0] - 1 : mark[0] + 2] = 255
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


def person(file, joints, extent=10.0):
    return Person("people.mat, person 1", file, np.array(joints, float), extent)


@pytest.mark.parametrize("corner", [(2, 2), (40, 30), (3, 20)])
def test_joints_move_with_the_picture(tmp_path, corner):
    """The bright spot is where its joint is, also where the square reaches beyond the picture."""
    x, y = corner
    file = picture(tmp_path, "a.png", mark=(x, y))
    joints = [(x + 0.5, y + 0.5, 1), (20, 5, 1), (30, 25, 1)]
    data = pose.read([person(file, joints)], [person(file, joints)], NAMES, 64, "people.mat")
    image, points = data.train.images[0].float(), data.train.truth["points"][0]
    bright = (image.mean(0) > 150).nonzero().float().mean(0) + 0.5
    assert (bright.flip(0) - points[0, :2]).abs().max() < 1.0
    assert points.min() >= 0


def test_aspect_and_extent_by_hand(tmp_path):
    """Joints 20 x 10 apart: a square of side 26, from (7, 2) on, enlarged to 52."""
    file = picture(tmp_path, "a.png")
    data = pose.read(*[[person(file, [(10, 10, 1), (30, 20, 1), (0, 0, 0)])]] * 2, NAMES, 52, "people.mat")
    assert data.train.truth["points"][0].tolist() == [[6, 16, 1], [46, 36, 1], [0, 0, 0]]
    assert data.train.truth["extent"].tolist() == [20]
    assert data.points == NAMES
    assert data.train.images.shape == (1, 3, 52, 52)
    assert data.train.images.dtype == torch.uint8
    assert data.train.truth["points"].dtype == data.train.truth["extent"].dtype == torch.float32


def test_what_cannot_be_shown_is_skipped_and_named(tmp_path):
    file, broken = picture(tmp_path, "a.png"), tmp_path / "b.png"
    broken.write_bytes(b"no picture")
    good = [(10, 10, 1), (30, 20, 1), (20, 15, 1)]
    people = [
        person(file, good),
        person(tmp_path / "none.png", good),
        person(broken, good),
        person(file, [(10, 10, 1), (30, 20, 1), (60, 20, 1)]),
        person(file, [(10, 10, 1), (-1, 20, 1), (0, 0, 0)]),
    ]
    data = pose.read(people, people[:1], NAMES, 32, "people.mat")
    assert len(data.train) == 2
    assert data.train.truth["points"][1, :, 2].tolist() == [1, 1, 0]
    assert all(text.startswith("people.mat, person 1: ") for text in data.skipped)
    for text, part in zip(
        data.skipped,
        ["none.png' is missing", "cannot be read", "'third' lies outside", "'second' lies outside", "fewer than 2"],
        strict=True,
    ):
        assert part in text


def test_a_split_of_nobody_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"people.mat: none of the 1 training people can be read; .* is missing"):
        pose.read([person(tmp_path / "a.png", [(1, 1, 1)] * 3)], [], NAMES, 32, "people.mat")


def test_between_takes_the_first_pair_that_is_known():
    joints = np.array([(0, 0, 1), (3, 4, 1), (9, 9, 0), (6, 8, 1)], float)
    assert pose.between(joints, (0, 1), (0, 3)) == 5
    assert pose.between(joints, (0, 2), (0, 3)) == 10
    assert pose.between(joints, (0, 2)) == 0


def test_a_file_that_is_no_mat_is_named(tmp_path):
    (tmp_path / "x.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x.mat' cannot be read as a MATLAB file"):
        pose.load_mat(tmp_path / "x.mat", "joints", str(tmp_path / "x.mat"))
