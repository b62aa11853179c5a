"""Heads: each is the formula that its docstring quotes, written out as a loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.encoders.resnet import ResNet
from ssl_models.heads import TilesClassifier, TilesProjection, centred, mlp

torch.set_num_threads(1)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kinds(head: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in head.modules() if not list(module.children())]


def standardised(hidden: Tensor) -> Tensor:
    """(B, D): what a fresh batch normalisation makes of a batch in training."""
    return (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()


def test_the_projection_is_two_layers_with_a_batch_normalisation_after_the_first() -> None:
    head = mlp(6, 10, 4)
    assert kinds(head) == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert head[0].bias is None  # the normalisation would take it out again
    inputs = features(7, 6)
    hidden = standardised(inputs @ head[0].weight.T).clamp_min(0)
    torch.testing.assert_close(head(inputs), hidden @ head[3].weight.T + head[3].bias)


def test_a_projection_in_training_depends_on_the_rest_of_the_batch_even_after_group_norms() -> None:
    torch.manual_seed(0)
    encoder, head, pictures = (
        ResNet(depth=10, width=4, norm="group"),
        mlp(32, 16, 8),
        torch.rand(4, 3, 16, 16),
    )
    other = pictures.clone()
    other[1:] = 0.5
    vectors, changed = encoder(pictures), encoder(other)
    torch.testing.assert_close(vectors[0], changed[0])
    assert not torch.allclose(head(vectors)[0], head(changed)[0], atol=1e-3)
    head.eval()
    torch.testing.assert_close(head(vectors)[0], head(changed)[0])


def test_a_centred_head_takes_out_what_all_samples_share() -> None:
    linear = nn.Linear(6, 4)
    head, inputs = centred(linear, 4, True), features(9, 6)
    output = head(inputs)
    torch.testing.assert_close(output, standardised(linear(inputs)))
    torch.testing.assert_close(output.mean(0), torch.zeros(4), rtol=0, atol=1e-6)
    linear.bias.data.add_(torch.tensor([5.0, -3.0, 0.0, 100.0]))
    torch.testing.assert_close(head(inputs), output, rtol=0, atol=1e-3)


def test_centring_adds_no_parameters_and_may_be_left_out() -> None:
    linear, inputs = nn.Linear(6, 4), features(9, 6)
    plain = centred(linear, 4, False)
    assert kinds(plain) == [nn.Linear]
    assert torch.equal(plain(inputs), linear(inputs))
    names = [[name for name, _ in centred(linear, 4, centre).named_parameters()] for centre in (True, False)]
    assert names[0] == names[1] == ["0.weight", "0.bias"]  # so that f of PIRL has the same names either way


def test_the_tiles_projection_is_one_layer_for_each_tile_and_one_over_all_in_the_order_shown() -> None:
    head, inputs = TilesProjection(5, 3, 9), features(2 * 9, 5)
    assert head.each.weight.shape == (3, 5)
    assert head.together.weight.shape == (3, 9 * 3)
    for picture in range(2):
        shown = inputs[9 * picture : 9 * picture + 9]
        joined = torch.cat([functional.linear(tile, head.each.weight, head.each.bias) for tile in shown])
        expected = functional.linear(joined, head.together.weight, head.together.bias)
        torch.testing.assert_close(head(inputs)[picture], expected)


def test_the_tiles_projection_has_the_sizes_of_the_paper() -> None:
    head = TilesProjection(2048, 128, 9)
    assert (head.each.in_features, head.each.out_features) == (2048, 128)
    assert (head.together.in_features, head.together.out_features) == (1152, 128)


def test_the_tiles_classifier_reads_the_joined_vectors_of_a_picture() -> None:
    head, inputs = TilesClassifier(5, 12, 7, 9), features(4 * 9, 5)
    assert kinds(head) == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    joined = torch.stack([torch.cat(list(inputs[9 * picture : 9 * picture + 9])) for picture in range(4)])
    first, last = head.layers[0], head.layers[3]
    hidden = standardised(joined @ first.weight.T).clamp_min(0)
    torch.testing.assert_close(head(inputs), hidden @ last.weight.T + last.bias)
    assert head(inputs).shape == (4, 7)


def test_both_heads_of_tiles_see_their_order() -> None:
    for head in (TilesProjection(5, 3, 9), TilesClassifier(5, 12, 7, 9).eval()):
        inputs = features(9, 5)
        assert not torch.allclose(head(inputs), head(inputs.flip(0)), atol=1e-4)
