"""Averages and two classes from one, by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from mmseg_jml.functional import are_probabilities
from tests.functional.on_device import average_scores, both_classes


def test_mean_of_views_by_hand():
    """Probabilities (3/4, 1/4) and (1/4, 3/4), then (1/2, 1/2) each."""
    first = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    second = torch.tensor([[0.0, 5.0], [math.log(3), 5.0]])
    third = torch.tensor([[0.0, -2.0], [math.log(2), -2.0]])
    scores, prediction = average_scores([first, second, third])
    mean = [(3 / 4 + 1 / 4 + 1 / 3) / 3, 1 / 2]
    expected = torch.tensor([mean, [1 - share for share in mean]])
    assert_close(scores.softmax(0), expected)
    assert prediction.tolist() == [[1, 0]]


@pytest.mark.parametrize(('threshold', 'expected'), [(0.4, 1.0), (0.6, 0.0)])
def test_one_channel_is_averaged_as_it_is(threshold, expected):
    views = [torch.tensor([[[0.25]]]), torch.tensor([[[0.75]]])]
    scores, prediction = average_scores(views, threshold)
    assert scores.item() == 0.5
    assert prediction.item() == expected
    assert prediction.dtype == scores.dtype


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_two_classes_by_hand(dtype):
    """The likelihood stays finite where the head is sure and wrong."""
    second = torch.tensor([[[0.0, 0.25, 1.0]]], dtype=dtype)
    found = both_classes(second, dim=1)
    expected = [[[1.0, 0.75, 0.0], [0.0, 0.25, 1.0]]]
    assert_close(found, torch.tensor(expected))
    assert found.log().min().item() == pytest.approx(-24 * math.log(2))


@pytest.mark.parametrize(
    ('scores', 'expected'),
    [
        ([[0.25, 1.0], [0.75, 0.0]], True),
        ([[0.25, 1.0], [0.7504, 0.0]], True),  # rounded
        ([[0.25, 1.0], [0.76, 0.0]], False),
        ([[1.5, 1.0], [-0.5, 0.0]], False),
    ],
)
def test_probabilities_are_told_from_logits(scores, expected):
    assert are_probabilities(torch.tensor(scores)) is expected
