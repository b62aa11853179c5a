"""What trained methods show of test pictures: rows of one picture, and what stands in each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.decoder import painting, painting_target
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.vit import ViT
from ssl_models.method import Method, method_class
from ssl_models.methods.colorization import drawn_colours
from ssl_models.shown import MOST, SIDE, in_rows
from ssl_models.views.corruption import mean_colour
from ssl_models.views.lab import rgb_to_lab

torch.set_num_threads(1)
SHOWS: list[tuple[str, dict[str, Any]]] = [
    ("colorization", {}),
    ("colorization", {"objective": "regression"}),
    ("inpainting", {}),
    ("inpainting", {"region": "centre", "normalise": False}),
    ("inpainting", {"adversarial": 0.1}),
    ("denoising_autoencoder", {}),
    ("denoising_autoencoder", {"objective": "cross_entropy"}),
    ("mae", {}),
    ("mae", {"normalise": False}),
]


def built(name: str, **settings: Any) -> Method:
    torch.manual_seed(0)
    encoder = ViT(width=16, depth=2, heads=2, patch=4, size=[16, 16]) if name == "mae" else ResNet(depth=10, width=4)
    kind: Any = method_class(name)
    return kind(encoder, DataSpec(20, {"images": (3, 16, 16)}), **settings).eval()


def pictures(samples: int = 4) -> Tensor:
    return torch.randint(0, 256, (samples, 3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(1))


def rows(monkeypatch: pytest.MonkeyPatch, name: str, **settings: Any) -> dict[str, Tensor]:
    """What the method would draw."""
    method, kept = built(name, **settings), []
    monkeypatch.setattr(import_module(f"ssl_models.methods.{name}"), "in_rows", kept.append)
    with torch.inference_mode():
        method.pictures([pictures()])
    (found,) = kept
    return found


def test_a_row_has_its_name_at_the_left_and_its_pictures_from_left_to_right() -> None:
    red, blue = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    red[:, 0], blue[:, 2] = 1, 2  # beyond 1 is clipped
    drawn = in_rows({"red": red, "blue": blue}).astype(int)
    upper, lower = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    pixels = int(SIDE * 100)
    for half, channel in ((upper, 0), (lower, 2)):
        middles = half[pixels // 2, [-pixels // 2, -3 * pixels // 2]]
        assert (middles == 255 * np.eye(3, dtype=int)[channel]).all()
    assert upper[:, :100].min() < 100, "letters"


def test_more_pictures_than_fit_are_left_out_and_fewer_leave_room() -> None:
    many, few = torch.rand(MOST + 3, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert in_rows({"a": many}).shape == in_rows({"a": many[:MOST]}).shape
    both = in_rows({"a": many, "b": few})
    assert both.shape[1] == in_rows({"a": many}).shape[1]
    assert (both[-20:, -100:] == 255).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_a_painting_is_the_inverse_of_its_target(normalise: bool) -> None:
    images = torch.rand(3, 3, 8, 8, generator=Generator().manual_seed(0))
    target = painting_target(images, mean_colour(images), normalise)
    torch.testing.assert_close(painting(target, images, mean_colour(images), normalise), images)


@pytest.mark.parametrize(("name", "settings"), SHOWS)
def test_a_method_shows_the_same_picture_each_time_and_keeps_the_global_generator(
    name: str, settings: dict[str, Any]
) -> None:
    method = built(name, **settings)
    before = torch.get_rng_state()
    with torch.inference_mode():
        first, again = (method.pictures([pictures()]) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(first) == list(again)
    assert len(first) == 1
    for key, drawn in first.items():
        assert drawn.dtype == np.uint8
        assert np.array_equal(drawn, again[key])


def test_methods_without_pictures_show_none() -> None:
    for name, settings in (("rotation", {}), ("simclr", {}), ("denoising_autoencoder", {"stacked": True})):
        assert built(name, **settings).pictures([pictures()]) == {}


@pytest.mark.parametrize(("name", "settings"), [case for case in SHOWS if case[0] in ("inpainting", "mae")])
def test_only_what_was_hidden_is_completed(
    monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, Any]
) -> None:
    given, completed, whole = rows(monkeypatch, name, **settings).values()
    seen = (given - whole).abs().amax(1) < 1e-6
    assert 0.02 < 1 - seen.float().mean() < 0.9
    changed = (completed - whole).abs().amax(1) > 1e-6
    assert not changed[seen].any()
    assert changed[~seen].float().mean() > 0.9


def test_a_denoised_picture_is_what_the_decoder_made_of_the_corrupted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    corrupted, denoised, clean = rows(monkeypatch, "denoising_autoencoder").values()
    method = built("denoising_autoencoder")
    with torch.inference_mode():
        maps = method.encoder.layers(corrupted)
        output = method.decoder(maps["res5"])
    torch.testing.assert_close(painting_target(denoised, mean_colour(clean), False), 4 * denoised - 2)
    torch.testing.assert_close(denoised, painting(output, clean, mean_colour(clean), True))
    assert not torch.equal(corrupted, clean)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("classification", ["grey", "mean", "annealed mean", "mode", "drawn", "drawn again", "true"]),
        ("regression", ["grey", "regressed", "true"]),
    ],
)
def test_all_colourings_have_the_lightness_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, objective: str, expected: list[str]
) -> None:
    found = rows(monkeypatch, "colorization", objective=objective)
    assert list(found) == expected
    grey = rgb_to_lab(found["grey"])
    torch.testing.assert_close(grey[:, :1], rgb_to_lab(found["true"])[:, :1], rtol=0, atol=0.05)
    assert grey[:, 1:].abs().max() < 0.1
    if objective == "classification":
        assert not torch.equal(found["drawn"], found["drawn again"])


def test_a_drawn_colouring_has_each_colour_as_often_as_it_is_likely() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 20.0], [-30.0, 5.0]])
    shares = torch.tensor([0.2, 0.5, 0.3])
    logits = shares.log().view(1, 3, 1, 1).expand(2, 3, 50, 50)
    drawn = drawn_colours(logits, centres, Generator().manual_seed(0)).permute(0, 2, 3, 1).reshape(-1, 2)
    counts = torch.stack([(drawn == centre).all(1).float().mean() for centre in centres])
    torch.testing.assert_close(counts, shares, rtol=0, atol=0.03)
    assert len(drawn) == 5000
