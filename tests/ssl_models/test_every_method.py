"""What every method promises, for each file that lies in ssl_models/methods."""

from __future__ import annotations

import inspect
import io
import math
import pkgutil
import re
from functools import cache

import pytest
import torch
from torch import Generator, Tensor

import ssl_models.methods
from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import IMAGES
from ssl_models.encoders import build_encoder
from ssl_models.method import FAMILIES, Method, Scored, method_class
from tests.ssl_models.clips import FRAMES, clips
from tests.ssl_models.clips import SAMPLES as HEARD
from tests.ssl_models.voices import voices

torch.set_num_threads(1)

NAMES = sorted(module.name for module in pkgutil.iter_modules(ssl_models.methods.__path__))
TRAINED = [name for name in NAMES if method_class(name).trains]
SAMPLES, BATCH, SIDE = 2048, 16, 32
AUDIOVISUAL, OF_CLIPS = "audiovisual", "sound of clips"
COUNTS = [0, *(600 // word for word in range(1, 60))]  # of words, by Zipf's law
SHAPES = {
    "images": (3, SIDE, SIDE),
    "sound": (3200,),
    "length": (1,),
    "tokens": (24,),
    "frames": (FRAMES, 3, SIDE, SIDE),
    "tracks": (2, FRAMES, 4),
    "source": (1,),
}
ENCODERS = {
    "images": ("resnet", {"depth": 10, "width": 8}),
    "sound": ("speech", {"width": 32, "hidden": 32}),
    "tokens": ("bag", {"vocabulary": len(COUNTS), "width": 16}),
    "frames": ("resnet", {"depth": 10, "width": 8}),
    AUDIOVISUAL: ("two_tower", {"depth": 10, "width": 8}),
}
LEARNING_RATES = {"images": 0.05, "sound": 0.2, "tokens": 20.0, "frames": 0.05, AUDIOVISUAL: 0.05}
RANGES = {
    "images": (0, 1),
    "frames": (0, 1),
    "sound": (-(2**0.5), 2**0.5),
    AUDIOVISUAL: (-(2**0.5), 2**0.5),
}  # of the views: the gain of a sound is at most 3 dB
INDEX = torch.arange(100, 100 + BATCH)


def build(name: str, channels: int = 3) -> Method:
    """A method with its default settings around a small encoder, the same at every call."""
    torch.manual_seed(0)
    labels = torch.randint(0, 8, (SAMPLES,), generator=Generator().manual_seed(0))
    targets = 2 * torch.randn(SAMPLES, 8, generator=Generator().manual_seed(0))
    encoder, settings = ENCODERS[kind(name)]
    settings = settings | {"channels": channels} if kind(name) == IMAGES else settings
    shapes = (
        {part: SHAPES[part] for part in parts(name)}
        | ({"sound": (HEARD,)} if kind(name) == AUDIOVISUAL else {})
        | ({IMAGES: (channels, SIDE, SIDE)} if kind(name) == IMAGES else {})
    )
    return method_class(name)(
        build_encoder(encoder, **settings), DataSpec(SAMPLES, shapes, labels, 8, targets, {"counts": COUNTS})
    )


def parts(name: str) -> tuple[str, ...]:
    """What a method is tested with: those that read whatever there is are given pictures."""
    return method_class(name).parts or (IMAGES,)


def kind(name: str) -> str:
    """Of the data that a method is tested with."""
    return AUDIOVISUAL if {"frames", "sound"} <= set(parts(name)) else parts(name)[0]


@cache
def batch(part: str, channels: int = 3) -> Tensor:
    """Smooth random pictures, each unlike the others; toy speech and its lengths; words drawn by their counts; clips.

    The sound of clips is asked for as "sound of clips".
    """
    if part == "tokens":
        weights = torch.tensor(COUNTS, dtype=torch.float32)
        drawn = torch.multinomial(weights, BATCH * 24, replacement=True, generator=Generator().manual_seed(1))
        return drawn.view(BATCH, 24).int()
    if part in ("frames", "tracks", "source", OF_CLIPS):
        return clips(BATCH, seed=1)["sound" if part == OF_CLIPS else part]
    if part != IMAGES:
        return dict(zip(("sound", "length"), voices(BATCH), strict=False))[part]
    coarse = torch.rand(BATCH, channels, 6, 6, generator=Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def seeded_views(method: Method, seed: int = 0, channels: int = 3) -> tuple[Tensor, ...]:
    return method.views(*given(method, channels), Generator().manual_seed(seed))


def given(method: Method, channels: int = 3) -> list[Tensor]:
    """A batch of each part that a method reads."""
    clipped = "frames" in method.parts
    return [batch(OF_CLIPS if clipped and part == "sound" else part, channels) for part in method.parts]


def score(method: Method, views: tuple[Tensor, ...]) -> Scored:
    return Scored.of(method.loss(*views, index=INDEX))


def total(terms: dict[str, Tensor]) -> Tensor:
    """What the trainer minimises."""
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()


def test_there_are_methods_to_test() -> None:
    assert {"random", "supervised", "rotation", "jigsaw", "pirl", "simclr"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_a_schema(name: str) -> None:
    """Hyper-parameters are keyword-only, annotated with a plain type, and have defaults."""
    parameters = list(inspect.signature(method_class(name)).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["encoder", "data"]
    for parameter in parameters[2:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
        plain = str(parameter.annotation).removesuffix(" | None").partition("[")[0]
        assert plain in ("int", "float", "str", "bool", "list")


def spelled(value: object) -> str:
    """A default as a docstring writes it."""
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value) if isinstance(value, bool | None) else f"{value:g}"


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_has_a_line_for_each_hyper_parameter_with_its_default(name: str) -> None:
    method = method_class(name)
    text = inspect.getdoc(method) or ""
    entries = re.findall(r"^([a-z_]+(?:, [a-z_]+)*): (.*(?:\n    .*)*)", text, re.MULTILINE)
    told = {word: meaning for words, meaning in entries for word in words.split(", ")}
    for parameter in list(inspect.signature(method).parameters.values())[2:]:
        meaning = " ".join(told[parameter.name].split())
        default = rf"Default {re.escape(spelled(parameter.default))}(?!\.?\w)"
        assert re.search(default, meaning) or re.search(r"see (Augmentation|MildViews)", meaning), parameter


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_what_it_is(name: str) -> None:
    method = method_class(name)
    assert method.family in FAMILIES
    named = re.search(r"(19|20)\d\d", method.reference)
    assert method.family == "control" or not method.trains or named, "a reference has its year"


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(TRAINED)))
def test_a_control_says_that_it_is_not_trained(name: str) -> None:
    method = build(name)
    with pytest.raises(RuntimeError, match="not trained"):
        seeded_views(method)
    with pytest.raises(RuntimeError, match="not trained"):
        method.loss(index=INDEX)
    method.after_step(None, 1.0)


@pytest.mark.parametrize("name", TRAINED)
def test_views_are_finite_unit_range_and_decided_by_the_generator(name: str) -> None:
    method = build(name)
    before = torch.random.get_rng_state()
    views, again, other = (seeded_views(method, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before), "views drew from the global generator"
    assert all(torch.equal(one, two) for one, two in zip(views, again, strict=True))
    assert any(not torch.equal(one, two) for one, two in zip(views, other, strict=True))
    for view in views:
        if view.is_floating_point():
            assert view.dtype == torch.float32
            assert len(view) % BATCH == 0
            assert view.isfinite().all()
            assert RANGES[kind(name)][0] <= view.min()
            assert view.max() <= RANGES[kind(name)][1]
        else:
            assert view.dtype in (torch.int64, torch.bool)


@pytest.mark.parametrize("name", TRAINED)
def test_the_samples_of_a_batch_are_given_different_parameters(name: str) -> None:
    method = build(name)
    same = [torch.cat([part[:1]] * BATCH) for part in given(method)]
    views = method.views(*same, Generator().manual_seed(0))
    first = next((view for view in views if view.is_floating_point()), views[0])  # of words: which are left out
    assert len({float(sample.sum()) for sample in first}) >= BATCH * (0.8 if first.dtype == torch.int64 else 1)


@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_is_finite_and_starts_near_chance(name: str) -> None:
    """An untrained network is no oracle, but its logits are not all equal either.

    Logits of deviation s cost about s^2 / 2 more than equal ones: heads start with s near 1/2, and a random bank with
    s = 1 / (temperature sqrt(projection)), for PIRL 0.6. Only similar views (SimCLR) can start below chance, by less
    than 1 / temperature = 2 times their lead in cosine.
    """
    method = build(name)
    scored = score(method, seeded_views(method))
    terms, chance = scored.terms, method.chance if scored.chance is None else scored.chance
    loss = float(total(terms).detach())
    assert math.isfinite(loss)
    assert all(term.ndim == 0 for term in terms.values())
    assert all(0 <= float(terms[key]) <= 1 for key in terms if "accuracy" in key)
    if chance is not None:
        assert chance - 1 < loss < chance + 1


def attributes(method: Method) -> dict[str, object]:
    """Every attribute of the method and of its parts, but for the tensors in its state."""
    return {
        f"{path}.{name}": value
        for path, part in method.named_modules()
        for name, value in vars(part).items()
        if name not in ("_parameters", "_buffers")
    }


@pytest.mark.parametrize("name", TRAINED)
def test_neither_views_nor_loss_nor_a_step_sets_an_attribute(name: str) -> None:
    """What a step leaves behind is in what `loss` returns, or in a buffer that is checkpointed."""
    method = build(name)
    before = attributes(method)
    scored = score(method, seeded_views(method))
    after_loss = attributes(method)
    method.after_step(scored.handed_over, 0.5)
    for after in (after_loss, attributes(method)):
        assert after.keys() == before.keys()
        assert not [key for key, value in before.items() if after[key] is not value]


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_handed_over_carries_no_gradient(name: str) -> None:
    method = build(name)
    handed_over = score(method, seeded_views(method)).handed_over
    tensors = handed_over if isinstance(handed_over, tuple) else (handed_over,)
    assert not [tensor for tensor in tensors if isinstance(tensor, Tensor) and tensor.requires_grad]


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_the_whole_encoder(name: str) -> None:
    method = build(name)
    if name == "word2vec":  # whose vectors of predicted words start at zero, so the first step only moves those
        torch.nn.init.normal_(method.predicted.weight)
    total(score(method, seeded_views(method)).terms).backward()
    for parameter_name, parameter in method.encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", TRAINED)
def test_bf16_costs_about_the_same(name: str) -> None:
    method = build(name)
    views = seeded_views(method)
    exact = float(total(score(method, views).terms).detach())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = float(total(score(method, views).terms).detach())
    assert rounded == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_a_few_steps_on_one_batch_lower_the_loss(name: str) -> None:
    method = build(name)
    optimizer = torch.optim.SGD(method.parameters(), lr=LEARNING_RATES[kind(name)], momentum=0.9)
    views = seeded_views(method)
    losses = []
    for step in range(12):
        scored = score(method, views)
        loss = total(scored.terms)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(scored.handed_over, (step + 1) / 12)
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize("name", TRAINED)
def test_the_state_has_its_final_size_from_the_start(name: str) -> None:
    method = build(name)
    before = {key: value.shape for key, value in method.state_dict().items()}
    for step in range(3):
        scored = score(method, seeded_views(method, step))
        total(scored.terms).backward()
        method.after_step(scored.handed_over, (step + 1) / 3)
    assert {key: value.shape for key, value in method.state_dict().items()} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_goes_round_and_the_next_step_is_the_same(name: str) -> None:
    first, second = build(name), build(name)
    if not first.trains:
        second.load_state_dict(first.state_dict())
        return
    for parameter in first.parameters():
        parameter.data.mul_(1.01)
    first.after_step(score(first, seeded_views(first)).handed_over, 0.5)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    losses = [total(score(method, seeded_views(method, 9)).terms) for method in (first, second)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", [name for name in TRAINED if kind(name) == IMAGES])
def test_one_channel_works_or_is_refused_with_a_reason(name: str) -> None:
    try:
        method = build(name, channels=1)
    except ValueError as refusal:
        assert "channel" in str(refusal)  # noqa: PT017 - a refusal is one of the two right answers
        return
    assert total(score(method, seeded_views(method, channels=1)).terms).isfinite()
