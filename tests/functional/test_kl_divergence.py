"""The divergence against sums written out, torch's own, and mmseg's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmseg.models.losses.kldiv_loss import KLDivLoss
from torch.testing import assert_close

from mmseg_jml import losses
from mmseg_jml.kernels import TeacherLogits
from tests.devices import on_device
from tests.functional.on_device import kl_divergence
from tests.oracles import softmax
from tests.tolerances import SUMMED

CLASSES = 4


@pytest.fixture
def logits():
    shape = 2, 2, CLASSES, 3, 5
    student, teacher = torch.randn(shape, dtype=torch.float64)
    return student.requires_grad_(), 3 * teacher


def test_value_is_that_of_numpy(logits, impl):
    """The mean over pixels of sum y (log y - log p)."""
    student, teacher = logits
    weight = torch.rand(2, 3, 5)
    weight[:, 0] = 0
    value = kl_divergence(student, TeacherLogits(teacher), weight, impl=impl)
    p, y = (softmax(x.detach().numpy()) for x in logits)
    pixels = (y * np.log(y / p)).sum(1)
    expected = np.average(pixels, weights=weight.numpy())
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_gradient_is_that_of_torchs_divergence(logits, temperature):
    student, teacher = logits
    loss = on_device(losses.KLDivergenceLoss(loss_weight=0.5))
    value = loss(student / temperature, TeacherLogits(teacher, temperature))
    p = F.log_softmax(student / temperature, 1)
    y = F.softmax(teacher / temperature, 1)
    # the mean over 2 images of 15 pixels
    mean = F.kl_div(p, y, reduction='batchmean') / 15
    expected = 0.5 * temperature**2 * mean
    assert_close(value, expected)
    ours, theirs = (torch.autograd.grad(x, student) for x in (value, expected))
    assert_close(ours, theirs)


def test_is_zero_and_flat_where_the_student_is_the_teacher(logits):
    student, _ = logits
    value = kl_divergence(student, TeacherLogits(student.detach()))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(0, abs=SUMMED)
    assert gradient.abs().max() < SUMMED


def test_gradient_keeps_its_size_as_temperature_grows(logits):
    """Hinton's reason for the square: the limit is a mean squared error."""
    student, teacher = logits
    own, centred = (value - value.mean(1, keepdim=True) for value in logits)
    limit = (own - centred).square().sum(1).mean() / (2 * CLASSES)
    loss = on_device(losses.KLDivergenceLoss())
    value = loss(student / 1e3, TeacherLogits(teacher, 1e3))
    # the next term of the series is of the order of 1 / temperature
    assert_close(value, limit, rtol=1e-2, atol=0)


def test_soft_label_with_zeros(logits):
    student, _ = logits
    label = torch.zeros(2, CLASSES, 3, 5, dtype=torch.float64)
    label[:, 1] = 1.0
    hard = torch.ones(2, 3, 5, dtype=torch.long)
    entropy = F.cross_entropy(student, hard)
    assert_close(kl_divergence(student, label), entropy)
    assert_close(kl_divergence(student, hard), entropy)


def test_ignored_pixels_change_nothing(logits):
    student, teacher = logits
    label = torch.randint(CLASSES, (2, 3, 5))
    label[:, 1:] = 255
    top = kl_divergence(student[:, :, :1], label[:, :1])
    assert_close(kl_divergence(student, label), top)
    weight = (label != 255).double()
    value = kl_divergence(student, TeacherLogits(teacher), weight)
    (gradient,) = torch.autograd.grad(value, student)
    assert not gradient[:, :, 1:].any()
    top = kl_divergence(student[:, :, :1], TeacherLogits(teacher[:, :, :1]))
    assert_close(value, top)


def test_no_counted_pixel_gives_zero_with_a_graph(logits):
    student, teacher = logits
    none = torch.zeros(2, 3, 5)
    value = kl_divergence(student, TeacherLogits(teacher), none)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert not gradient.any()


def test_sigmoid_is_a_divergence_of_two_outcomes(logits):
    target = TeacherLogits(logits[1], 1.0, True)
    value = kl_divergence(logits[0], target, use_sigmoid=True)
    p, y = (value.sigmoid() for value in logits)
    terms = y * (y / p).log() + (1 - y) * ((1 - y) / (1 - p)).log()
    assert_close(value, terms.mean())


def test_shapes_are_checked(logits):
    student, teacher = logits
    with pytest.raises(ValueError, match='Expected target'):
        kl_divergence(student, TeacherLogits(teacher[:, :2]))


def test_mmsegs_loss_is_no_divergence(logits):
    """It is negative at the teacher, and lower beside it."""
    student, teacher = logits
    stock = KLDivLoss()
    at_teacher = teacher.clone().requires_grad_()
    value = stock(at_teacher, teacher).sum()
    (gradient,) = torch.autograd.grad(value, at_teacher)
    assert value < 0  # a divergence is at least 0
    assert gradient.abs().max() > 1e-3  # and flat at its minimum
    # one step along its gradient leads away from the teacher ...
    moved = teacher - 1e-2 * gradient / gradient.norm()
    assert stock(moved, teacher).sum() < value
    # ... which the divergence itself sees
    assert kl_divergence(moved, TeacherLogits(teacher)) > 0
    # what it computes: a probability where its logarithm belongs, and a mean
    # over classes where a sum belongs
    p, y = student.softmax(1), teacher.softmax(1)
    assert_close(stock(student, teacher), (y * (y.log() - p)).mean((1, 2, 3)))
