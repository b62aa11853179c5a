"""Audio-visual correspondence: each loss by hand, where gradients go, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.two_tower import TwoTower, similarities
from ssl_models.method import Scored
from ssl_models.methods.audio_visual import (
    ALL,
    FUSIONS,
    NEGATIVES,
    AudioVisual,
    Concat,
    Distance,
    Map,
    SoftMap,
    belongs,
    which_belongs,
)
from ssl_models.trainer import Settings, Training
from tests.ssl_models.clips import clips
from tests.ssl_models.test_trainer import Keeper

torch.set_num_threads(1)
SHAPES = {"frames": (6, 3, 32, 32), "sound": (4000,), "source": (1,), "tracks": (2, 6, 4)}
STILL = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "shift": 0.0, "gain": 0.0}


def method(seed: int = 0, width: int = 4, **settings: object) -> AudioVisual:
    torch.manual_seed(seed)
    encoder = TwoTower(depth=10, width=width, embedding=8)
    return AudioVisual(encoder, DataSpec(64, SHAPES), **settings)  # type: ignore[arg-type]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def parts(made: dict[str, Tensor]) -> list[Tensor]:
    return [made[part] for part in AudioVisual.parts]


# ---- losses


def naive(scale: float, bias: float, places: Tensor, heard: Tensor) -> float:
    """AVOL-Net, position by position: of scale * cosine + bias the highest."""
    found = []
    for row in range(places.shape[1]):
        for column in range(places.shape[2]):
            place = places[:, row, column]
            found.append(scale * float(place @ heard / (place.norm() * heard.norm())) + bias)
    return max(found)


def logistic(logit: float, belongs: bool) -> float:
    return math.log1p(math.exp(-logit if belongs else logit))


@pytest.mark.parametrize("sources", [(0, 1, 2, 3, 4, 5), (0, 0, 0, 1, 1, 2)])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_the_loss_of_the_map_is_that_of_a_loop_over_positions(negatives: str, sources: tuple[int, ...]) -> None:
    """Each frame's false pairs weigh as much as its true one."""
    av = method(fusion="map", negatives=negatives).requires_grad_(False)
    pictures, heard, false = av.views(*parts(clips(6) | {"source": torch.tensor(sources)[:, None]}), seeded())
    assert isinstance(av.fuse, Map)
    av.fuse.bias.data.fill_(0.7)
    layers = av.encoder.layers(pictures, heard)
    places, sounds = av.encoder.embed_frames(layers["frames_res5"]), av.encoder.embed_sound(layers["sound"])
    cost, right = 0.0, 0.0
    for clip in range(6):
        others = false[clip].nonzero()[:, 0].tolist()
        for sound, weight in ((clip, 1 / 12), *((other, 1 / 12 / len(others)) for other in others)):
            logit = naive(5.0, 0.7, places[clip], sounds[sound])
            cost += weight * logistic(logit, sound == clip)
            right += weight * ((logit > 0) == (sound == clip))
    found = av.loss(pictures, heard, false, index=torch.arange(6))
    assert float(found.terms["loss"]) == pytest.approx(cost, abs=1e-5)
    assert float(found.terms["accuracy"]) == pytest.approx(right)
    assert found.chance == pytest.approx(math.log(2))


def test_info_nce_is_that_of_a_loop_over_frames_and_over_sounds() -> None:
    logits = torch.randn(5, 5, generator=seeded())
    false = method().false_pairs(torch.tensor([1, 1, 2, 3, 4]), seeded())
    costs, hits = [], []
    for of, allowed in ((logits, false), (logits.T, false.T)):
        for row in range(5):
            others = [float(of[row, other]) for other in range(5) if allowed[row, other]]
            own = float(of[row, row])
            costs.append(math.log(sum(math.exp(other - own) for other in [own, *others])))
            hits.append(own > max(others))
    found = which_belongs(logits, false)
    assert float(found.terms["loss"]) == pytest.approx(sum(costs) / 10, abs=1e-5)
    assert float(found.terms["accuracy"]) == pytest.approx(sum(hits) / 10)


@pytest.mark.parametrize("objective", [belongs, which_belongs])
def test_equal_logits_cost_chance(objective: Callable[[Tensor, Tensor], Scored]) -> None:
    false = method().false_pairs(torch.tensor([1, 1, 2, 3]), seeded())
    found = objective(torch.zeros(4, 4), false)
    assert found.chance == pytest.approx(
        {belongs: math.log(2), which_belongs: (math.log(3) + math.log(4)) / 2}[objective]
    )
    assert float(found.terms["loss"]) == pytest.approx(found.chance)


def test_what_frames_and_sounds_weigh_where_one_source_is_twice_as_frequent() -> None:
    """At equal logits: frames the same, and their false pairs as the true ones; sounds not, see the module."""
    false = method().false_pairs(torch.tensor([7, 7, 8, 9]), seeded())
    logits = torch.zeros(4, 4, requires_grad=True)
    belongs(logits, false).terms["loss"].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    own, others = -logits.grad.diagonal(), logits.grad * false
    assert own.tolist() == pytest.approx([1 / 16] * 4)
    assert others.sum(1).tolist() == pytest.approx([1 / 16] * 4)
    assert (others.sum(0) / own).tolist() == pytest.approx([2 / 3, 2 / 3, 4 / 3, 4 / 3])


def test_pairs_and_loss_wait_for_no_number() -> None:
    """A tensor without content cannot be asked what it holds, for which a GPU would have to be waited for."""
    generator = seeded()
    before = generator.get_state()
    false = method().false_pairs(torch.zeros(4, device="meta"), generator)
    assert torch.equal(generator.get_state(), before), "nothing is drawn"
    assert belongs(torch.zeros(4, 4, device="meta"), false).terms["loss"].shape == ()


PLACES = torch.tensor([[[[3.0, 0.0]], [[0.0, 1.0]]]])  # (1, 2, 1, 2): (3, 0) and (0, 1), whose mean is (1.5, 0.5)
HEARD = torch.tensor([[0.0, 2.0]])


def test_fusions_by_hand() -> None:
    assert float(Map(2, 1)(PLACES, HEARD).detach()) == pytest.approx(
        5.0
    )  # 5 * 1 + 0: the second position is the sound's
    soft = math.log((math.exp(5.0) + math.exp(0.0)) / 2)  # cosines of 1 and 0, and no bias yet
    assert float(SoftMap(2, 1)(PLACES, HEARD).detach()) == pytest.approx(soft)
    cosine = 0.5 / math.hypot(1.5, 0.5)
    expected = 5 * math.sqrt(2) - 5 * math.sqrt(2 - 2 * cosine)
    assert float(Distance(2, 1)(PLACES, HEARD).detach()) == pytest.approx(expected, abs=1e-5)
    together = Concat(2, 1)
    first, last = together.layers[0], together.layers[2]
    for values, parameter in (
        ([[1.0, 2.0, 0.0, -0.5]], first.weight),
        ([0.25], first.bias),
        ([[3.0]], last.weight),
        ([-1.0], last.bias),
    ):
        parameter.data.copy_(torch.tensor(values))  # type: ignore[union-attr, operator]
    assert float(together(PLACES, HEARD).detach()) == pytest.approx(3 * (1.5 + 1.0 - 1.0 + 0.25) - 1)


def test_a_smooth_maximum_lies_between_the_mean_and_the_maximum_which_it_nears_as_the_scale_grows() -> None:
    places, heard = torch.randn(3, 8, 4, 4, generator=seeded()), torch.randn(5, 8, generator=seeded(1))
    cosines = similarities(places, heard, ALL).flatten(2)
    soft = SoftMap(8, 1).requires_grad_(False)
    for scale, near in ((1e-3, cosines.mean(2)), (1e4, cosines.amax(2))):
        soft.scale.fill_(scale)
        torch.testing.assert_close(soft(places, heard) / scale, near, atol=1e-3, rtol=0)


def test_distance_of_equal_embeddings_is_near_its_bias_with_a_finite_gradient() -> None:
    heard = HEARD.clone().requires_grad_()
    logit = Distance(2, 1)(HEARD[:, :, None, None], heard)
    assert float(logit.detach()) == pytest.approx(5 * math.sqrt(2), abs=0.01)
    logit.sum().backward()
    assert heard.grad is not None
    assert heard.grad.isfinite().all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_both_towers_their_embeddings_and_the_fusion(fusion: str) -> None:
    av = method(fusion=fusion)
    views = av.views(*parts(clips(8)), seeded())
    av.loss(*views, index=torch.arange(8)).terms["loss"].backward()
    for name, parameter in av.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_gain_of_the_sound_changes_no_loss(fusion: str) -> None:
    av = method(fusion=fusion).eval()
    pictures, heard, false = av.views(*parts(clips(8)), seeded())
    gains, index = torch.logspace(-1, 0, 8)[:, None], torch.arange(8)
    one, two = (
        float(av.loss(pictures, sound, false, index=index).terms["loss"].detach()) for sound in (heard, gains * heard)
    )
    assert two == pytest.approx(one, abs=1e-4)


# ---- the rest


@pytest.mark.parametrize("stop", [1, 3])
def test_stopped_and_resumed_ends_in_the_same_bytes(stop: int) -> None:
    made = clips(32)

    def training(keeper: Keeper) -> Training:
        settings = Settings(epochs=2, batch_size=16, learning_rate=1.0)
        return Training(method(), parts(made), settings, seed=3, checkpoint_steps=1, observer=keeper)

    reference = training(Keeper())
    reference.run()
    first = Keeper()
    training(first).run(stop_after=stop)
    resumed = training(Keeper(first.content))
    resumed.run()
    found = resumed.method.state_dict()
    assert first.content is not None
    assert all(torch.equal(value, found[name]) for name, value in reference.method.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negatives": "none"}, "negatives is 'none'; choose one of all, one"),
        ({"objective": "mse"}, "objective is 'mse'; choose one of logistic, info_nce"),
        ({"fusion": "sum"}, "fusion is 'sum'; choose one of concat, distance, map"),
        ({"hidden": 0}, "hidden is 0"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"gain": 2.0}, "gain is 2.0"),
        ({"strength": -1.0}, "strength"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_another_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="audio_visual trains the encoder 'two_tower', and this one is 'resnet'"):
        AudioVisual(ResNet(depth=10, width=4), DataSpec(8, SHAPES))
