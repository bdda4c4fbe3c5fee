"""Any head's prediction as the target of any other's."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from mmseg_jml import functional
from mmseg_jml.kernels import TeacherLogits
from tests.functional.on_device import (
    average_teachers,
    score_logits,
    teacher_target,
)

FLOAT = torch.float64


@pytest.fixture
def logits():
    return 3 * torch.randn(2, 3, 4, 5, dtype=FLOAT)


def exclusive(p):
    return p / p.sum(1, keepdim=True)


# A teacher's channels, whether they have sigmoids, the student's channels and
# whether those have, and the probabilities that the student is to learn.
HEADS = {
    'softmax for softmax': (3, False, 3, False, lambda z: z.softmax(1)),
    'softmax for sigmoids': (3, False, 3, True, lambda z: z.softmax(1)),
    'sigmoids for sigmoids': (3, True, 3, True, torch.sigmoid),
    'one channel for one': (1, True, 1, True, torch.sigmoid),
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
    head = {**HEADS, **SIGMOIDS}[name]
    own, is_sigmoid, channels, use_sigmoid, law = head
    z = logits[:, :own]
    target = teacher_target(z, is_sigmoid, channels, use_sigmoid, temperature)
    assert target.value.shape[1] == channels
    assert_close(target.dense(channels, FLOAT), law(z / temperature))


def test_logits_are_not_copied(logits):
    target = functional.teacher_target(logits, False, 3, False)
    assert target.value is logits


def test_scores_are_divided_by_their_sum():
    scores = torch.rand(2, 3, 4, dtype=FLOAT)
    scores[0, 0] = 0
    assert_close(score_logits(scores).softmax(1), exclusive(scores))


def test_pixels_without_a_score_are_undecided():
    assert score_logits(torch.zeros(1, 4, 2)).softmax(1).eq(0.25).all()


@pytest.mark.parametrize('temperature', [1.0, 3.0])
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('weights', [None, [3, 1, 4]])
def test_mean_of_probabilities(logits, weights, temperature, use_sigmoid):
    """Kept as logits, so that losses still know the temperature."""
    targets = [
        TeacherLogits(value, temperature, use_sigmoid)
        for value in (logits, logits.flip(0), -logits)
    ]
    mean = average_teachers(targets, use_sigmoid, weights)
    assert mean.temperature == temperature
    assert mean.value.shape[1] == 3
    shares = torch.tensor(weights or [1, 1, 1]).double()
    expected = sum(
        share * target.dense(3, FLOAT)
        for share, target in zip(shares / shares.sum(), targets)
    )
    assert_close(mean.dense(3, FLOAT), expected)


def test_mean_of_one_is_itself(logits):
    target = TeacherLogits(logits)
    assert functional.average_teachers([target], False) is target


@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_mean_of_certain_teachers_is_finite(use_sigmoid):
    targets = [TeacherLogits(torch.tensor([[1e4, -1e4]]))] * 2
    mean = average_teachers(targets, use_sigmoid)
    assert mean.value.isfinite().all()
    found = mean.dense(2, torch.float32)
    assert_close(found, torch.tensor([[1.0, 0.0]]))
