import math

import pytest
import torch

from ssl_models.datasets import world
from ssl_models.datasets._world.render import render
from ssl_models.datasets._world.scene import BLOBS, DIALS, FACTORS, Scene, sample_scene
from ssl_models.datasets._world.shapes import CLASSES

torch.set_num_threads(1)

PLAIN = {"background_brightness": 0.0, "background_saturation": 0.0}


def scenes(samples: int, seed: int = 0, **dials: float) -> Scene:
    return sample_scene(samples, torch.Generator().manual_seed(seed), {**DIALS, **dials})


def one_of_each(**values: float) -> Scene:
    """An object of every class, all factors at their centres unless given."""
    fixed = scenes(len(CLASSES), **dict.fromkeys(DIALS, 0.0)).moved(**values)
    return Scene(torch.arange(len(CLASSES)), fixed.factors, fixed.blobs, fixed.waves)


def mask(scene: Scene, size: int = 48) -> torch.Tensor:
    """(B, H, W) share of the object in each pixel: what white shows more than black behind the same object."""
    white, black = (
        render(scene.moved(background_saturation=0.0, background_brightness=brightness), size).float()
        for brightness in (1.0, 0.0)
    )
    return 1 - (white - black).mean(1) / 255


def centroid(weights: torch.Tensor) -> torch.Tensor:
    """(B, H, W) -> (B, 2) x and y, of the frame's side."""
    line = (torch.arange(weights.shape[-1]) + 0.5) / weights.shape[-1]
    total = weights.sum((1, 2))
    return torch.stack([(weights.sum(1) * line).sum(1), (weights.sum(2) * line).sum(1)], 1) / total[:, None]


def test_load_gives_what_count_says() -> None:
    data = world.load(seed=3, train=50, test=26, size=20)
    assert world.count(train=50, test=26, size=20) == (len(data.train), len(data.test)) == (50, 26)
    assert data.classes == CLASSES
    assert len(data.classes) == 12
    assert data.train.images.shape == (50, 3, 20, 20)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels is not None
    assert data.train.labels.dtype == torch.int64
    assert set(data.train.factors) == {"class", *FACTORS}
    assert torch.equal(data.train.factors["class"], data.train.labels.float())
    assert all(len(values) == 50 and values.dtype == torch.float32 for values in data.train.factors.values())


def test_defaults_of_load_are_the_dials() -> None:
    assert {name: world.load.__kwdefaults__[name] for name in DIALS} == DIALS
    assert {factor.dial for factor in FACTORS.values()} == set(DIALS)


def test_same_seed_same_bytes_and_other_seeds_and_splits_differ() -> None:
    first, again, other = (world.load(seed=seed, train=24, test=24) for seed in (1, 1, 2))
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.test.images, again.test.images)
    pictures = [first.train, first.test, other.train, other.test]
    distinct = torch.cat([split.images for split in pictures]).flatten(1).unique(dim=0)
    assert len(distinct) == 4 * 24


def test_a_sample_depends_on_neither_chunk_nor_number_of_samples() -> None:
    dials = {"gradient": 1.0, "texture": 1.0, "clutter": 1.0}
    scene = scenes(37, **dials)
    pictures = render(scene, 32)
    for chunk in (1, 5, 100):
        assert torch.equal(render(scene, 32, chunk=chunk), pictures)
    assert torch.equal(render(scenes(61, **dials), 32)[:37], pictures)


def test_classes_are_balanced() -> None:
    counts = scenes(12 * 40 + 5).labels.bincount(minlength=12)
    assert counts.min() >= 40
    assert counts.max() <= 41


@pytest.mark.parametrize("name", FACTORS)
def test_factors_tell_nothing_of_the_class(name: str) -> None:
    """Kruskal and Wallis's statistic, chi-square with 11 degrees of freedom: its 99.99 % point is 37.4."""
    scene = scenes(6000, seed=4, **dict.fromkeys(DIALS, 1.0))
    ranks = scene.factors[name].argsort().argsort().float() + 1
    groups = [ranks[scene.labels == label] for label in range(12)]
    between = sum(len(group) * (float(group.mean()) - 3000.5) ** 2 for group in groups)
    assert 12 / (6000 * 6001) * between < 37.4


def test_a_factor_has_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    before = scenes(20)
    monkeypatch.delitem(FACTORS, "orientation")
    after = scenes(20)
    assert set(before.factors) - set(after.factors) == {"orientation"}
    assert all(torch.equal(values, before.factors[name]) for name, values in after.factors.items())


def test_factors_are_independent_of_each_other() -> None:
    values = torch.stack(list(scenes(6000, seed=5, **dict.fromkeys(DIALS, 1.0)).factors.values()))
    correlations = torch.corrcoef(values).fill_diagonal_(0)
    assert correlations.abs().max() < 4.5 / math.sqrt(6000)


@pytest.mark.parametrize("dial", DIALS)
def test_dial_0_fixes_its_factors_and_no_others(dial: str) -> None:
    open_, fixed = scenes(40, **{dial: 1.0}), scenes(40, **{dial: 0.0})
    for name, factor in FACTORS.items():
        if factor.dial == dial:
            assert len(fixed.factors[name].unique()) == 1
            assert len(open_.factors[name].unique()) > 1
        else:
            assert torch.equal(fixed.factors[name], open_.factors[name])


@pytest.mark.parametrize("dial", ["gradient", "texture", "clutter"])
def test_amounts_leave_the_background_plain_at_0(dial: str) -> None:
    plain = render(scenes(12, **{dial: 0.0}), 32, with_object=False)
    assert torch.equal(plain, plain[:, :, :1, :1].expand_as(plain))
    assert (render(scenes(12, **{dial: 1.0}), 32, with_object=False) != plain).any()


def test_background_knows_nothing_of_object_and_class() -> None:
    dials = {"gradient": 1.0, "texture": 1.0, "clutter": 1.0}
    scene = scenes(12, **dials)
    other = Scene((scene.labels + 1) % 12, scene.factors, scene.blobs, scene.waves).moved(orientation=1.0, light=2.0)
    assert torch.equal(render(scene, 32, with_object=False), render(other, 32, with_object=False))


def test_position_moves_the_object() -> None:
    start, end = (centroid(mask(one_of_each(position_x=x, position_y=y))) for x, y in ((-0.1, 0.05), (0.1, -0.05)))
    assert torch.allclose(end - start, torch.tensor([0.2, -0.1]).expand(12, 2), atol=0.004)


def test_size_scales_the_area_and_bounds_the_object() -> None:
    small, large = mask(one_of_each(size=0.4), 64), mask(one_of_each(size=0.8), 64)
    assert torch.allclose(large.sum((1, 2)) / small.sum((1, 2)), torch.tensor(4.0), rtol=0.04)
    line = (torch.arange(64) + 0.5) / 64 - 0.5
    reach = ((large > 0.5) * torch.hypot(line[None], line[:, None])).amax((1, 2))
    assert torch.allclose(reach, torch.tensor(0.4), atol=0.02)


def test_a_quarter_turn_of_object_and_light_is_rot90() -> None:
    upright = one_of_each(light=0.3, orientation=0.2)
    turned = upright.moved(light=0.3 + math.pi / 2, orientation=0.2 + math.pi / 2)
    difference = torch.rot90(render(upright, 32), 1, (2, 3)).int() - render(turned, 32).int()
    assert difference.abs().max() <= 1


def test_a_mirrored_object_in_mirrored_light_is_the_flipped_picture() -> None:
    seen, mirrored = one_of_each(light=0.3), one_of_each(light=math.pi - 0.3, mirror=-1.0)
    assert (render(seen, 32).flip(3).int() - render(mirrored, 32).int()).abs().max() <= 1


def test_stretch_is_the_logarithm_of_height_to_width() -> None:
    def height_to_width(shown: torch.Tensor) -> torch.Tensor:
        line = (torch.arange(64) + 0.5) / 64
        middle = centroid(shown)[:, :, None]
        across, down = shown.sum(1), shown.sum(2)
        wide, high = (((line - middle[:, axis]) ** 2 * profile).sum(1) for axis, profile in enumerate((across, down)))
        return (high / wide).sqrt()

    plain, tall = (height_to_width(mask(one_of_each(stretch=stretch), 64)) for stretch in (0.0, 0.3))
    assert torch.allclose((tall / plain).log(), torch.tensor(0.3), atol=0.04)


def test_bend_moves_the_ends_against_the_middle() -> None:
    hammer = CLASSES.index("hammer")
    straight, bent = (mask(one_of_each(bend=bend, size=0.8), 64)[hammer] for bend in (0.0, 0.3))
    line = (torch.arange(64) + 0.5) / 64 - 0.5
    for row in (32, 52):  # both across the handle
        down = float(line[row]) / 0.4
        moved = (bent[row] * line).sum() / bent[row].sum() - (straight[row] * line).sum() / straight[row].sum()
        assert float(moved) == pytest.approx(0.4 * 0.3 * (down**2 - 1 / 3), abs=0.006)


@pytest.mark.parametrize("mirror", [-1.0, 1.0])
@pytest.mark.parametrize("angle", [math.pi / 2, math.pi, -math.pi / 2])
def test_no_turned_object_looks_upright(angle: float, mirror: float) -> None:
    """Else rotation prediction could not solve it: shared area, of the area of both."""
    upright, turned = (mask(one_of_each(**pose)) for pose in ({}, {"orientation": angle, "mirror": mirror}))
    overlap = torch.minimum(upright, turned).sum((1, 2)) / torch.maximum(upright, turned).sum((1, 2))
    assert overlap.max() < 0.85


@pytest.mark.parametrize(("angle", "x", "y"), [(0.0, 1, 0), (math.pi / 2, 0, -1), (math.pi, -1, 0)])
def test_the_side_towards_the_light_is_bright(angle: float, x: int, y: int) -> None:
    scene = one_of_each(light=angle, orientation=0.4, **PLAIN)
    pictures = render(scene, 48).float().mean(1)
    offset = centroid(pictures) - centroid(mask(scene))
    assert (offset[:, 0] * x + offset[:, 1] * y > 0.003).all()


def test_hue_and_brightness_are_those_seen() -> None:
    red, blue = (render(one_of_each(hue=hue, **PLAIN), 32).float().sum((2, 3)) for hue in (0.0, 4 * math.pi / 3))
    assert (red.argmax(1) == 0).all()
    assert (blue.argmax(1) == 2).all()
    grey = render(one_of_each(background_saturation=0.0, background_brightness=0.4), 32, with_object=False)
    assert (grey == 102).all()


def test_circular_factors_are_recorded_on_the_circle() -> None:
    scene = one_of_each(light=0.5)
    assert torch.allclose(scene.record()["light"], torch.tensor([math.cos(0.5), math.sin(0.5)]).expand(12, 2))


def test_clutter_is_the_share_of_blobs() -> None:
    scene = scenes(1)
    seen = [
        float((render(scene.moved(clutter=share), 32, with_object=False) != render(scene, 32, with_object=False)).sum())
        for share in (0.0, 1 / BLOBS, 1.0)
    ]
    assert seen[0] == 0
    assert 0 < seen[1] < seen[2]


def test_a_sweep_has_a_row_a_name() -> None:
    sweep, factors = world.factor_sweep(seed=0, size=16, steps=3)
    assert sweep.shape == (3, len(factors) * 16, 3 * 16)
    assert sweep.dtype == torch.uint8


@pytest.mark.parametrize("name", FACTORS)
def test_every_row_of_the_sweep_changes(name: str) -> None:
    sweep, factors = world.factor_sweep(seed=0, size=16, steps=3)
    row = factors.index(name)
    first, second, _ = sweep[:, 16 * row : 16 * row + 16].split(16, 2)
    assert (first != second).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": 0}, "world train is 0; it must be at least 1"),
        ({"test": -1}, "world test is -1; it must be at least 1"),
        ({"size": 15}, "world size is 15 pixels; it must be at least 16"),
        ({"seed": -1}, "world seed is -1; it must not be negative"),
        ({"light": 1.5}, r"world dial light is 1.5; it must be between 0"),
        ({"clutter": -0.1}, r"world dial clutter is -0.1; it must be between 0"),
        ({"texture": math.nan}, r"world dial texture is nan; it must be between 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world.load(**{"seed": 0, **settings})
    with pytest.raises(ValueError, match=message):
        world.count(**settings)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="world dial 'colours' is unknown; choose from"):
        world.count(colours=0.5)
    with pytest.raises(ValueError, match=r"factors \['lights'\] are unknown"):
        scenes(1).moved(lights=0.0)
    with pytest.raises(ValueError, match="steps is 1; it takes at least 2"):
        world.factor_sweep(seed=0, steps=1)
