"""Any head's prediction as the target of any other's."""

from __future__ import annotations

import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.kernels import TeacherLogits
from tests.devices import on_device

mean_teacher = on_device(functional.mean_teacher)
score_logits = on_device(functional.score_logits)
teacher_target = on_device(functional.teacher_target)

FLOAT = torch.float64


@pytest.fixture
def logits():
    return 3 * torch.randn(2, 3, 4, 5, dtype=FLOAT)


def dense(target, channels):
    assert target.value.shape[1] == channels
    return target.dense(channels, FLOAT)


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_softmax_for_softmax(logits, temperature):
    # the function itself, to see that nothing is copied
    target = functional.teacher_target(logits, False, 3, False, temperature)
    assert target.value is logits
    torch.testing.assert_close(
        dense(target, 3), (logits / temperature).softmax(1)
    )


def test_sigmoids_for_sigmoids_of_as_many_classes(logits):
    target = teacher_target(logits, True, 3, True)
    torch.testing.assert_close(dense(target, 3), logits.sigmoid())


def test_softmax_for_sigmoids(logits):
    target = teacher_target(logits, False, 3, True)
    torch.testing.assert_close(dense(target, 3), logits.softmax(1))


def test_sigmoids_for_softmax_are_divided_by_their_sum(logits):
    target = teacher_target(logits, True, 3, False)
    p = logits.sigmoid()
    torch.testing.assert_close(dense(target, 3), p / p.sum(1, keepdim=True))


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_one_channel_for_two_classes(logits, temperature):
    one = logits[:, :1]
    target = teacher_target(one, True, 2, False, temperature)
    p = (one / temperature).sigmoid()
    torch.testing.assert_close(dense(target, 2), torch.cat([1 - p, p], 1))


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_two_classes_for_one_channel(logits, temperature):
    two = logits[:, :2]
    target = teacher_target(two, False, 1, True, temperature)
    torch.testing.assert_close(
        dense(target, 1), (two / temperature).softmax(1)[:, 1:]
    )


def test_two_sigmoids_for_one_channel(logits):
    p = logits[:, :2].sigmoid()
    target = teacher_target(logits[:, :2], True, 1, True)
    torch.testing.assert_close(
        dense(target, 1), (p / p.sum(1, keepdim=True))[:, 1:]
    )


def test_one_channel_for_one_channel(logits):
    target = teacher_target(logits[:, :1], True, 1, True)
    torch.testing.assert_close(dense(target, 1), logits[:, :1].sigmoid())


def test_scores_are_divided_by_their_sum():
    scores = torch.rand(2, 3, 4, dtype=FLOAT)
    scores[0, 0] = 0
    p = score_logits(scores).softmax(1)
    torch.testing.assert_close(p, scores / scores.sum(1, keepdim=True))


def test_pixels_without_a_score_are_undecided():
    assert score_logits(torch.zeros(1, 4, 2)).softmax(1).eq(0.25).all()


@pytest.mark.parametrize('temperature', [1.0, 3.0])
@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_mean_of_probabilities(logits, temperature, use_sigmoid):
    """Kept as logits, so that losses still know the temperature."""
    targets = [
        TeacherLogits(value, temperature, use_sigmoid)
        for value in (logits, logits.flip(0), -logits)
    ]
    mean = mean_teacher(targets, use_sigmoid)
    assert mean.temperature == temperature
    expected = sum(target.dense(3, FLOAT) for target in targets) / 3
    torch.testing.assert_close(dense(mean, 3), expected)


def test_mean_of_one_is_itself(logits):
    target = TeacherLogits(logits)
    assert functional.mean_teacher([target], False) is target


def test_mean_of_certain_teachers_is_finite():
    targets = [TeacherLogits(torch.tensor([[1e4, -1e4]]))] * 2
    for use_sigmoid in (False, True):
        mean = mean_teacher(targets, use_sigmoid)
        assert mean.value.isfinite().all()
        expected = torch.tensor([[1.0, 0.0]])
        torch.testing.assert_close(mean.dense(2, torch.float32), expected)


def test_teachers_of_other_weights(logits):
    """Three times one and once the other."""
    others = [TeacherLogits(logits, 2.0), TeacherLogits(-logits, 2.0)]
    found = mean_teacher(others, False, [3, 1])
    first, second = (one.dense(3, FLOAT) for one in others)
    torch.testing.assert_close(dense(found, 3), (3 * first + second) / 4)
