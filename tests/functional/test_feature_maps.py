"""What holds for every distance between two feature maps."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from tests.functional.on_device import attention_distance as attention
from tests.functional.on_device import channel_wise_divergence as divergence
from tests.tolerances import FLOAT32, SUMMED

DISTANCES = pytest.mark.parametrize('distance', [attention, divergence])


@DISTANCES
def test_is_zero_and_flat_where_the_student_is_the_teacher(maps, distance):
    student, _ = maps
    value = distance(student, student.detach())
    (gradient,) = torch.autograd.grad(value, student)
    assert value == 0
    assert gradient.abs().max() < SUMMED


@pytest.mark.parametrize('step', [1, -1])
def test_the_smaller_map_is_resized(maps, step):
    first, second = maps
    small = F.interpolate(second, (2, 3), mode='bilinear')
    large = F.interpolate(small, (4, 5), mode='bilinear')
    squares = small.square().sum(1, keepdim=True)
    squares = F.interpolate(squares, (4, 5), mode='bilinear').sqrt()
    for distance, other in ((divergence, large), (attention, squares)):
        found = distance(*(first, small)[::step])
        assert_close(found, distance(*(first, other)[::step]))


@DISTANCES
def test_half_precision_is_computed_in_float32(maps, distance):
    """A square of 300 is infinite in float16."""
    halves = [300 * value.detach().half() for value in maps]
    found = distance(*halves)
    assert found.dtype == torch.float32
    expected = distance(*(value.double() for value in halves))
    assert_close(found.double(), expected, rtol=FLOAT32, atol=0)
