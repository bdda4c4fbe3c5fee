"""The attention distance by hand and as the authors compute it."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from tests.functional.on_device import attention_distance as attention
from tests.functional.on_device import with_gradient


def test_by_hand():
    """Maps (1, 4) and (9, 0): the cosine is 1 / sqrt(17)."""
    student = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    value = attention(student, torch.tensor([[[[3.0, 0.0]]]]))
    assert value.item() == pytest.approx(1 - 1 / math.sqrt(17))


def test_is_the_authors_mean_square(maps):
    """1000 times theirs is 2000 / (H W) times ours, as the docstring says."""
    first, second = (
        F.normalize(value.pow(2).mean(1).flatten(1)) for value in maps
    )
    theirs = 1000 * (first - second).pow(2).mean()
    ours = 2000 / 20 * attention(*maps)
    assert_close(*(with_gradient(x, maps[0]) for x in (ours, theirs)))


def test_other_numbers_of_channels_are_compared(maps):
    student, teacher = maps
    assert attention(student, teacher[:, :2]) > 0
