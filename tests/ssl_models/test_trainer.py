"""The loop: resumed at any step it ends in the same bytes, and it says at once what cannot work."""

import io
import math
from importlib import import_module
from pathlib import Path

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import Scored, method_class
from ssl_models.optimizers import LARS, build_optimizer, learning_rate_at
from ssl_models.trainer import Settings, Silent, Training, TrainingDivergedError, derive_seed
from tests.ssl_models.built_methods import OWN_ENCODERS

METHODS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "ssl_models" / "methods").glob("*.py")
    if path.stem != "__init__" and (kind := method_class(path.stem)).trains and "images" in (kind.parts or ("images",))
)
"""Those of pictures; others are resumed in their own file."""
STEPS = 6
TIMES = ("samples_per_second", "monitor_seconds")


class Keeper(Silent):
    """Keeps the last checkpoint as bytes, as a file would, and the means of each epoch."""

    def __init__(self, content=None):
        self.content, self.epochs = content, []

    def load(self):
        return None if self.content is None else torch.load(io.BytesIO(self.content), weights_only=True)

    def save(self, step, checkpoint):  # noqa: ARG002
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.content = buffer.getvalue()

    def epoch(self, step, values):
        self.epochs.append((step, {name: value for name, value in values.items() if name not in TIMES}))


def images(samples=48, seed=0):
    return torch.randint(0, 256, (samples, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def training(name, observer=None, precision="float32", **settings):
    torch.manual_seed(3)
    shape, shaped = OWN_ENCODERS.get(name, ("resnet", {"depth": 10, "width": 4}))
    encoder = build_encoder(shape, **shaped)
    targets = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
    data = DataSpec(48, {"images": (3, 32, 32)}, torch.arange(48) % 4, 4, targets)
    method_class = import_module(f"ssl_models.methods.{name}").METHOD
    extra = {"negatives": 8} if name == "pirl" else {}
    method = method_class(encoder, data, **extra)
    chosen = Settings(**({"epochs": 2, "batch_size": 16, "warmup_epochs": 0.5} | settings))
    return Training(method, images(), chosen, seed=5, precision=precision, checkpoint_steps=1, observer=observer)


def state(run):
    return {name: value.clone() for name, value in run.method.state_dict().items()}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "stop", [step if step == 4 else pytest.param(step, marks=pytest.mark.exhaustive) for step in range(1, STEPS)]
)
def test_stopped_and_resumed_ends_in_the_same_bytes(name, stop):
    whole = Keeper()
    reference = training(name, whole)
    reference.run()
    first = Keeper()
    training(name, first).run(stop_after=stop)
    second = Keeper(first.content)
    resumed = training(name, second)
    resumed.run()
    expected, found = state(reference), state(resumed)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    assert first.epochs + second.epochs == whole.epochs


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_every_optimiser_resumes_too(optimizer):
    reference = training("rotation", Keeper(), optimizer=optimizer, learning_rate=0.01)
    reference.run()
    first = Keeper()
    training("rotation", first, optimizer=optimizer, learning_rate=0.01).run(stop_after=2)
    resumed = training("rotation", Keeper(first.content), optimizer=optimizer, learning_rate=0.01)
    resumed.run()
    assert all(torch.equal(value, state(resumed)[key]) for key, value in state(reference).items())


def test_an_epoch_sees_every_sample_once_and_epochs_differ():
    run = training("rotation")
    first, second = run._order(0), run._order(1)
    assert sorted(first.tolist()) == list(range(48))
    assert not torch.equal(first, second)
    assert torch.equal(first, training("rotation")._order(0))


def test_after_each_step_a_method_is_given_what_its_loss_handed_over_and_the_progress():
    run, scored, told = training("simclr"), [], []
    loss = run.method.loss

    def handing_over(*views, index):
        scored.append(Scored(loss(*views, index=index).terms, handed_over=object()))
        return scored[-1]

    run.method.loss = handing_over
    run.method.after_step = lambda handed_over, progress: told.append((handed_over, progress))
    run.run()
    assert told == [(each.handed_over, step / STEPS) for step, each in enumerate(scored, start=1)]


@pytest.mark.parametrize(("name", "chance"), [("rotation", math.log(4)), ("simclr", math.log(31))])
def test_an_epoch_logs_the_chance_of_the_method_or_of_its_batch(name, chance):
    keeper = Keeper()
    run = training(name, keeper)
    run.run()
    assert [values["chance"] for _, values in keeper.epochs] == [pytest.approx(chance)] * 2
    assert run.method.chance == (pytest.approx(chance) if name == "rotation" else None)


def test_an_epoch_without_a_chance_level_logs_none():
    keeper = Keeper()
    training("multi_pretext", keeper).run()
    assert all("chance" not in values for _, values in keeper.epochs)


def test_a_loss_that_is_no_number_stops_with_advice():
    run = training("rotation", learning_rate=1e30)
    with pytest.raises(TrainingDivergedError, match=r"the loss is (nan|inf) at step \d+ of 6 .*lower learning_rate"):
        run.run()


def test_a_batch_over_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size 64 is over the 48 training samples"):
        training("rotation", batch_size=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"learning_rate": 0.0}, r"learning_rate 0\.0 must be over 0"),
        ({"learning_rate": math.nan}, "learning_rate nan must be over 0"),
        ({"momentum": 1.0}, r"momentum 1\.0 must lie in \[0, 1\)"),
        ({"optimizer": "adam"}, "optimizer 'adam' is unknown; choose one of sgd, adamw, lars"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_the_learning_rate_rises_and_falls_as_the_formula_says():
    rates = [learning_rate_at(step, steps=110, warmup=10, peak=2.0) for step in range(110)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == pytest.approx(2.0)
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0)
    assert rates[109] == pytest.approx(2.0 * 0.5 * (1 + math.cos(math.pi * 0.99)))


def test_lars_scales_a_weight_by_its_trust_ratio_and_leaves_biases_alone():
    weight = torch.nn.Parameter(torch.full((2, 2), 3.0))  # norm 6
    bias = torch.nn.Parameter(torch.ones(2))
    weight.grad, bias.grad = torch.full((2, 2), 0.5), torch.full((2,), 0.5)
    LARS([{"params": [weight], "weight_decay": 0.1}, {"params": [bias]}], lr=2.0, momentum=0.0).step()
    # gradient + decay = .5 + .3 = .8 each, norm 1.6; ratio .001 * 6 / 1.6; step 2 * .8 * that
    assert torch.allclose(weight, torch.full((2, 2), 3.0 - 2 * 0.8 * 0.001 * 6 / 1.6))
    assert torch.allclose(bias, torch.zeros(2))


def test_weight_decay_is_kept_off_biases_and_norms():
    encoder = build_encoder("resnet", depth=10, width=4)
    groups = build_optimizer(encoder, "sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.5).param_groups
    assert {group["weight_decay"]: min(p.ndim for p in group["params"]) for group in groups} == {0.5: 4, 0.0: 1}


def test_seeds_differ_with_each_part_and_are_the_same_everywhere():
    assert derive_seed(0, "step", 1) == 2752179012869973653
    assert len({derive_seed(0, "step", 1), derive_seed(0, "step", 2), derive_seed(1, "step", 1), derive_seed("01")}) > 3


def test_adamw_moves_tables_of_embeddings_as_it_moves_other_weights() -> None:
    """By another kernel, so that only rounding differs; a module without a table has the two groups it always had."""
    start = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    table, plain = torch.nn.Embedding(9, 4, _weight=start.clone()), torch.nn.Linear(4, 9)
    plain.weight.data.copy_(start)
    settings = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.1}
    optimizers = [build_optimizer(module, "adamw", **settings) for module in (table, plain)]
    assert [group.get("fused") for group in optimizers[0].param_groups if group["params"]] == [True]
    assert [bool(group.get("fused")) for group in optimizers[1].param_groups] == [False, False]
    for step in range(10):
        gradient = torch.randn(9, 4, generator=torch.Generator().manual_seed(step))
        for module, optimizer in zip((table, plain), optimizers, strict=True):
            module.weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(table.weight, plain.weight, rtol=0, atol=1e-6)
    assert float((table.weight.detach() - start).abs().amax()) > 0.01
