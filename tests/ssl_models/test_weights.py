"""Weights from elsewhere: which tensors of a checkpoint an encoder is given, and what is refused."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.weights import load
from ssl_models.weights.fitting import chains, resample

torch.set_num_threads(1)


def encoder(seed: int = 0, **settings: Any) -> Encoder:
    torch.manual_seed(seed)
    return build_encoder("resnet", **{"depth": 10, "width": 4} | settings)


@pytest.fixture
def donor() -> dict[str, Tensor]:
    """The weights of another seed, with running statistics that are not those at the start."""
    state = encoder(1).state_dict()
    return {name: value + 0.25 if value.is_floating_point() else value + 3 for name, value in state.items()}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def save(folder: Path, content: Any, name: str = "weights.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def equal(one: Encoder, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


CHECKPOINTS = {
    "plain": lambda state: state,
    "parallel": lambda state: {"epoch": 3, "state_dict": under("module.", state), "optimizer": {"state": {}}},
    "moco": lambda state: {
        "state_dict": under("module.encoder_q.", state)
        | under("module.encoder_k.", {name: 0 * value for name, value in state.items()})
        | {"module.queue": torch.zeros(4, 8)}
    },
    "dino": lambda state: {
        "student": under("module.backbone.", {name: 2 * value for name, value in state.items()}),
        "teacher": under("backbone.", state) | {"head.mlp.0.weight": torch.zeros(2, 2)},
        "args": argparse.Namespace(arch="resnet"),
    },
    "flat": lambda state: under("student.", {name: 2 * v for name, v in state.items()}) | under("teacher.", state),
    "lightning": lambda state: {"state_dict": under("model.encoder.", state), "hyper_parameters": {"lr": 0.1}},
    "compiled": lambda state: {"model": under("_orig_mod.module.", state)},
    "ema": lambda state: {"model": {name: 2 * value for name, value in state.items()}, "ema": state},
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_network_is_found_wherever_a_checkpoint_has_it(kind, tmp_path, donor):
    own = encoder()
    fit = load(own, save(tmp_path, CHECKPOINTS[kind](donor)), whole=True)
    assert equal(own, donor)
    assert (fit.share, fit.missing, fit.other_shapes) == (1.0, (), ())


def test_what_a_checkpoint_has_besides_is_told_by_kind(tmp_path, donor):
    state = under("backbone.", donor) | {"backbone.fc.weight": torch.zeros(9, 32), "queue": torch.zeros(3)}
    fit = load(encoder(), save(tmp_path, state))
    assert (fit.place, fit.heads, fit.unused) == ("backbone.", ("backbone.fc.weight",), ("queue",))
    text = "\n".join(fit.lines())
    assert f"weights.pth (below backbone.): {len(donor)} tensors, 100.0% of the encoder's numbers" in text
    assert "1 not used, heads of a classifier or projector: backbone.fc.weight" in text
    assert fit.summary()["weights_unused"] == 2


def test_half_precision_and_safetensors_and_an_encoders_folder_are_read(tmp_path, donor):
    halved = {name: value.half() if value.is_floating_point() else value for name, value in donor.items()}
    load(own := encoder(), save(tmp_path, halved))
    assert own.conv1[0].weight.dtype == torch.float32
    assert torch.equal(own.conv1[0].weight, donor["conv1.0.weight"].half().float())
    save_file(donor, tmp_path / "encoder.safetensors")
    for place in (tmp_path, tmp_path / "encoder.safetensors"):
        load(own := encoder(), place)
        assert equal(own, donor)


def test_no_random_number_is_drawn(tmp_path, donor):
    own, before = encoder(), torch.random.get_rng_state()
    load(own, save(tmp_path, donor))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_gap_is_left_as_it_was_and_told_but_not_where_nothing_trains(tmp_path, donor):
    file = save(tmp_path, {name: value for name, value in donor.items() if name != "conv1.1.bias"})
    own = encoder()
    fit = load(own, file)
    assert fit.missing == ("conv1.1.bias",)
    assert torch.equal(own.state_dict()["conv1.1.bias"], torch.zeros(4))
    assert "1 left as they were initialised: conv1.1.bias" in "\n".join(fit.lines())
    with pytest.raises(
        ValueError, match=r"trains nothing needs all tensors .*'resnet', and 1 do not fit. conv1\.1\.bia"
    ):
        load(encoder(), file, whole=True)


def test_older_files_that_do_not_count_batches_are_whole(tmp_path, donor):
    older = {name: value for name, value in donor.items() if not name.endswith("num_batches_tracked")}
    assert load(encoder(), save(tmp_path, older), whole=True).missing == ()


class Evil:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            {"a.weight": torch.zeros(3)},
            "weights.pth",
            r"weights of another network: they give 0% .*'resnet'; 90% is the",
        ),
        ({"weights": [1, 2]}, "weights.pt", "there are no named tensors in it"),
        (
            {"a": torch.eye(3).to_sparse()},
            "weights.pth",
            r"weights\.pth: 'a' is a sparse, .* tensor; save it .*to_dense\(\)",
        ),
        ({"b": torch.zeros(3, device="meta")}, "weights.pth", "'b' is a sparse, nested, quantised or empty"),
        (torch.zeros(3), "weights.pt", "there are no named tensors in it"),
        ({"model": Evil()}, "weights.ckpt", r"it holds more than tensors.*torch\.save\(model\.state_dict"),
        (collections.Counter(), "weights.npz", r"a file of weights ends in \.safetensors, \.pth"),
    ],
)
def test_what_is_no_weights_of_this_network_is_refused(tmp_path, content, name, message, capsys):
    with pytest.raises(ValueError, match=message):
        load(encoder(), save(tmp_path, content, name))
    assert "run" not in capsys.readouterr().out


def test_weights_of_another_width_are_refused_with_both_shapes(tmp_path):
    file = save(tmp_path, encoder(width=8).state_dict())
    with pytest.raises(
        ValueError, match=r"another network.*conv1\.0\.weight is \(8, 3, 3, 3\) there and \(4, 3, 3, 3\) here"
    ):
        load(encoder(), file)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name, donor):
    file = tmp_path / name
    save_file(donor, file) if name.endswith("safetensors") else torch.save(donor, file)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match=rf"{name}: .*(cut short|no whole safetensors)"):
        load(encoder(), file)


def test_numbers_that_are_not_finite_are_refused(tmp_path, donor):
    donor["res5.0.conv1.weight"][0] = torch.nan
    with pytest.raises(ValueError, match=r"res5\.0\.conv1\.weight holds numbers that are not finite"):
        load(encoder(), save(tmp_path, donor))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth: there is no such file"):
        load(encoder(), tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match=r"the folder holds no encoder\.safetensors"):
        load(encoder(), tmp_path)


def test_an_encoder_that_nobody_publishes_weights_of_says_so():
    with pytest.raises(ValueError, match=r"'DEFAULT': nobody publishes weights of the encoder 'resnet'; give a file"):
        load(encoder(), "DEFAULT")


def test_chains_are_made_of_usual_prefixes_alone():
    names = ["module.encoder_q.conv1.weight", "module.queue", "fc.weight", "encoder"]
    assert chains(names) == ["", "module.", "module.encoder_q."]


def test_embeddings_of_positions_are_resampled_to_another_grid_and_the_class_token_stays():
    embedded = torch.full((1, 1 + 16, 2), 7.0)
    embedded[:, 0] = -1
    found = resample(embedded, 1 + 49)
    assert found.shape == (1, 50, 2)
    assert (found[:, 0] == -1).all()
    assert torch.allclose(found[:, 1:], torch.tensor(7.0))
    grid = torch.arange(4.0).view(1, 4, 1)
    assert torch.allclose(resample(grid, 4), grid)
    assert resample(torch.zeros(1, 12, 2), 20) is None
