"""Channel-wise divergence of a student from its teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.kernels import TeacherLogits

from .feature_maps import describe, exact, of_one_size

__all__ = ['channel_wise_divergence']


def channel_wise_divergence(
    student: Tensor,
    teacher: Tensor | TeacherLogits,
    weight: Tensor | None = None,
    temperature: float = 4.0,
) -> Tensor:
    """Compute the channel-wise divergence of a student from its teacher.

    "Channel-wise Knowledge Distillation for Dense Prediction" (arXiv
    2011.13256), equations 2 to 4: each channel becomes a distribution over
    the pixels of its image, so that salient regions count most. Equal to::

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
    student, teacher = of_one_size(exact(student), exact(teacher))
    if student.shape != teacher.shape:
        raise ValueError(
            'Expected a student and a teacher of the same number of channels '
            f'but got {describe(student)} and {describe(teacher)}.'
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
