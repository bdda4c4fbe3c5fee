"""Counts of classes, and the agreement that chance expects."""

import pytest
import torch

from tests.functional.on_device import class_counts as count


def counts(prediction, label, classes=3):
    prediction, label = torch.tensor([prediction]), torch.tensor([label])
    return count(prediction, label, torch.ones_like(label).bool(), classes)


def test_counts_by_hand():
    """A label that is no class does not count."""
    found = counts([0, 1, 1, 2, 0], [0, 1, 2, 255, 0])
    assert [value.tolist() for value in found] == [
        [2, 1, 0], [2, 2, 0], [2, 1, 1]
    ]  # fmt: skip
    assert found.mean_iou().item() == pytest.approx((1 + 1 / 2 + 0) / 3)
    twice = found.plus(found)
    assert twice.predicted.tolist() == [4, 4, 0]
    assert twice.mean_iou() == found.mean_iou()


def test_chance_by_hand():
    """q = (1/2, 1/2), f = (3/4, 1/4): 3/7 and 1/5."""
    found = counts([0, 0, 1, 1], [0, 0, 0, 1])
    expected = (3 / 8 / (7 / 8) + 1 / 8 / (5 / 8)) / 2
    assert found.chance_iou().item() == pytest.approx(expected)
    assert found.chance_iou() < found.mean_iou()


def test_one_class_everywhere_is_exactly_chance():
    """What a teacher says that sees nothing it knows."""
    found = counts([1, 1, 1, 1], [0, 0, 1, 2])
    assert found.chance_iou() == found.mean_iou()


def test_shuffled_predictions_are_chance(device):
    """In the limit of many pixels, whatever the two have in common before."""
    label = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), 200_000, True)
    wrong = torch.rand(label.shape) < 0.3
    guess = torch.where(wrong, torch.randint(3, label.shape), label)
    dealt = guess[torch.randperm(len(guess))]
    every = torch.ones_like(label).bool()
    dealt, known = (count(g, label, every, 3) for g in (dealt, guess))
    chance = known.chance_iou()
    torch.testing.assert_close(dealt.mean_iou(), chance, rtol=0, atol=5e-3)
    assert known.mean_iou() > chance + 0.2


def test_no_pixel():
    found = counts([0], [255])
    assert found.mean_iou().isnan()
    assert found.chance_iou().isnan()
