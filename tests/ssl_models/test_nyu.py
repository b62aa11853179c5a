"""No frame of NYU-Depth v2 is needed: files in its layout, of surfaces whose normals are known."""

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from ssl_models.datasets import nyu
from ssl_models.datasets.nyu import CENTER_X, CENTER_Y, FILE, FOCAL_X, FOCAL_Y, HIGH, LEFT, SIDE, SPLITS, TOP, WIDE

torch.set_num_threads(1)
UNOFFICIAL = pytest.mark.filterwarnings("ignore:.*cannot be compared")


def rays():
    """(H, W) x and y of the view's ray through each pixel, at a depth of 1: of the whole frame."""
    u, v = np.meshgrid(np.arange(WIDE) + 1.0, np.arange(HIGH) + 1.0)
    return (u - CENTER_X) / FOCAL_X, (v - CENTER_Y) / FOCAL_Y


def plane(normal, distance):
    """Depths (H, W) of the plane with a normal towards the viewer, x right, y down, z to the viewer."""
    x, y = rays()
    return distance / -(normal[0] * x + normal[1] * y - normal[2])


def sphere(depth, radius):
    """Depths (H, W) of a sphere straight ahead, 0 beside it; and its normals (3, H, W)."""
    x, y = rays()
    square = x**2 + y**2 + 1
    inside = depth**2 - square * (depth**2 - radius**2)
    depths = np.where(inside > 0, (depth - np.sqrt(np.maximum(inside, 0))) / square, 0)
    return depths, (inside > 0) * np.stack([x * depths, y * depths, depth - depths]) / radius


def kept(whole):
    return whole[..., TOP : TOP + SIDE, LEFT : LEFT + SIDE]


def normals(depths, size=48, measured=None):
    """From depths of the whole frame."""
    measured = depths > 0 if measured is None else measured
    return nyu.normals(kept(depths), kept(measured), size)


def degrees(found, truth):
    truth = torch.as_tensor(truth, dtype=torch.float32).reshape(
        3, *([1, 1] if np.ndim(truth) == 1 else found.shape[1:])
    )
    return torch.rad2deg(2 * torch.asin(((found - truth).norm(dim=0) / 2).clamp(max=1)))


def frames(depths, raw=None, pictures=None):
    """The entries of a file, in the order in which HDF5 shows MATLAB's axes; depths (N, H, W)."""
    depths = np.asarray(depths, np.float32)
    if pictures is None:
        pictures = np.broadcast_to(
            np.arange(len(depths), dtype=np.uint8)[:, None, None, None], (len(depths), 3, HIGH, WIDE)
        )
    found = {"images": pictures.transpose(0, 1, 3, 2), "depths": depths.transpose(0, 2, 1)}
    return found | ({} if raw is None else {"rawDepths": np.asarray(raw, np.float32).transpose(0, 2, 1)})


def write(folder, entries):
    """As MATLAB writes it: a text of 512 bytes, then HDF5."""
    with h5py.File(folder / FILE, "w", userblock_size=512) as file:
        for name, values in entries.items():
            file.create_dataset(name, data=values, compression="gzip", compression_opts=1)
    with (folder / FILE).open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")
    return folder


WALL = np.full((HIGH, WIDE), 2.0)


@pytest.fixture(scope="module")
def walls(tmp_path_factory):
    """Six frames of a wall; the picture's value is the number of its frame."""
    return write(tmp_path_factory.mktemp("nyu"), frames(np.broadcast_to(WALL, (6, HIGH, WIDE))))


@pytest.mark.parametrize("size", [16, 50, 224])
@pytest.mark.parametrize("normal", [(0, 0, 1), (0.6, 0, 0.8), (0, -0.6, 0.8), (0.48, 0.6, 0.64), (-0.48, 0.36, 0.8)])
def test_a_plane_has_its_normal_at_every_pixel(normal, size):
    assert degrees(normals(plane(normal, 2.0), size), np.array(normal)).max() < 0.05


def test_a_floor_points_up_and_the_left_wall_to_the_right():
    floor, left_wall = (
        normals(np.clip(plane((0, -1, 0), 1.0), 0, None)),
        normals(np.clip(plane((1, 0, 0), 1.0), 0, None)),
    )
    seen = floor.any(0)
    assert not seen[:16].any()  # above the horizon nothing of it is seen
    assert seen[32:].all()
    assert degrees(floor, np.array([0, -1, 0]))[seen].max() < 0.05
    assert degrees(left_wall, np.array([1, 0, 0]))[left_wall.any(0)].max() < 0.05


def test_a_sphere_has_the_directions_from_its_middle():
    depths, truth = sphere(1.5, 0.5)
    found = normals(depths, 96)
    truth = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(kept(truth))), 96).float()
    facing = found.any(0) & (truth[2] > 0.7)  # the window spans 4 degrees of it in the middle, and ever more outwards
    assert facing.sum() > 1500
    assert degrees(found, torch.nn.functional.normalize(truth, dim=0).numpy())[facing].max() < 3
    assert not found[:, :, :3].any()  # beside it nothing is measured


def test_noise_in_inverse_depth_is_averaged():
    noise = np.random.default_rng(0).normal(0, 0.002, (HIGH, WIDE))
    assert degrees(normals(1 / (1 / WALL + noise)), np.array([0, 0, 1])).mean() < 2


def test_a_step_in_depth_does_not_tilt_its_sides():
    depths = WALL.copy()
    depths[:, WIDE // 2 :] = 3.0
    assert degrees(normals(depths), np.array([0, 0, 1])).max() < 0.05


def test_what_is_not_measured_is_zero_and_does_not_spread():
    measured = np.ones((HIGH, WIDE), bool)
    measured[TOP : TOP + SIDE // 2] = False
    found = normals(np.where(measured, plane((0, -0.6, 0.8), 2.0), 9.0), measured=measured)
    assert not found[:, :23].any()
    assert degrees(found, np.array([0, -0.6, 0.8]))[26:].max() < 0.05
    alone = np.zeros((HIGH, WIDE), bool)
    alone[TOP + 100 : TOP + 110, LEFT + 100 : LEFT + 110] = True
    assert not normals(WALL, measured=alone).any()


@UNOFFICIAL
def test_filled_in_depths_are_no_truth(tmp_path):
    raw = WALL.copy()
    raw[:, WIDE // 2 :] = 0
    data = nyu.load(seed=0, source=str(write(tmp_path, frames([WALL, WALL], [raw, raw]))), size=32, test_fraction=0.5)
    known = data.train.truth["normals"].any(1)[0]
    assert known[:, :15].all()
    assert not known[:, 17:].any()
    assert data.train.truth["normals"].dtype == torch.float16


@UNOFFICIAL
def test_pictures_and_normals_lie_as_they_are_seen(tmp_path):
    """Red on the left, bright at the top; and the surface ends where the picture does."""
    picture = np.zeros((1, 3, HIGH, WIDE), np.uint8)
    picture[:, 0, :, : WIDE // 2] = 200
    picture[:, 1, : HIGH // 4] = 100
    depths = WALL.copy()
    depths[: HIGH // 4] = 0
    data = nyu.load(
        seed=0,
        source=str(write(tmp_path, frames([depths] * 2, None, picture.repeat(2, 0)))),
        size=32,
        test_fraction=0.5,
    )
    image, known = data.test.images[0], data.test.truth["normals"][0].any(0)
    assert image.shape == (3, 32, 32)
    assert (image[0, :, :15] == 200).all()
    assert (image[0, :, 17:] == 0).all()
    top = (HIGH // 4 - TOP) * 32 // SIDE
    assert (image[1, :top] == 100).all()
    assert (image[1, top + 1 :] == 0).all()
    assert not known[:top].any()
    assert known[top + 2 :].all()


def test_the_official_split_is_taken_where_it_lies_beside(walls, tmp_path):
    (tmp_path / FILE).symlink_to(walls / FILE)
    savemat(tmp_path / SPLITS, {"trainNdxs": np.array([[1], [6], [3]]), "testNdxs": np.array([[2], [5]])})
    data = nyu.load(seed=0, source=str(tmp_path / FILE), size=16)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 5, 2]
    assert data.test.images[:, 0, 0, 0].tolist() == [1, 4]
    assert data.classes == ()
    assert data.train.labels is None
    assert nyu.count(source=str(tmp_path), size=16) == (3, 2)


def test_else_frames_are_held_out_by_seed_and_that_is_said(walls):
    with pytest.warns(UserWarning, match=r"no splits.mat .* 3 of 6 are drawn; .* cannot be compared"):
        parts = [nyu.load(seed=seed, source=str(walls), size=16, test_fraction=0.5) for seed in (1, 1, 2)]
    drawn = [data.test.images[:, 0, 0, 0].tolist() for data in parts]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(drawn[0] + parts[0].train.images[:, 0, 0, 0].tolist()) == list(range(6))


@UNOFFICIAL
@pytest.mark.parametrize("inner", ["", "nyu"])
def test_it_is_found_in_covey_data(walls, tmp_path, monkeypatch, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    (tmp_path / inner / FILE).symlink_to(walls / FILE)
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    assert nyu.count(test_fraction=0.5) == (3, 3)
    monkeypatch.setenv("COVEY_DATA", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match=f"looked for {FILE} in: '.*elsewhere'"):
        nyu.count(source="elsewhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": None}, "has no entry 'depths'; it has images, rawDepths"),
        ({"images": None}, "has no entry 'images'; it has depths, rawDepths"),
        (
            {"depths": np.ones((2, WIDE, HIGH), np.float32)},
            r"'depths' has the shape \(2, 640, 480\), not \(1, 640, 480\)",
        ),
        ({"rawDepths": np.ones((1, HIGH, WIDE), np.float32)}, r"'rawDepths' has the shape \(1, 480, 640\), not"),
        ({"images": np.ones((1, 3, WIDE, HIGH), np.float32)}, "'images' are float32, not uint8"),
        ({}, "holds 1 frames, too few"),
    ],
)
def test_another_layout_is_refused(tmp_path, change, message):
    entries = frames([WALL], [WALL]) | change
    write(tmp_path, {name: values for name, values in entries.items() if values is not None})
    for called in (nyu.count, lambda **given: nyu.load(seed=0, **given)):
        with pytest.raises(ValueError, match=message) as raised:
            called(source=str(tmp_path))
        assert FILE in str(raised.value)


def test_another_kind_of_file_is_refused(tmp_path):
    savemat(tmp_path / FILE, {"depths": np.zeros(3)})
    with pytest.raises(ValueError, match=f"{FILE}' must be a MATLAB 7.3 file, which is HDF5; it is a MATLAB 5 file"):
        nyu.count(source=str(tmp_path))
    (tmp_path / FILE).write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="it is neither, or is cut off"):
        nyu.count(source=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trainNdxs": [1, 2]}, "has no entry 'testNdxs'"),
        ({"trainNdxs": [1, 7], "testNdxs": [2]}, "'trainNdxs' must name frames from 1 to 6"),
        ({"trainNdxs": [1, 2], "testNdxs": [0]}, "'testNdxs' must name frames from 1 to 6"),
        ({"trainNdxs": [1, 2], "testNdxs": [3, 2]}, "frame 2 is in both"),
    ],
)
def test_splits_that_cannot_be_are_refused(walls, tmp_path, content, message):
    (tmp_path / FILE).symlink_to(walls / FILE)
    savemat(tmp_path / SPLITS, content)
    with pytest.raises(ValueError, match=message):
        nyu.count(source=str(tmp_path))
    (tmp_path / SPLITS).write_bytes(b"broken")
    with pytest.raises(ValueError, match="cannot be read as a MATLAB 5 file"):
        nyu.count(source=str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 15}, "size = 15 must lie between 16 and 427"),
        ({"size": 428}, "size = 428 must lie between"),
        ({"test_fraction": 1.0}, "test_fraction = 1.0 must lie between 0 and 1"),
    ],
)
def test_bad_settings_are_refused(walls, settings, message):
    with pytest.raises(ValueError, match=message):
        nyu.count(source=str(walls), **settings)
    with pytest.raises(ValueError, match=message):
        nyu.load(seed=0, source=str(walls), **settings)
