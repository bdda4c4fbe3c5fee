"""Any head's prediction as the target of any other's."""

from __future__ import annotations

import itertools

import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.kernels import TeacherLogits
from tests.devices import on_device

average_teachers = on_device(functional.average_teachers)
score_logits = on_device(functional.score_logits)
teacher_target = on_device(functional.teacher_target)

FLOAT = torch.float64


@pytest.fixture
def logits():
    return 3 * torch.randn(2, 3, 4, 5, dtype=FLOAT)


def dense(target, channels):
    assert target.value.shape[1] == channels
    return target.dense(channels, FLOAT)


def exclusive(p):
    return p / p.sum(1, keepdim=True)


# A teacher's channels, whether they have sigmoids, the student's channels and
# whether those have, and the probabilities that the student is to learn.
HEADS = {
    'softmax for softmax': (3, False, 3, False, lambda z: z.softmax(1)),
    'softmax for sigmoids': (3, False, 3, True, lambda z: z.softmax(1)),
    'sigmoids for sigmoids': (3, True, 3, True, lambda z: z.sigmoid()),
    'one channel for one': (1, True, 1, True, lambda z: z.sigmoid()),
    'one channel for two classes': (
        *(1, True, 2, False),
        lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1),
    ),
    'two classes for one channel': (
        *(2, False, 1, True),
        lambda z: z.softmax(1)[:, 1:],
    ),
}
# These divide probabilities by their sum before there is a temperature.
SIGMOIDS = {
    'sigmoids for softmax': (
        *(3, True, 3, False),
        lambda z: exclusive(z.sigmoid()),
    ),
    'two sigmoids for one channel': (
        *(2, True, 1, True),
        lambda z: exclusive(z.sigmoid())[:, 1:],
    ),
}


@pytest.mark.parametrize(
    ('name', 'temperature'),
    [*itertools.product(HEADS, [1.0, 3.0]), *((x, 1.0) for x in SIGMOIDS)],
)
def test_probabilities_that_the_student_learns(logits, name, temperature):
    own, is_sigmoid, channels, use_sigmoid, law = (HEADS | SIGMOIDS)[name]
    z = logits[:, :own]
    target = teacher_target(z, is_sigmoid, channels, use_sigmoid, temperature)
    torch.testing.assert_close(dense(target, channels), law(z / temperature))


def test_logits_are_not_copied(logits):
    target = functional.teacher_target(logits, False, 3, False)
    assert target.value is logits


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
    mean = average_teachers(targets, use_sigmoid)
    assert mean.temperature == temperature
    expected = sum(target.dense(3, FLOAT) for target in targets) / 3
    torch.testing.assert_close(dense(mean, 3), expected)


def test_mean_of_one_is_itself(logits):
    target = TeacherLogits(logits)
    assert functional.average_teachers([target], False) is target


def test_mean_of_certain_teachers_is_finite():
    targets = [TeacherLogits(torch.tensor([[1e4, -1e4]]))] * 2
    for use_sigmoid in (False, True):
        mean = average_teachers(targets, use_sigmoid)
        assert mean.value.isfinite().all()
        expected = torch.tensor([[1.0, 0.0]])
        torch.testing.assert_close(mean.dense(2, torch.float32), expected)


def test_teachers_of_other_weights(logits):
    """Three times one and once the other."""
    others = [TeacherLogits(logits, 2.0), TeacherLogits(-logits, 2.0)]
    found = average_teachers(others, False, [3, 1])
    first, second = (one.dense(3, FLOAT) for one in others)
    torch.testing.assert_close(dense(found, 3), (3 * first + second) / 4)
