"""Counts of classes, and the agreement that chance expects."""

import pytest
import torch

from mmseg_jml.functional import chance_iou, mean_iou
from tests.functional.on_device import region_counts as count


def counts(prediction, label, classes=3):
    prediction, label = torch.tensor([prediction]), torch.tensor([label])
    return count(prediction, label, classes, check=False)


def test_counts_by_hand():
    """A label that is no class does not count."""
    found = counts([0, 1, 1, 2, 0, 1], [0, 1, 2, 255, 0, 3])
    assert [value[0].tolist() for value in found] == [
        [2, 1, 0], [2, 2, 0], [2, 1, 1]
    ]  # fmt: skip
    assert mean_iou(found).item() == pytest.approx((1 + 1 / 2 + 0) / 3)
    twice = found.plus(found)
    assert twice.predicted.tolist() == [[4, 4, 0]]
    assert mean_iou(twice) == mean_iou(found)


def test_chance_by_hand():
    """q = (1/2, 1/2), f = (3/4, 1/4): 3/7 and 1/5."""
    found = counts([0, 0, 1, 1], [0, 0, 0, 1])
    expected = (3 / 8 / (7 / 8) + 1 / 8 / (5 / 8)) / 2
    assert chance_iou(found).item() == pytest.approx(expected)
    assert chance_iou(found) < mean_iou(found)


def test_one_class_everywhere_is_exactly_chance():
    """What a teacher says that sees nothing it knows."""
    found = counts([1, 1, 1, 1], [0, 0, 1, 2])
    assert chance_iou(found) == mean_iou(found)


def test_shuffled_predictions_are_chance(device):
    """In the limit of many pixels, whatever the two have in common before."""
    label = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), 200_000, True)
    wrong = torch.rand(label.shape) < 0.3
    guess = torch.where(wrong, torch.randint(3, label.shape), label)
    dealt = guess[torch.randperm(len(guess))]
    dealt, known = (count(g[None], label[None], 3) for g in (dealt, guess))
    chance = chance_iou(known)
    # five standard errors, of 200 thousand pixels
    torch.testing.assert_close(mean_iou(dealt), chance, rtol=0, atol=5e-3)
    assert mean_iou(known) > chance + 0.2


def test_no_pixel():
    found = counts([0], [255])
    assert mean_iou(found).isnan()
    assert chance_iou(found).isnan()
