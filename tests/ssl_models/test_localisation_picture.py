"""The picture of heat maps over frames: what is drawn where."""

import numpy as np
import pytest
from matplotlib import colormaps

from ssl_models.protocols import localisation
from ssl_models.protocols._localisation.picture import SCALE, STRENGTH, Shown, draw
from tests.ssl_models.sounding import COLOURS, Pointing, Still, representation, squares


def covering(share: float) -> np.ndarray:
    """The colour of a heat, 0 for the least and 1 for the most, over a black frame."""
    return STRENGTH * 255 * np.array(colormaps[SCALE](float(share))[:3])


def of_colour(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return (np.abs(picture.astype(float) - colour) < 12).all(2)


def clip(own: np.ndarray, other: np.ndarray, **more) -> Shown:
    return Shown(np.zeros((3, 8, 8), np.uint8), own, other, ("its sound: red", "other sound: blue"), **more)


def test_both_maps_of_a_clip_have_one_scale() -> None:
    """The own map is cold on the left and hot on the right; the other's heat is half of that everywhere."""
    ramp = np.repeat([[-3.0] * 4 + [5.0] * 4], 8, 0)
    picture = draw([clip(ramp, np.full((8, 8), 1.0))])
    cold, hot, half = (of_colour(picture, covering(share)) for share in (0, 1, 0.5))
    columns = [np.nonzero(found.sum(0) > 150)[0] for found in (cold, hot, half)]
    assert columns[0].max() < columns[1].min()
    assert columns[1].max() < columns[2].min()
    assert len(columns[2]) > 1.9 * len(columns[0])


def test_the_box_is_outlined_where_it_is_known() -> None:
    level = np.zeros((8, 8))
    plain, boxed = (draw([clip(level, level, **more)]) for more in ({}, {"box": np.array([2, 0, 6, 4.0])}))
    changed = (plain != boxed).any(2)
    assert changed[:, : changed.shape[1] // 2].any()  # beside each map; the scale stands on the right
    rows, columns = np.nonzero(changed[:, :210])
    assert rows.max() - rows.min() == pytest.approx(100, abs=8)  # half of a frame of two inches
    assert columns.max() - columns.min() == pytest.approx(100, abs=8)


def test_eight_clips_are_shown_with_their_names_and_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Shown] = []

    def watched(clips: list[Shown]) -> np.ndarray:
        seen.extend(clips)
        return draw(clips)

    monkeypatch.setattr(localisation, "draw", watched)
    data = squares(120, 1)
    found = localisation.evaluate(representation(files=lambda _: [f"{n}.mp4" for n in range(120)]), seed=0)
    assert max(found.pictures["heat"].shape) < 1300
    assert found.tables["heat"]["sample"] == list(range(1, 9))
    rows = [int(file.removesuffix(".mp4")) for file in found.tables["heat"]["file"]]
    assert (rows[0], rows[-1]) == (0, 119)
    for row, each in zip(rows, seen, strict=True):
        own, other = each.titles
        assert own == f"its sound: {COLOURS[data['labels'][row]]}"
        assert other.removeprefix("other sound: ") != own.removeprefix("its sound: ")
        assert (each.frame == data["frames"][row, 0]).all()
        assert each.box is not None
        assert (each.box == data["source_box"][row]).all()


def test_frames_of_several_objects_come_first() -> None:
    data = {"train": squares(4), "test": squares(40, 1)}
    table = data["test"]["boxes"]
    other = (table[:, 2:6] != data["test"]["source_box"][table[:, 0].astype(int)]).any(1)
    data["test"]["boxes"] = table[~other | (table[:, 0] >= 36)]
    given = representation(Pointing, data, files=lambda _: [str(n) for n in range(40)])
    assert localisation.evaluate(given, seed=0).tables["heat"]["file"] == ["36", "37", "38", "39"]


def test_maps_that_say_nothing_are_drawn_too() -> None:
    assert localisation.evaluate(representation(Still), seed=0).pictures["heat"].std() > 10
