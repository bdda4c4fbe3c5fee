"""Distances between feature maps of a student and of its teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.kernels import TeacherLogits

__all__ = ['attention_distance', 'channel_wise_divergence']


def channel_wise_divergence(
    student: Tensor,
    teacher: Tensor | TeacherLogits,
    weight: Tensor | None = None,
    temperature: float = 4.0,
) -> Tensor:
    """Compute the channel-wise divergence of a student from its teacher.

    Channel-wise knowledge distillation (arXiv 2011.13256, equations 2 to 4):
    each channel becomes a distribution over the pixels of its image, so that
    salient regions count most. Equal to::

        p = (student / T).flatten(2).softmax(2)
        y = (teacher / T).flatten(2).softmax(2)
        T**2 / C * (y * (y / p).log()).sum((1, 2)).mean()

    Args:
        student (Tensor): (N, C, *) floats, logits or features.
        teacher (Tensor | TeacherLogits): The teacher's. Where height and
            width differ, the smaller map is resized bilinearly. A
            ``TeacherLogits`` has a temperature of its own, by which
            ``student`` must be divided already: T is then the product of
            both.
        weight (Tensor, optional): (N, *) >= 0, of the larger size. A pixel of
            weight 0 does not count, one of weight 2 counts as two. Defaults
            to None.
        temperature (float): T, above 0. Defaults to 4.0.

    Returns:
        Tensor: A scalar >= 0, the mean over the images with a pixel that
        counts; 0 if there is none. Float32, or float64 for a float64 student.

    Raises:
        ValueError: If the numbers of channels differ.

    Examples:
        >>> student = torch.tensor([[[0.75, 0.25]]]).log()
        >>> channel_wise_divergence(student, torch.zeros(1, 1, 2), None, 1.0)
        tensor(0.1438)
    """
    if isinstance(teacher, TeacherLogits):
        student = student * teacher.temperature
        temperature = temperature * teacher.temperature
        teacher = teacher.value
    student, teacher = _of_one_size(_exact(student), _exact(teacher))
    if student.shape != teacher.shape:
        raise ValueError(
            'Expected a student and a teacher of the same number of channels '
            f'but got {_describe(student)} and {_describe(teacher)}.'
        )
    student, teacher = (
        value.flatten(2) / temperature for value in (student, teacher)
    )
    counted = student.new_ones(len(student))
    if weight is not None:
        weight = weight.flatten(1).to(student)
        counted = (weight > 0).any(1).to(student)
        # unlike -inf, the lowest number times a probability of 0 is no NaN
        lowest = torch.finfo(student.dtype).min
        log_weight = weight.log().clamp_min(lowest)[:, None]
        student, teacher = student + log_weight, teacher + log_weight
    divergence = F.kl_div(
        student.log_softmax(2),
        teacher.log_softmax(2),
        reduction='none',
        log_target=True,
    )
    images = divergence.sum(2).mean(1) * counted
    return temperature**2 * images.sum() / counted.sum().clamp_min(1)


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute one minus the cosine between two attention maps.

    Attention transfer (arXiv 1612.03928): the map of an image is the sum of
    squares over its channels, so that student and teacher may have different
    numbers of them. For features of one size it is equal to::

        s, t = student.square().sum(1), teacher.square().sum(1)
        (1 - F.cosine_similarity(s.flatten(1), t.flatten(1))).mean()

    That is half the squared norm of equation 2. The authors' code takes the
    mean over the H W pixels in place of the sum and weighs it with 1000; their
    term is 2000 / (H W) times this one.

    Args:
        student (Tensor): (N, C, H, W) floats.
        teacher (Tensor): (N, D, h, w). Where height and width differ, the
            smaller of the two maps is resized bilinearly.

    Returns:
        Tensor: A scalar in [0, 1], the mean over images. Float32, or float64
        for a float64 student.

    Examples:
        >>> student = torch.tensor([[[[1.0, 1.0]]]])
        >>> attention_distance(student, torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.2929)
    """
    maps = _of_one_size(
        *(
            _exact(value).square().sum(1, keepdim=True)
            for value in (student, teacher)
        )
    )
    first, second = (F.normalize(value.flatten(1)) for value in maps)
    return (first - second).square().sum(1).mean() / 2


def _exact(value: Tensor) -> Tensor:
    """Convert to float32 at least: squares overflow in half precision."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _of_one_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Resize two maps to the larger height and the larger width."""
    if first.shape[2:] == second.shape[2:]:
        return first, second
    if first.ndim != 4 or second.ndim != 4:
        raise ValueError(
            'Expected maps of shape (N, C, H, W), which can be resized to one '
            f'another, but got {_describe(first)} and {_describe(second)}.'
        )
    height, width = map(max, zip(first.shape[2:], second.shape[2:]))
    resized = [
        value
        if value.shape[2:] == (height, width)
        else F.interpolate(value, (height, width), mode='bilinear')
        for value in (first, second)
    ]
    return resized[0], resized[1]


def _describe(value: Tensor) -> str:
    return f'{value.shape[1]} channels in shape {tuple(value.shape)}'
