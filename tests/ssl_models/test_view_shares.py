"""The views of a batch are made in parts: each part draws what its samples have in the whole batch."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.method import Method, method_class
from ssl_models.parallel import view_shares
from ssl_models.parallel.view_shares import Divided, in_order, make_views, rows_read
from ssl_models.views.drawing import Share, below, in_batch, normal, uniform
from tests.ssl_models.built_methods import BATCH, NAMES, SAMPLES, SHAPES, TRAINED, batch, build, given
from tests.ssl_models.test_methods_on_other_kinds import prepared

torch.set_num_threads(1)

WHOLE = {"random", "pretrained", "cpc_speech", "word2vec", "audio_visual"}
"""Not trained, or views that depend on the other samples: their lengths, or their sources."""
VARIANTS = [
    *((name, {}) for name in TRAINED if name not in WHOLE),
    ("moco", {"source": "bank"}),
    ("moco", {"source": "batch", "blur": 0.5}),
    ("denoising_autoencoder", {"stacked": True}),
    ("denoising_autoencoder", {"noise": "gaussian"}),
    ("denoising_autoencoder", {"noise": "salt_and_pepper"}),
    ("pirl", {"transform": "jigsaw_rotation", "permutations": 5}),
    ("pirl", {"patch_jitter": True}),
    ("jigsaw", {"patch_jitter": True, "strength": 0.5, "hue": 0.2}),
    ("jigsaw", {"channel_shift": 1, "permutations_by": "mean", "strength": 0.5}),
    ("relative_position", {"pairs": "one"}),
    ("relative_position", {"channel_shift": 1}),
    ("relative_position", {"colours": "project"}),
    ("cpc_image", {"version": 1, "grey": 0.5}),
    ("inpainting", {"region": "centre"}),
    *(("multi_pretext", {"tasks": ["rotation", other]}) for other in ("jigsaw", "inpainting")),
]


def varied(name: str, settings: dict[str, object]) -> Method:
    if not settings:
        return build(name)
    torch.manual_seed(0)
    data = DataSpec(SAMPLES, {"images": SHAPES["images"]})
    return method_class(name)(build_encoder("resnet", depth=10, width=8), data, **settings)


# ---- numbers


@pytest.mark.parametrize("draw", [uniform, normal, lambda generator, *shape: below(generator, 7, *shape)])
def test_a_share_draws_its_rows_of_what_one_process_draws(draw) -> None:
    whole = draw(Generator().manual_seed(4), 6, 5)
    parts = [draw(Share("cpu", number, 3).manual_seed(4), 2, 5) for number in range(3)]
    assert torch.equal(torch.cat(parts), whole)


def test_samples_may_lie_along_another_axis_and_draws_go_on() -> None:
    plain, share = Generator().manual_seed(4), Share("cpu", 1, 2).manual_seed(4)
    for _ in range(2):
        assert torch.equal(uniform(share, 3, 4, 2, axis=1), uniform(plain, 3, 8, 2, axis=1)[:, 4:])
    assert (in_batch(plain, 4), in_batch(share, 4)) == (4, 8)


# ---- views


def test_every_method_that_can_makes_views_by_rows() -> None:
    assert {name for name in NAMES if not method_class(name).by_rows} == WHOLE


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
@pytest.mark.parametrize("shares", [2, 4])
def test_views_made_in_parts_are_those_of_the_whole_batch(name, settings, shares) -> None:
    method = varied(name, settings)
    size = BATCH // shares
    for seed in (0, 1):  # multi_pretext draws another task
        parts = [
            method.views(
                *(part[number * size :][:size] for part in given(method)),
                Share("cpu", number, shares).manual_seed(seed),
            )
            for number in range(shares)
        ]
        whole = method.views(*given(method), Generator().manual_seed(seed))
        layout = method.layout(whole)
        assert len(layout) == len(whole)
        for blocks, expected, *found in zip(layout, whole, *parts, strict=True):
            if blocks:
                torch.testing.assert_close(in_order(torch.cat(found), blocks, shares), expected, rtol=0, atol=1e-6)
            else:
                assert all(torch.equal(part, expected) for part in found)


@pytest.mark.parametrize("kind", ["sound", "text"])
def test_mild_views_of_sound_and_words_are_made_in_parts_too(kind) -> None:
    encoder, data, stored, _ = prepared(kind)
    method = method_class("supervised")(encoder, data)
    (whole,) = method.views(stored[:8], Generator().manual_seed(0))
    parts = [method.views(stored[4 * n :][:4], Share("cpu", n, 2).manual_seed(0))[0] for n in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


def test_blocks_are_put_in_order_by_hand() -> None:
    """Two ranks of two samples at two turns: a0 a1 A0 A1 and b0 b1 B0 B1."""
    ranks = torch.tensor([0, 1, 10, 11, 2, 3, 12, 13])
    assert in_order(ranks, 2, 2).tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert in_order(ranks, 1, 2) is ranks


# ---- the first of two ranks


@pytest.fixture
def sent(monkeypatch) -> list[Tensor]:
    """This process is rank 0 of 2, and rank 1 has the same rows times 10; what was gathered."""
    found: list[Tensor] = []

    def gathered(local: Tensor) -> Tensor:
        found.append(local)
        return torch.cat([local, 10 * local])

    monkeypatch.setattr(view_shares, "world", lambda: 2)
    monkeypatch.setattr(view_shares, "rank", lambda: 0)
    monkeypatch.setattr(view_shares, "own_rows", lambda whole: whole[: len(whole) // 2])
    monkeypatch.setattr(view_shares, "all_rows", gathered)
    return found


def test_a_divided_view_is_gathered_once_and_only_when_it_is_used(sent) -> None:
    view = Divided.of(torch.tensor([[1.0], [2.0]]), 1)
    assert (len(view), view.shape, view.ndim, view.size(1), view.dim()) == (4, (4, 1), 2, 1, 2)
    assert view.is_floating_point()
    assert torch.is_floating_point(view)
    assert (view.dtype, view.device) == (torch.float32, torch.device("cpu"))
    assert not sent
    assert (view + 1).flatten().tolist() == [2, 3, 11, 21]
    assert view[:, 0].tolist() == [1, 2, 10, 20]
    assert torch.stack([view, view]).sum() == 66
    assert type(view + 1) is Tensor
    assert len(sent) == 1


def test_views_below_one_another_stay_divided(sent) -> None:
    first, second = Divided.of(torch.tensor([1.0, 2.0]), 1), Divided.of(torch.tensor([3.0, 4.0]), 1)
    both = torch.cat((first, second))
    assert isinstance(both, Divided)
    assert (both.blocks, both.local.tolist()) == (2, [1, 2, 3, 4])
    assert not sent
    assert both.whole().tolist() == [1, 2, 10, 20, 3, 4, 30, 40]
    assert torch.cat([first, torch.zeros(1)]).tolist() == [1, 2, 10, 20, 0]
    longer = Divided.of(torch.arange(4.0), 1)
    assert torch.cat([longer, first]).tolist() == [0, 1, 2, 3, 0, 10, 20, 30, 1, 2, 10, 20]


def test_labels_are_gathered_at_once_and_pictures_are_not(sent) -> None:
    tiles, shown = make_views(build("jigsaw"), [batch("images")[:8]], seed=0, device="cpu")
    assert isinstance(tiles, Divided)
    assert len(tiles) == 9 * 16
    assert [part.dtype for part in sent] == [torch.int64]
    assert len(shown) == 16


def test_a_rank_reads_its_rows_or_all(sent) -> None:  # noqa: ARG001
    index = torch.tensor([7, 1, 5, 3])
    assert rows_read(build("rotation"), index).tolist() == [7, 1]
    assert rows_read(build("word2vec"), index) is index


@pytest.mark.parametrize("layout", [(1, 1), (3,)])
def test_a_layout_that_does_not_fit_is_refused_with_the_file(sent, layout) -> None:  # noqa: ARG001
    method = build("split_brain")
    method.layout = lambda _: layout
    words = r"methods/split_brain\.py: SplitBrain\.layout gives \(.*\) for views of 8 rows from 8 samples; it must name"
    with pytest.raises(ValueError, match=words):
        make_views(method, [batch("images")[:8]], seed=0, device="cpu")
