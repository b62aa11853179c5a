"""Two processes train as one does with the same whole batch: the same curve, weights, banks, queues and teachers."""

import multiprocessing
import os
import socket
import time

import pytest
import torch
from torch import nn

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class
from ssl_models.parallel import processes
from ssl_models.parallel.encoder_shards import sharing
from ssl_models.trainer import Settings, Training, TrainingDivergedError
from tests.ssl_models.built_methods import NAMES, OWN_ENCODERS, build, given
from tests.ssl_models.test_trainer import Keeper
from tests.ssl_models.voices import voices

SAMPLES, BATCH, STOP = 48, 16, 2
CASES = {
    "rotation": {},
    "simclr": {},
    "npid": {"negatives": 16, "proximal": 1.0},
    "moco": {"negatives": 24, "shuffle_groups": 3},  # 6, 5 and 5 rows: of two ranks' shares, and of every rank's own
}
WITHOUT_SETTINGS = (
    *("contrastive_pairs", "near_far_patches", "colorization", "denoising_autoencoder", "supervised", "distillation"),
    *("relative_position", "split_brain", "multi_pretext", "byol", "simsiam", "moco_v3", "mae", "barlow_twins"),
    *("vicreg", "dino", "nnclr"),
)
OF_VECTORS = [name for name in NAMES if method_class(name).parts == ("vectors",)]
MORE = {
    **{"pirl": {"negatives": 16}, "pirl-constant": {"negatives": 16, "objective": "nce_constant"}},
    **{"moco-batch": {"source": "batch"}, "moco-bank": {"source": "bank", "negatives": 8}},
    "simclr-small": {"small_crops": 2},
    "moco-small": {"negatives": 24, "shuffle_groups": 3, "small_crops": 2},
    "cpc_image": {"negatives": 15},
    "jigsaw": {"permutations": 10},
    "inpainting": {"adversarial": 0.1},
    "denoising_autoencoder-stacked": {"stacked": True},
    "swav": {"prototypes": 16, "queue": 16, "queue_from": 0.0},
    "deepcluster": {"clusters": 4},
    "cpc_speech": {"steps": 5, "candidates": 16},
} | {name: {} for name in (*WITHOUT_SETTINGS, *OF_VECTORS)}
SINGLE = (
    *("relative_position", "inpainting", "denoising_autoencoder-stacked", "split_brain", "multi_pretext"),
    *("dino", "mae", "cpc_speech", *OF_VECTORS),
)
"""Whose code says float32 somewhere. The others are trained in float64: there, another order of additions carries no
value over the kink of a ReLU, which in float32 happens now and then and lets weights part by as much as 1e-3."""


class Follower(Keeper):
    """Keeps the curve too, step by step."""

    def __init__(self, content=None):
        super().__init__(content)
        self.curve = []

    def progress(self, step, steps, loss, samples_per_second):  # noqa: ARG002
        self.curve.append(loss)


def training(case, observer=None, *, precision="float32", seed=5, **settings):
    torch.manual_seed(3)
    if case == "cpc_speech":
        sound, length, _ = voices(SAMPLES, 12)
        data = DataSpec(SAMPLES, {"sound": (960,), "length": (1,)})
        method = method_class(case)(build_encoder("speech", width=8, hidden=8), data, **MORE[case])
        chosen = Settings(epochs=2, batch_size=BATCH, learning_rate=4.0)
        return Training(method, (sound, length), chosen, seed=seed, checkpoint_steps=1, observer=observer)
    if case in OF_VECTORS:
        method, chosen = build(case), Settings(epochs=2, batch_size=BATCH, warmup_epochs=0)
        vectors = given(method)[0].repeat(SAMPLES // BATCH, 1)
        return Training(method, vectors, chosen, seed=seed, checkpoint_steps=1, observer=observer)
    name, shape = OWN_ENCODERS.get(case, ("resnet", {"depth": 10, "width": 4}))
    encoder = build_encoder(name, **shape)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (SAMPLES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    targets = torch.randn(SAMPLES, 4, generator=generator)
    data = DataSpec(SAMPLES, {"images": (3, 32, 32)}, torch.arange(SAMPLES) % 4, 4, targets)
    method = method_class(case.partition("-")[0])(encoder, data, **(CASES | MORE)[case])
    if case not in SINGLE and precision == "float32":
        views = method.views
        method.double().views = lambda *given: tuple(v.double() if v.is_floating_point() else v for v in views(*given))
    chosen = Settings(**({"epochs": 2, "batch_size": BATCH, "learning_rate": 0.2, "warmup_epochs": 0} | settings))
    return Training(method, images, chosen, seed=seed, precision=precision, checkpoint_steps=1, observer=observer)


def trained(case, content=None, stop_after=None, **settings):
    """What a training leaves: its curve, its epochs, its state, its last checkpoint."""
    keeper = Follower(content)
    run = training(case, keeper, **settings)
    rows, views = set(), run.method.views
    run.method.views = lambda *given: rows.add(len(given[0])) or views(*given)
    run.run(stop_after)
    return {
        "curve": keeper.curve,
        "epochs": keeper.epochs,
        "content": keeper.content,
        "state": dict(run.method.state_dict()),
        "views_seen": run.views_seen,
        "rows": rows,
        "as_before": not any("forward" in vars(part) for part in run.method.modules()),
    }


def refused(action, *given, **named):
    """The kind and the words of the error that an action ends in."""
    try:
        action(*given, **named)
    except (ValueError, TrainingDivergedError) as error:
        return type(error).__name__, str(error)
    return None


def without_number(rank):
    """A training whose loss is no number, on one rank alone, from its third step on."""
    run = training("rotation")
    loss = run.method.loss

    def broken(*views, index):
        factor = torch.nan if run.step >= 2 and processes.rank() == rank else 1
        return {name: factor * term for name, term in loss(*views, index=index).items()}

    run.method.loss = broken
    run.run()


def share_dropout():
    method = training("rotation").method
    method.encoder.res5.append(nn.Dropout2d(0.1))
    with sharing(method):
        pass


def as_rank(rank, port, folder, cases, edges):
    """The life of one of two processes; what the tests look at is left in `folder`."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    with processes.joining():
        found = {case: trained(case) for case in cases}
        if edges:
            found["stopped"] = trained("moco", stop_after=STOP)
            deadline = time.monotonic() + 100
            while rank == 0 and not (folder / "moco.ready").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            found["resumed"] = trained("moco", (folder / "moco").read_bytes() if rank == 0 else None)
            found["bf16"] = trained("simclr", precision="bf16", epochs=1)
            found["odd batch"] = refused(training, "rotation", batch_size=15)
            found["other seed"] = refused(lambda: training("rotation", seed=rank).run())
            found["no number"] = refused(without_number, rank=1)
            found["dropout"] = refused(share_dropout)
        torch.save(found, folder / f"rank{rank}")


def two_processes(folder, cases, edges=False):
    """Starts both ranks; they die with this process."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("forkserver")  # imports once for both, and has run nothing that a fork breaks
    server.set_forkserver_preload(["torch._dynamo", __name__])
    ranks = [server.Process(target=as_rank, args=(n, port, folder, cases, edges), daemon=True) for n in (0, 1)]
    for process in ranks:
        process.start()
    return ranks


def ended(ranks, folder):
    """What both have found."""
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    return [torch.load(folder / f"rank{n}", weights_only=False) for n in (0, 1)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What rank 0 found, what rank 1 found, and what one process did meanwhile."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.set_num_threads(1)
    ranks = two_processes(folder, list(CASES), edges=True)
    stopped = trained("moco", stop_after=STOP)
    (folder / "moco").write_bytes(stopped["content"])
    (folder / "moco.ready").touch()
    one = {case: trained(case) for case in CASES} | {"bf16": trained("simclr", precision="bf16", epochs=1)}
    first, second = ended(ranks, folder)
    one["resumed"] = trained("moco", first["stopped"]["content"])
    return first, second, one


def assert_equal(found, expected, tolerance):
    """The same curve, epoch means, weights, statistics, banks, queues and teachers."""
    assert len(found["curve"]) == len(expected["curve"])
    assert found["curve"] == pytest.approx(expected["curve"], rel=tolerance)
    assert found["state"].keys() == expected["state"].keys()
    for name, value in expected["state"].items():
        torch.testing.assert_close(found["state"][name], value, rtol=tolerance, atol=tolerance, msg=name)
    for (step, means), (expected_step, right) in zip(found["epochs"], expected["epochs"], strict=True):
        assert step == expected_step
        assert means == pytest.approx(right, rel=100 * tolerance, abs=tolerance)
    assert found["views_seen"] == expected["views_seen"]
    assert found["as_before"]


def same_bytes(first, second):
    return all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(runs, case):
    first, second, one = runs
    assert_equal(first[case], one[case], 1e-9)
    assert same_bytes(first[case], second[case])
    assert one[case]["rows"] == {BATCH}
    assert first[case]["rows"] == second[case]["rows"] == {BATCH // 2}
    assert second[case]["curve"] == []  # it kept silent
    assert second[case]["content"] is None


def test_a_state_moves_at_all(runs):
    """Lest equal be all that nothing has touched."""
    for case in CASES:
        before = training(case).method.state_dict()
        moved = [name for name, value in runs[0][case]["state"].items() if not torch.equal(value, before[name])]
        assert {"encoder.conv1.0.weight", "encoder.conv1.1.running_var"} <= set(moved)
    assert {"bank.rows", "log_z"} <= set(runs[0]["npid"]["state"])
    assert {"queue.rows", "teacher.module.0.conv1.0.weight"} <= set(moved)


def test_two_processes_go_on_from_one_and_one_from_two(runs):
    first, second, one = runs
    for resumed in (first["resumed"], one["resumed"]):
        assert resumed["curve"] == pytest.approx(one["moco"]["curve"][STOP:], rel=1e-9)
        for name, value in one["moco"]["state"].items():
            torch.testing.assert_close(resumed["state"][name], value, rtol=1e-9, atol=1e-9)
    assert same_bytes(first["resumed"], second["resumed"])


def test_in_half_precision_too_all_ranks_stay_the_same(runs):
    first, second, one = runs
    assert first["bf16"]["curve"] == pytest.approx(one["bf16"]["curve"], rel=0.02)
    assert same_bytes(first["bf16"], second["bf16"])


def test_a_batch_that_cannot_be_shared_is_refused(runs):
    for found in runs[:2]:
        assert found["odd batch"][0] == "ValueError"
        assert "batch_size 15 cannot be shared equally by 2 processes" in found["odd batch"][1]
        assert "such as 16" in found["odd batch"][1]


def test_processes_that_would_train_something_else_are_refused(runs):
    for found in runs[:2]:
        assert "process 1 would train something else than process 0" in found["other seed"][1]
        assert "seed 1" in found["other seed"][1]


def test_a_loss_that_is_no_number_on_one_rank_stops_both_at_the_same_step(runs):
    for found in runs[:2]:
        assert found["no number"][0] == "TrainingDivergedError"
        assert "the loss is nan at step 3 of 6" in found["no number"][1]


def test_an_encoder_that_draws_at_random_is_refused(runs):
    for found in runs[:2]:
        assert "ResNet has dropout" in found["dropout"][1]


def test_one_process_is_left_as_it_is():
    """No function is put in front of another, nothing is copied, and no group is asked."""
    method = training("rotation").method
    gradient = torch.ones(3)
    with sharing(method):
        assert "forward" not in vars(method.encoder)
    processes.average([gradient])
    processes.agree(method)
    content = {"step": 3}
    assert processes.from_first(content, torch.device("cpu")) is content
    assert (processes.joined(), processes.world(), processes.rank()) == (False, 1, 0)
    assert torch.equal(gradient, torch.ones(3))


@pytest.mark.exhaustive
def test_every_method_trains_in_two_processes_as_in_one(tmp_path):
    torch.set_num_threads(1)
    ranks = two_processes(tmp_path, list(MORE))
    one = {case: trained(case) for case in MORE}
    first, second = ended(ranks, tmp_path)
    for case in MORE:
        if case in SINGLE:
            assert first[case]["curve"] == pytest.approx(one[case]["curve"], rel=1e-4)
        else:
            assert_equal(first[case], one[case], 1e-9)
        assert same_bytes(first[case], second[case])
