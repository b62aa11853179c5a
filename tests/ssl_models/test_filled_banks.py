"""A memory bank that is filled before the first step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.contrastive import unit
from ssl_models.method import Method, method_class
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper

torch.set_num_threads(1)
METHODS = ("npid", "pirl")


def pictures(samples: int = 20) -> Tensor:
    return torch.randint(0, 256, (samples, 3, 24, 24), dtype=torch.uint8, generator=Generator().manual_seed(1))


def built(name: str, **settings: Any) -> Method:
    torch.manual_seed(0)
    kind: Any = method_class(name)
    return kind(ResNet(depth=10, width=4), DataSpec(20, {"images": (3, 24, 24)}), negatives=8, **settings)


def training(method: Method, observer: Keeper | None = None) -> Training:
    chosen = Settings(epochs=2, batch_size=8, warmup_epochs=0)
    return Training(method, [pictures()], chosen, seed=5, checkpoint_steps=1, observer=observer)


def head(method: Any) -> Any:
    return method.head if hasattr(method, "head") else method.image_head


@pytest.mark.parametrize("name", METHODS)
def test_a_row_is_the_feature_of_its_picture(name: str) -> None:
    method = built(name, fill=True).eval()
    index = torch.tensor([3, 11, 0, 7])
    before = method.bank.rows.clone()
    views = method.views(pictures()[index], Generator().manual_seed(0))
    with torch.no_grad():
        method.meet(*views, index=index)
        expected = unit(head(method)(method.encoder(views[0])))
    torch.testing.assert_close(method.bank.rows[index], expected)
    others = [row for row in range(20) if row not in index.tolist()]
    assert torch.equal(method.bank.rows[others], before[others])


@pytest.mark.parametrize("name", METHODS)
def test_the_first_step_compares_with_a_bank_that_knows_all_pictures(name: str) -> None:
    """Rows of an untrained network are much alike, random unit vectors of 64 numbers are not."""
    filled, drawn = built(name, fill=True, centre=False), built(name, centre=False)
    assert (filled.meets, drawn.meets) == (True, False)
    alike = {}
    for kind, method in (("filled", filled), ("drawn", drawn)):
        training(method).run(stop_after=1)
        alike[kind] = float((method.bank.rows @ method.bank.rows.T).mean())
    assert alike["filled"] > alike["drawn"] + 0.3


@pytest.mark.parametrize("name", METHODS)
def test_a_training_that_goes_on_does_not_fill_the_bank_again(name: str) -> None:
    whole = built(name, fill=True)
    training(whole).run()
    keeper = Keeper()
    training(built(name, fill=True), keeper).run(stop_after=2)
    resumed = built(name, fill=True)
    training(resumed, keeper).run()
    for (key, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two), key
