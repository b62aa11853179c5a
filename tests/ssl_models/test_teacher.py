"""The teacher: equal at first, moved by its momentum and by nothing else."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor, nn

from ssl_models.teacher import Teacher, momentum_at

torch.set_num_threads(1)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def inputs(seed: int = 0) -> Tensor:
    return torch.randn(8, 4, generator=Generator().manual_seed(seed))


def test_a_teacher_starts_equal_and_shares_nothing() -> None:
    source = network()
    teacher = Teacher(source)
    assert torch.equal(teacher(inputs()), source(inputs()))
    assert not {tensor.data_ptr() for tensor in source.parameters()} & {
        tensor.data_ptr() for tensor in teacher.parameters()
    }
    assert all(parameter.requires_grad for parameter in source.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.25, 0.99, 1.0])
def test_every_parameter_moves_by_the_momentum(momentum: float) -> None:
    source, other = network(), network(1)
    teacher = Teacher(source)
    teacher.update(other, momentum)
    for own, before, followed in zip(teacher.parameters(), source.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own, momentum * before + (1 - momentum) * followed, check_stride=False)
        if momentum == 1:
            assert torch.equal(own, before)
        if momentum == 0:
            assert torch.equal(own, followed)


def test_updates_add_up_to_the_exponential_average_worked_by_hand() -> None:
    source = nn.Linear(1, 1, bias=False)
    source.weight.data.fill_(1.0)
    teacher = Teacher(source)
    for value in (3.0, 5.0):  # 0.75 * 1 + 0.25 * 3 = 1.5, 0.75 * 1.5 + 0.25 * 5 = 2.375
        source.weight.data.fill_(value)
        teacher.update(source, 0.75)
    assert float(teacher.module.weight) == 2.375


def test_a_teacher_gets_no_gradient_and_gives_none() -> None:
    source = network()
    teacher = Teacher(source)
    given = inputs().requires_grad_()
    assert not teacher(given).requires_grad
    assert not [parameter for parameter in teacher.parameters() if parameter.requires_grad]
    (source(inputs()) * teacher(inputs())).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in source.parameters())


def test_an_update_leaves_no_trace_of_the_source_s_graph() -> None:
    source = network()
    teacher = Teacher(source)
    teacher.update(source, 0.5)
    assert all(parameter.grad_fn is None and not parameter.requires_grad for parameter in teacher.parameters())
    with torch.no_grad():
        source[0].weight.zero_()
    assert teacher.module[0].weight.abs().max() > 0


def test_running_statistics_come_from_the_teacher_s_own_batches() -> None:
    source = network()
    teacher = Teacher(source)
    source(inputs(1))  # moves the source's statistics only
    teacher.update(source, 0.0)
    assert torch.equal(teacher.module[1].running_mean, torch.zeros(6))
    teacher(inputs(2))
    expected = 0.1 * teacher.module[0](inputs(2)).mean(0)
    torch.testing.assert_close(teacher.module[1].running_mean, expected)
    assert int(teacher.module[1].num_batches_tracked) == 1


def test_a_teacher_follows_its_owner_into_training_and_evaluation() -> None:
    owner = nn.ModuleDict({"teacher": Teacher(network())})
    statistics = owner["teacher"].module[1].running_mean.clone()
    owner.eval()["teacher"](inputs())
    assert torch.equal(owner["teacher"].module[1].running_mean, statistics)
    owner.train()["teacher"](inputs())
    assert not torch.equal(owner["teacher"].module[1].running_mean, statistics)


def test_a_teacher_is_all_in_the_state_dict() -> None:
    first, second = Teacher(network()), Teacher(network(1))
    first.update(network(2), 0.5)
    first(inputs(1))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(inputs(2)), second.eval()(inputs(2)))


def test_another_network_or_momentum_is_refused() -> None:
    teacher = Teacher(network())
    with pytest.raises(ValueError, match="source has other parameters"):
        teacher.update(nn.Linear(4, 6), 0.5)
    with pytest.raises(ValueError, match=r"momentum is 1\.5"):
        teacher.update(network(), 1.5)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.9), (1 / 3, 0.925), (0.5, 0.95), (2 / 3, 0.975), (1.0, 1.0)]
)  # the cosine is 1, 1/2, 0, -1/2, -1
def test_the_momentum_goes_from_its_start_to_its_end_by_half_a_cosine(progress: float, expected: float) -> None:
    assert momentum_at(0.9, 1.0, progress) == pytest.approx(expected, abs=1e-12)
    assert momentum_at(0.9, 1.0, progress) == pytest.approx(
        1 - (1 - 0.9) * (math.cos(math.pi * progress) + 1) / 2, abs=1e-12
    )
    assert momentum_at(1.0, 0.9, progress) == pytest.approx(1.9 - expected, abs=1e-12), "downwards too"


def test_the_momentum_moves_one_way_and_slowest_at_both_ends() -> None:
    values = [momentum_at(0.5, 1.0, step / 20) for step in range(21)]
    steps = [after - before for before, after in pairwise(values)]
    assert all(step > 0 for step in steps)
    assert all(after > before for before, after in pairwise(steps[:10]))
    assert all(after < before for before, after in pairwise(steps[10:]))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_the_momentum_is_constant_where_start_and_end_are_equal(momentum: float) -> None:
    assert [momentum_at(momentum, momentum, step / 7) for step in range(8)] == [momentum] * 8


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.9, 1.0), (0.996, 1.0), (1.0, 0.3)])
def test_the_momentum_never_leaves_the_unit_interval(start: float, end: float) -> None:
    """`update` refuses what does, so rounding must not take the last step there."""
    assert all(0 <= momentum_at(start, end, step / 1000) <= 1 for step in range(1001))
