"""What every method promises, for each file that lies in ssl_models/methods."""

from __future__ import annotations

import inspect
import io
import math
import re

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.datasets._common.split import IMAGES
from ssl_models.method import FAMILIES, Method, method_class
from tests.ssl_models import densities
from tests.ssl_models.built_methods import (
    AS_THEY_ARE,
    BATCH,
    FLOORS,
    INDEX,
    LEARNING_RATES,
    LEFT,
    NAMES,
    NO_OBJECTIVE,
    RANGES,
    TRAINED,
    build,
    given,
    kind,
    score,
    seeded_views,
    total,
)

torch.set_num_threads(1)


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
    drawn = any(not torch.equal(one, two) for one, two in zip(views, other, strict=True))
    assert drawn == (name not in AS_THEY_ARE)
    for view in views:
        if view.is_floating_point():
            assert view.dtype == torch.float32
            assert len(view) % BATCH == 0
            assert view.isfinite().all()
            assert RANGES[kind(name)][0] <= view.min()
            assert view.max() <= RANGES[kind(name)][1]
        else:
            assert view.dtype in (torch.int64, torch.bool)


@pytest.mark.parametrize("name", [name for name in TRAINED if kind(name) not in densities.KINDS])
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


@pytest.mark.parametrize("name", sorted(set(TRAINED) - NO_OBJECTIVE))
def test_a_few_steps_on_one_batch_lower_the_loss(name: str) -> None:
    method = build(name)
    optimizer = torch.optim.SGD(
        method.parameters(), lr=LEARNING_RATES.get(name, LEARNING_RATES[kind(name)]), momentum=0.9
    )
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
    floor = FLOORS.get(name, 0.0)
    assert min(losses[-3:]) - floor < LEFT.get(name, 0.9) * (losses[0] - floor)


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
