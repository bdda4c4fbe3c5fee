"""Distances of maps against numpy, torch's own, and numbers by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from mmseg_jml import losses
from mmseg_jml.kernels import Probabilities, TeacherLogits
from tests.devices import on_device
from tests.functional.on_device import attention_distance as attention
from tests.functional.on_device import channel_wise_divergence as divergence
from tests.tolerances import FLOAT32, SUMMED

DISTANCES = pytest.mark.parametrize('distance', [attention, divergence])


@pytest.fixture
def maps():
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    return student.requires_grad_(), 3 * teacher


def with_gradient(value, student):
    gradient = torch.autograd.grad(value, student, retain_graph=True)
    return value.detach(), *gradient


def by_numpy(maps, weight, temperature):
    """The mean over images and channels of T^2 times sum y log(y / p)."""
    divergences = []
    for student, teacher, share in zip(*maps, weight.numpy()):
        kept = share > 0
        for pair in zip(student, teacher):
            powers = (
                share[kept] * np.exp(one[kept] / temperature) for one in pair
            )
            p, y = (power / power.sum() for power in powers)
            if kept.any():
                divergences.append((y * np.log(y / p)).sum())
    return temperature**2 * sum(divergences) / max(len(divergences), 1)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('kept', ['all', 'some', 'one image', 'none'])
def test_divergence_is_that_of_numpy(maps, temperature, kept):
    student, teacher = maps
    weight = torch.rand(2, 4, 5, dtype=torch.float64)
    weight[0, :2] *= kept == 'all'
    weight[0] *= kept != 'one image'
    weight *= kept != 'none'
    value = divergence(student, teacher, weight, temperature)
    numbers = [value.detach().numpy() for value in maps]
    expected = by_numpy(numbers, weight, temperature)
    assert value.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(value, student)
    assert not gradient[weight[:, None].expand_as(gradient) == 0].any()


@pytest.mark.parametrize('own', [1.0, 3.0])
def test_entry_is_torchs_divergence_at_the_product_of_temperatures(maps, own):
    student, teacher = maps
    loss = losses.ChannelWiseDivergenceLoss(temperature=2.0, loss_weight=0.5)
    value = on_device(loss)(student / own, TeacherLogits(teacher, own))
    p, y = (v.flatten(0, 1).flatten(1) / (2 * own) for v in maps)
    # the mean over images and channels
    mean = F.kl_div(p.log_softmax(1), y.softmax(1), reduction='batchmean')
    expected = 0.5 * (2 * own) ** 2 * mean
    assert_close(*(with_gradient(x, student) for x in (value, expected)))


def test_ignored_pixels_change_nothing(maps):
    """Whatever stands there, in either of the two."""
    student, teacher = maps
    weight = torch.ones(2, 4, 5)
    weight[:, 1:] = 0
    value = divergence(student, teacher, weight)
    assert_close(value, divergence(student[:, :, :1], teacher[:, :, :1]))
    student, teacher = student.detach().clone(), teacher.clone()
    student[:, :, 1:] += 1e4
    teacher[:, :, 1:] = 0
    assert divergence(student, teacher, weight) == value


def test_attention_by_hand():
    """Maps (1, 4) and (9, 0): the cosine is 1 / sqrt(17)."""
    student = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    value = attention(student, torch.tensor([[[[3.0, 0.0]]]]))
    assert value.item() == pytest.approx(1 - 1 / math.sqrt(17))


def test_attention_is_the_authors_mean_square(maps):
    """1000 times theirs is 2000 / (H W) times ours, as the docstring says."""
    first, second = (
        F.normalize(value.pow(2).mean(1).flatten(1)) for value in maps
    )
    theirs = 1000 * (first - second).pow(2).mean()
    ours = 2000 / 20 * attention(*maps)
    assert_close(*(with_gradient(x, maps[0]) for x in (ours, theirs)))


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


def test_attention_compares_other_numbers_of_channels(maps):
    student, teacher = maps
    assert attention(student, teacher[:, :2]) > 0
    with pytest.raises(ValueError, match='got 3 channels .* and 2 channels'):
        divergence(student, teacher[:, :2])
    with pytest.raises(ValueError, match=r'shape \(N, C, H, W\).*got 3 chan'):
        divergence(student.flatten(2), teacher[..., 0])


def test_entry_refuses_what_it_cannot_compare(maps):
    label = Probabilities(maps[0].softmax(1))
    with pytest.raises(TypeError, match='got Probabilities. Jaccard'):
        losses.ChannelWiseDivergenceLoss()(maps[0], label)
    with pytest.raises(ValueError, match='temperature above 0 but got 0'):
        losses.ChannelWiseDivergenceLoss(temperature=0)
