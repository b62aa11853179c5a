import math

import numpy as np
import pytest
import torch

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsTruth
from ssl_models.modalities import image
from ssl_models.protocols import surface_normals
from ssl_models.protocols._common.score import Representation
from ssl_models.protocols._surface_normals import normal_maps
from ssl_models.protocols._surface_normals.normal_maps import Head, Normals
from ssl_models.protocols.surface_normals import angles

torch.set_num_threads(1)
TRAIN, TEST, SIDE = 96, 48, 16
# No flips: in a mirror the vectors turn, but not the colours that tell them here.
FAST = {"epochs": 15, "batch_size": 16, "learning_rate": 0.3, "width": 32, "stride": 4, "flip": 0.0}
METRICS = ["within_11", "within_22", "within_30", "mean_angle", "median_angle"]


class Seen(Encoder):
    """What a picture shows is what it knows; times 0, it knows nothing."""

    name, modalities, dim, settings = "seen", (image,), 3, {}

    def __init__(self, sight=1.0):
        super().__init__()
        self.sight = sight
        self.scale = torch.nn.Parameter(torch.ones(()))

    def standardise(self, inputs):
        return inputs

    def blocks(self):
        return {"only": lambda inputs: self.sight * self.scale * inputs}

    def pool(self, last):
        return last.mean((2, 3))


def fields(samples, seed):
    """(N, 3, H, W) unit vectors, the same in each square of 4 x 4 pixels, at most 60 degrees from the viewer."""
    draws = np.random.default_rng(seed)
    bearing, tilt = (
        2 * np.pi * draws.random((2, samples, SIDE // 4, SIDE // 4)) * np.array([1, 1 / 6])[:, None, None, None]
    )
    found = np.stack([np.cos(bearing) * np.sin(tilt), np.sin(bearing) * np.sin(tilt), np.cos(tilt)], 1)
    return found.repeat(4, 2).repeat(4, 3).astype(np.float32)


def painted(normals):
    return np.rint(127.5 * (normals + 1)).astype(np.uint8)


TRUTH = {"train": fields(TRAIN, 0), "test": fields(TEST, 1)}


def representation(truth=TRUTH, images=None, encoder=Seen, masks=None):
    images = {split: painted(normals) for split, normals in TRUTH.items()} if images is None else images
    known = {"normals": truth} | ({} if masks is None else {"masks": masks})

    def annotations(split, kind):
        if kind not in known:
            raise NeedsTruth(f"these data have no {kind}")
        return known[kind][split]

    samples, how = lambda split: {"images": images[split]}, {"truth": annotations, "precision": "float32"}
    return Representation(("pooled",), None, None, 0, encoder=encoder, samples=samples, **how)


def found(given=None, seed=0, **settings):
    scores = surface_normals.evaluate(given or representation(), seed=seed, **{**FAST, **settings}).scores
    assert [score.metric for score in scores] == METRICS
    assert all(score.low <= score.value <= score.high and score.layer == "" for score in scores)
    return {score.metric: score.value for score in scores}


def best_constant():
    """What the training pictures' mean direction scores on the test pictures."""
    mean = torch.from_numpy(TRUTH["train"].mean((0, 2, 3)))[None, :, None, None]
    off = angles(mean.expand(TEST, 3, SIDE, SIDE), torch.from_numpy(TRUTH["test"]))
    return {f"within_{int(limit)}": float((off < limit).double().mean()) for limit in (11.25, 22.5, 30)} | {
        "mean_angle": float(off.mean())
    }


def test_an_oracle_scores_one():
    scores = found(epochs=40, width=64)
    assert scores["within_11"] == pytest.approx(1, abs=0.005)
    assert scores["within_22"] == scores["within_30"] == 1
    assert scores["mean_angle"] < 4


def test_a_constant_scores_chance():
    scores = found(representation(encoder=lambda: Seen(0.0)))
    for metric, value in best_constant().items():
        assert scores[metric] == pytest.approx(value, abs=2 if metric == "mean_angle" else 0.06)


def test_shuffled_truth_scores_chance():
    shuffled = {"train": TRUTH["train"][np.random.default_rng(2).permutation(TRAIN)], "test": TRUTH["test"]}
    scores, chance = found(representation(shuffled), epochs=2), best_constant()
    assert scores["within_11"] < chance["within_11"] + 0.05
    assert scores["mean_angle"] > chance["mean_angle"] - 1


@pytest.mark.parametrize("frozen", [True, False])
def test_same_seed_same_numbers(frozen):
    given = representation(encoder=lambda: ResNet(depth=10, width=4))
    torch.manual_seed(0)
    once = ResNet(depth=10, width=4).state_dict()

    def encoder():
        made = ResNet(depth=10, width=4)
        made.load_state_dict(once)
        return made

    given = representation(encoder=encoder)
    runs = [surface_normals.evaluate(given, seed=seed, frozen=frozen, **{**FAST, "epochs": 1}) for seed in (3, 3, 4)]
    assert runs[0].scores == runs[1].scores
    assert runs[0].curves == runs[1].curves
    assert np.array_equal(runs[0].pictures["normals"], runs[1].pictures["normals"])
    assert runs[0].scores != runs[2].scores


def test_the_order_of_samples_does_not_matter():
    """Of test samples not at all; of training samples it makes other batches, so only about."""
    orders = {split: np.random.default_rng(5).permutation(len(TRUTH[split])) for split in TRUTH}
    straight = found()
    for split, tolerance in (("test", 1e-9), ("train", 0.05)):
        truth = {**TRUTH, split: TRUTH[split][orders[split]]}
        mixed = found(representation(truth, {name: painted(normals) for name, normals in truth.items()}))
        for metric in METRICS:
            scale = 50 if tolerance > 1e-3 and metric.endswith("angle") else 1
            assert mixed[metric] == pytest.approx(straight[metric], abs=tolerance * scale)


def test_missing_truth_is_told():
    def none(_split, kind):
        raise NeedsTruth(f"these data have no {kind}")

    given = Representation((), None, None, 0, encoder=Seen, samples=lambda split: {"images": TRUTH[split]}, truth=none)
    with pytest.raises(NeedsTruth, match="have no normals"):
        surface_normals.evaluate(given, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be over 0"),
        ({"learning_rate": math.nan}, "learning_rate nan"),
        ({"width": 0}, "width = 0 must be at least 1"),
        ({"stride": 0}, "stride = 0 must lie between 1 and 32"),
        ({"stride": 33}, "stride = 33 must lie between"),
        ({"flip": 1.5}, "flip"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        surface_normals.refuse(**settings)
    with pytest.raises(ValueError, match=message):
        surface_normals.evaluate(representation(), seed=0, **settings)


@pytest.mark.parametrize(
    ("change", "masks", "message"),
    [
        (
            lambda normals: normals[:, :, :8],
            None,
            r"test normals have the shape \(48, 3, 8, 16\), not \(48, 3, 16, 16\)",
        ),
        (lambda normals: normals, np.zeros((TEST, 8, 8)), r"and masks \(48, 8, 8\), not"),
        (lambda normals: normals, np.zeros((TEST, SIDE, SIDE)), "no pixel of the test split counts"),
        (lambda normals: 0 * normals, None, "no pixel of the test split counts"),
        (lambda normals: np.nan * normals, None, "test normals are not finite in samples 0 to 47"),
    ],
)
def test_truth_that_does_not_fit_is_refused(change, masks, message):
    given = {"train": np.ones((TRAIN, SIDE, SIDE)), "test": masks}
    truth = {**TRUTH, "test": change(TRUTH["test"])}
    with pytest.raises(ValueError, match=message):
        found(representation(truth, masks=None if masks is None else given))


def test_angles_by_hand():
    truth = torch.tensor([[0.0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]).T[None, :, :, None]
    vectors = torch.tensor([[0.0, 0, 7], [0, 2, 2], [3, 0, 0], [0, 0, -1], [0, 0, 0]]).T[None, :, :, None]
    assert torch.allclose(angles(vectors, truth).flatten(), torch.tensor([0.0, 45, 90, 180, 90]).double())


def test_scores_against_a_loop_over_all_pixels():
    draws = np.random.default_rng(3)
    pictures = [draws.gamma(2, 12, size=size).clip(0, 180) for size in (400, 3, 2500, 90)] + [np.array([11.25, 180.0])]
    histogram = np.stack([surface_normals._histogram(off) for off in pictures])
    scores = surface_normals._scores(histogram, np.array([off.sum() for off in pictures]), 0)
    values = {score.metric: score.value for score in scores}
    together = np.concatenate(pictures)
    for metric, limit in (("within_11", 11.25), ("within_22", 22.5), ("within_30", 30)):
        assert values[metric] == pytest.approx(sum(angle < limit for angle in together) / len(together))
    assert values["mean_angle"] == pytest.approx(together.mean())
    assert values["median_angle"] == pytest.approx(np.median(together), abs=0.25)
    curve = surface_normals._curve(histogram)
    assert curve["angle"] == list(range(61))
    assert curve["share"] == pytest.approx([(together < angle).mean() for angle in range(61)])


def test_the_interval_of_a_mean_of_equal_pictures_is_the_known_one():
    """Pictures of one pixel: the standard error of a share."""
    off = np.array([5.0] * 300 + [100.0] * 100)
    histogram = np.stack([surface_normals._histogram(np.array([angle])) for angle in off])
    score = surface_normals._scores(histogram, off, 0)[0]
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert (score.value, score.low, score.high) == pytest.approx((0.75, 0.75 - half, 0.75 + half), abs=0.006)


def test_a_flipped_picture_has_flipped_vectors():
    """The loss of what is true is 0 whichever way a picture is turned, and of a mirror's unturned vectors it is not."""
    truth = normal_maps.Truth(TRUTH["train"], None)
    method = Normals(Seen(), truth, (3, SIDE, SIDE), frozen=True, width=4, stride=1)
    method.vectors = lambda pictures: 2 * pictures - 1
    index = torch.arange(8)
    pictures = torch.from_numpy(TRUTH["train"][:8] + 1) / 2
    mirrored = pictures.flip(3)
    mirrored[:, 0] = 1 - mirrored[:, 0]
    still, turned = torch.zeros(8, dtype=torch.bool), torch.ones(8, dtype=torch.bool)
    assert float(method.loss(pictures, still, index=index)["loss"]) == pytest.approx(0, abs=1e-5)
    assert float(method.loss(mirrored, turned, index=index)["loss"]) == pytest.approx(0, abs=1e-5)
    assert float(method.loss(pictures.flip(3), turned, index=index)["loss"]) > 0.1


def test_views_are_flipped_where_they_say():
    method = Normals(Seen(), normal_maps.Truth(TRUTH["train"], None), (3, SIDE, SIDE), frozen=True, width=4, stride=1)
    images = torch.from_numpy(painted(TRUTH["train"]))
    pictures, flipped = method.views(images, torch.Generator().manual_seed(0))
    assert 0 < flipped.sum() < len(flipped)
    assert torch.equal(pictures[~flipped], images[~flipped] / 255)
    assert torch.equal(pictures[flipped], images[flipped].flip(3) / 255)


def test_only_objects_count_where_there_are_masks():
    """Half of each picture is a lie, and the masks leave it out."""
    lies = {split: normals.copy() for split, normals in TRUTH.items()}
    masks = {split: np.zeros((len(normals), SIDE, SIDE), np.uint8) for split, normals in TRUTH.items()}
    for split in TRUTH:
        lies[split][:, :, :8] = np.random.default_rng(7).permutation(lies[split][:, :, :8])
        masks[split][:, 8:] = 2
    images = {split: painted(normals) for split, normals in TRUTH.items()}
    for foreground, least, most in ((True, 0.95, 1), (False, 0.2, 0.75)):
        score = found(representation(lies, images, masks=masks), foreground=foreground, epochs=20)["within_11"]
        assert least < score <= most


def test_unknown_pixels_do_not_count():
    holed = {split: normals.copy() for split, normals in TRUTH.items()}
    holed["test"][:, :, :, 4:] = 0
    holed["test"][5:20] = 0
    assert found(representation(holed))["within_22"] > 0.95


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_as_it_is(frozen):
    encoder = ResNet(depth=10, width=4)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found(representation(encoder=lambda: encoder), frozen=frozen, epochs=1)
    same = [torch.equal(value, before[name]) for name, value in encoder.state_dict().items()]
    assert all(same) if frozen else not any(same[2:])


@pytest.mark.parametrize("size", [(16, 16), (30, 22), (13, 64)])
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_a_head_gives_a_vector_a_pixel(size, stride):
    shapes = {"stem": (5, *size), "fine": (4, size[0], size[1]), "coarse": (8, 3, 2)}
    maps = {name: torch.randn(2, *shape) for name, shape in shapes.items()}
    head = Head(shapes, size, 6, stride).eval()
    assert head(maps).shape == (2, 3, *size)
    assert torch.equal(head(maps), head({**maps, "stem": maps["stem"] + 1}))


def test_findings_have_pictures_and_a_curve():
    findings = surface_normals.evaluate(representation(), seed=0, **{**FAST, "epochs": 1})
    sheet = findings.pictures["normals"]
    assert sheet.dtype == np.uint8
    assert sheet.shape == (3 * 8 * (SIDE + 2), 8 * 8 * (SIDE + 2), 3)
    shown = sheet[8 * (SIDE + 2) :: 8, ::8][1 : SIDE + 1, 1 : SIDE + 1]  # what is true, of the first
    assert np.array_equal(shown, painted(TRUTH["test"][0]).transpose(1, 2, 0))
    share = findings.curves["within"]["share"]
    assert len(share) == len(findings.curves["within"]["angle"]) == 61
    assert share == sorted(share)
    assert share[30] == findings.scores[2].value


def test_what_sees_beats_what_does_not():
    seen, blind = (found(representation(encoder=lambda sight=sight: Seen(sight)), epochs=8) for sight in (1.0, 0.0))
    assert seen["within_11"] > blind["within_11"] + 0.3
