"""The channel-wise divergence against numpy and torch's own."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from mmseg_jml import losses
from mmseg_jml.kernels import Probabilities, TeacherLogits
from tests.devices import on_device
from tests.functional.on_device import channel_wise_divergence as divergence
from tests.functional.on_device import with_gradient


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


def test_maps_that_cannot_be_compared(maps):
    student, teacher = maps
    with pytest.raises(ValueError, match='got 3 channels .* and 2 channels'):
        divergence(student, teacher[:, :2])
    with pytest.raises(ValueError, match=r'shape \(N, C, H, W\).*got 3 chan'):
        divergence(student.flatten(2), teacher[..., 0])


def test_entry_refuses_what_it_cannot_compare(maps):
    label = Probabilities(maps[0].softmax(1))
    with pytest.raises(TypeError, match='got Probabilities. Jaccard'):
        losses.ChannelWiseDivergenceLoss()(maps[0], label)


@pytest.mark.parametrize(
    ('temperature', 'error', 'message'),
    [
        (0, ValueError, 'to be above 0, but got 0'),
        (-1, ValueError, 'to be above 0, but got -1'),
        (math.nan, ValueError, 'to be above 0, but got nan'),
        (math.inf, ValueError, 'to be finite, but got inf'),
        ('x', TypeError, "to be a number, but got 'x'"),
        ([], TypeError, r'to be a number, but got \[\]'),
    ],
)
def test_entry_refuses_a_temperature(temperature, error, message):
    with pytest.raises(error, match=f'temperature {message}'):
        losses.ChannelWiseDivergenceLoss(temperature=temperature)
